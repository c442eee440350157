"""What the agent reads from a domain's live XML: the devices of its interfaces. Pure."""

from lxml import etree

from kedge.model.mac import normal_mac

# Each place in an <interface> that names its own device, or its port. What <source> names, others may share.
_NAMES = (("target", "dev"), ("virtualport/parameters", "interfaceid"))


def devices_by_mac(xml: str) -> dict[str, str]:
    """From MAC address, in its normal form, to the device on this host; an interface without one is left out."""
    found: dict[str, str] = {}
    for interface in _interfaces(xml):
        mac, device = interface.find("mac"), interface.find("target")
        if mac is not None and device is not None and device.get("dev"):
            found[normal_mac(str(mac.get("address")))] = str(device.get("dev"))
    return found


def names_used(xml: str) -> set[str]:
    """The devices of a domain's interfaces, and the ids of their ports where they are given."""
    names: set[str] = set()
    for interface in _interfaces(xml):
        for place, attribute in _NAMES:
            element = interface.find(place)
            if element is not None and element.get(attribute):
                names.add(str(element.get(attribute)))
    return names


def _interfaces(xml: str) -> list[etree._Element]:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(xml.encode(), parser).findall("./devices/interface")
