"""What the guest would notice of a change to its network interfaces.

The rules are those by which libvirt refuses a migration (virDomainNetDefCheckABIStability and the device
info's), together with what it does not look at: the number and size of queues and the offloads, without which
QEMU can't take the state of the device, and alias, boot order and ROM, which show at the next boot.
"""

from collections.abc import Callable, Mapping

from lxml import etree

from .attachments import interfaces, mac_of
from .parse import parse

_ADDRESS_DEFAULTS = {"domain": "0", "bus": "0", "slot": "0", "function": "0"}


def guest_visible_differences(before: str, after: str) -> list[str]:
    """A sentence for each thing that the guest would see change, naming the NIC and both values; none if all is well.

    The NICs are paired by their order. Raises BadRequest for a bad XML.
    """
    old, new = interfaces(parse(before)), interfaces(parse(after))
    if len(old) != len(new):
        return [f"the domain has {len(old)} NICs and would have {len(new)}"]
    return [
        sentence
        for number, (one, other) in enumerate(zip(old, new, strict=True))
        for sentence in _compare(number, one, other)
    ]


def _compare(number: int, old: etree._Element, new: etree._Element) -> list[str]:
    nic = f"NIC {number + 1} ({_mac(old)})"
    values = [(what, read(old), read(new)) for what, read in _VISIBLE.items()]
    return [f"{nic}: {what} is {a} and would be {b}" for what, a, b in values if a != b]


def _attribute(path: str, name: str, default: str = "not set") -> Callable[[etree._Element], str]:
    def read(interface: etree._Element) -> str:
        element = interface.find(path)
        return default if element is None else element.get(name, default)

    return read


def _attributes(path: str) -> Callable[[etree._Element], str]:
    def read(interface: etree._Element) -> str:
        element = interface.find(path)
        if element is None:
            return "not set"
        return " ".join(f"{name}={element.get(name)}" for name in sorted(map(str, element.attrib)))

    return read


def _mac(interface: etree._Element) -> str:
    return mac_of(interface) or "not set"


def _address(interface: etree._Element) -> str:
    """The device's address; `0x00` and `0` are the same to libvirt, and what is left out is 0."""
    address = interface.find("address")
    if address is None:
        return "not set"
    parts = {name: address.get(name, "") for name in map(str, address.attrib) if name != "type"}
    kind = address.get("type", "")
    if kind != "pci":
        return " ".join([kind, *(f"{name}={_number(value)}" for name, value in sorted(parts.items()))])
    domain, bus, slot, function = (_number(parts.get(name, zero)) for name, zero in _ADDRESS_DEFAULTS.items())
    try:
        return f"pci {int(domain):04x}:{int(bus):02x}:{int(slot):02x}.{int(function):x}"
    except ValueError:
        return f"pci {domain}:{bus}:{slot}.{function}"


def _number(text: str) -> str:
    try:
        return str(int(text, 0))
    except ValueError:
        return text


def _alias(interface: etree._Element) -> str:
    """Only a user's alias stays: libvirt makes the others anew on each host, and does not always print them."""
    alias = _attribute("alias", "name")(interface)
    return alias if alias.startswith("ua-") else "not set"


_VISIBLE: Mapping[str, Callable[[etree._Element], str]] = {
    "the MAC": _mac,
    "the model": _attribute("model", "type"),
    "the MTU": _attribute("mtu", "size"),
    "the driver's iommu": _attribute("driver", "iommu"),
    "the driver's ats": _attribute("driver", "ats"),
    "the driver's packed": _attribute("driver", "packed"),
    "the driver's page_per_vq": _attribute("driver", "page_per_vq"),
    "the number of queues": _attribute("driver", "queues", "1"),
    "the size of receive queues": _attribute("driver", "rx_queue_size"),
    "the size of transmit queues": _attribute("driver", "tx_queue_size"),
    "what the host offloads": _attributes("driver/host"),
    "what the guest offloads": _attributes("driver/guest"),
    "the address": _address,
    "the ACPI index": _attribute("acpi", "index"),
    "the alias": _alias,
    "the boot order": _attribute("boot", "order"),
    "the ROM": _attributes("rom"),
}
