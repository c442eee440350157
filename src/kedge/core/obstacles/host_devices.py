"""Devices of the host that the guest has (`<hostdev>`); NICs that are such devices are the rewriter's affair.

libvirt refuses all but two kinds (qemuMigrationSrcIsAllowedHostdev): a USB device, which the guest finds unplugged once
it has moved, and the transient half of a `<teaming>` pair, which QEMU unplugs before and which must be there again on
the destination. Kedge refuses these too, as a person has to choose when the guest loses them; both can be unplugged
while it runs.
"""

from lxml import etree

from kedge.model.obstacle import Obstacle

from .question import Question

CODES = {
    "device-passed-through": "the guest has a device of the host",
    "usb-device": "the guest has a USB device of the host, which can be unplugged",
    "teamed-device": "the guest has a network device of the host that a standby NIC can stand in for",
}

_UNPLUG = "`virsh detach-device DOMAIN FILE --live`, with its <hostdev> in FILE"


def obstacles(question: Question) -> list[Obstacle]:
    """One for each device."""
    return [_of(device, question) for device in question.domain.iterfind("devices/hostdev")]


def _of(device: etree._Element, question: Question) -> Obstacle:
    teaming = device.find("teaming")
    if teaming is not None and teaming.get("type") == "transient":
        return Obstacle(
            "teamed-device",
            _named(device),
            f"is the transient one of a <teaming> pair, whose standby NIC is {teaming.get('persistent', 'not named')}",
            f"unplug it ({_UNPLUG}), and the guest goes on with the standby NIC; plug in one of "
            f"{question.destination}'s afterwards",
        )
    if device.get("type") == "usb":
        return Obstacle(
            "usb-device",
            _named(device),
            f"is plugged into {question.source}",
            f"unplug it ({_UNPLUG}), and plug it in on {question.destination} afterwards",
        )
    return Obstacle(
        "device-passed-through",
        _named(device),
        f"of {question.source} is passed through to the guest (<hostdev>), and its state can't be moved",
        "detach it first, or shut the server down and start it on the other host",
    )


def _named(device: etree._Element) -> str:
    """`usb device 046d:c52b`, `pci device 0000:3b:00.1`: the words by which people know it."""
    kind = f"{device.get('type') or device.get('mode') or 'host'} device"
    vendor, product = device.find("source/vendor"), device.find("source/product")
    if vendor is not None and product is not None:
        return f"{kind} {_digits(vendor, 'id')}:{_digits(product, 'id')}"
    address = device.find("source/address")
    if device.get("type") == "pci" and address is not None:
        domain, bus, slot, function = (
            _digits(address, part) for part in ("domain", "bus", "slot", "function")
        )
        return f"{kind} {domain or '0000'}:{bus}:{slot}.{function}"
    return kind


def _digits(element: etree._Element, attribute: str) -> str:
    return element.get(attribute, "").removeprefix("0x")
