"""What in a domain's devices stands against a move, as the table about `<interface>` says of NICs."""

from lxml import etree

from kedge.model.network import Vif

from .attachments import interfaces, mac_of
from .host_side import NotPluggable, host_side, target_of
from .interface_rules import Fate
from .verdicts import Verdict, reasons, teaming_verdict, type_verdict, verdicts


def passthrough_obstacles(root: etree._Element) -> list[str]:
    """One reason for each NIC that is a device of the host or of another type that can't move.

    Other devices of the host are among `kedge.core.obstacles`.
    """
    found = []
    for interface in interfaces(root):
        teaming = teaming_verdict(interface)
        if teaming is not None and teaming.fate is Fate.REFUSED:
            found.append(f"{_nic(interface)} {teaming.sentence}")
        else:
            found += [f"{_nic(interface)} {reason}" for reason in reasons([type_verdict(interface)])]
    return found


def is_transient(device: etree._Element) -> bool:
    """Whether it is the half of a `<teaming>` pair that is to be unplugged before a migration.

    libvirt, "Teaming a virtio/hostdev NIC pair": while it is away the guest uses the persistent one.
    """
    verdict = teaming_verdict(device)
    return verdict is not None and verdict.fate is Fate.REFUSED


def nic_verdicts(interface: etree._Element, target: Vif) -> list[Verdict]:
    """What does not go with the interface to this VIF; nothing if its type is refused or the VIF unusable."""
    if type_verdict(interface).fate is Fate.REFUSED:
        return []
    try:
        return verdicts(interface, target_of(target))
    except NotPluggable:
        return []


def nic_obstacles(interface: etree._Element, target: Vif, found: list[Verdict]) -> list[str]:
    """One reason for each thing in `interface` that the target VIF can't carry, but for its type.

    `found` are its `nic_verdicts` there.
    """
    try:
        host_side(target)
    except NotPluggable as error:
        return [f"{_nic(interface)} (port {target.port_id}): {error}"]
    return [f"{_nic(interface)} (port {target.port_id}) {reason}" for reason in reasons(found)]


def _nic(interface: etree._Element) -> str:
    return f"NIC {mac_of(interface) or 'without MAC'}"
