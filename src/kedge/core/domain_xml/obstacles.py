"""What in a domain's devices stands against a move, as the table about `<interface>` says of NICs."""

from lxml import etree

from kedge.model.network import Vif

from .attachments import interfaces, mac_of
from .host_side import NotPluggable, host_side, target_of
from .interface_rules import Fate
from .verdicts import Verdict, reasons, teaming_verdict, type_verdict, verdicts


def passthrough_obstacles(root: etree._Element) -> list[str]:
    """One reason for each device of the host that is passed through, and for each NIC of a type that can't move."""
    found = []
    for device in root.findall("devices/*"):
        teaming = teaming_verdict(device)
        if teaming is not None and teaming.fate is Fate.REFUSED:
            what = _nic(device) if device.tag == "interface" else "a passed-through device (<hostdev>)"
            found.append(f"{what} {teaming.sentence}")
    for device in root.findall("devices/hostdev"):
        if not is_transient(device):
            found.append(
                f"a {device.get('type') or device.get('mode') or 'host'} device of the host is passed through to the"
                " guest (<hostdev>), which can't move; detach it first"
            )
    for interface in interfaces(root):
        if not is_transient(interface):
            found += [f"{_nic(interface)} {reason}" for reason in reasons([type_verdict(interface)])]
    return found


def is_transient(device: etree._Element) -> bool:
    """Whether it is the half of a `<teaming>` pair that is to be unplugged before a migration.

    libvirt, "Teaming a virtio/hostdev NIC pair": while it is away the guest uses the persistent one.
    """
    verdict = teaming_verdict(device)
    return verdict is not None and verdict.fate is Fate.REFUSED


def nic_verdicts(interface: etree._Element, target: Vif) -> list[Verdict]:
    """What becomes of all that the interface says on this VIF; nothing if its type is refused or the VIF unusable."""
    if type_verdict(interface).fate is Fate.REFUSED:
        return []
    try:
        return verdicts(interface, target_of(target))
    except NotPluggable:
        return []


def nic_obstacles(interface: etree._Element, target: Vif) -> list[str]:
    """One reason for each thing in `interface` that the target VIF can't carry, but for its type."""
    nic = f"{_nic(interface)} (port {target.port_id})"
    try:
        host_side(target)
    except NotPluggable as error:
        return [f"{nic}: {error}"]
    return [f"{nic} {reason}" for reason in reasons(nic_verdicts(interface, target))]


def _nic(interface: etree._Element) -> str:
    return f"NIC {mac_of(interface) or 'without MAC'}"
