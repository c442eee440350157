"""What a VIF means in a domain XML: the host side of its `<interface>`.

Kedge's agents make and wire the device of a port themselves, on every backend under the same name, so that libvirt
has nothing to plug: for it, it is an `ethernet` interface with a device that is there already (`managed='no'`,
libvirt 5.7 and later), which may be a tap or a macvtap. So the domain XML of a server that Kedge runs is the same on
every host, but for Open vSwitch ports that libvirt makes itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from kedge.model.network import Vif, VifType

from .interface_rules import Fate, Target
from .interface_table import ELEMENTS, rule_of

#: The children of `<interface>` that say how it is attached to its host, in libvirt's order.
HOST_SIDE_TAGS = tuple(
    tag for tag in ELEMENTS if (rule := rule_of(tag)) is not None and rule.fate is Fate.TRANSLATED
)


class NotPluggable(Exception):
    """The VIF says too little, or nothing that a host could plug; `str(error)` is the reason."""


@dataclass(frozen=True)
class HostSide:
    """The host side of an interface: its type, and the elements that go with it by their tags.

    Each element is its attributes; `interfaceid` becomes a `<virtualport type='openvswitch'>`.
    """

    interface_type: str
    source: Mapping[str, str] = field(default_factory=dict)
    target: Mapping[str, str] = field(default_factory=dict)
    interfaceid: str | None = None

    def elements(self) -> dict[str, etree._Element]:
        """New elements for an `<interface>`, by tag, in the order in which libvirt prints them."""
        made = {}
        if self.source:
            made["source"] = etree.Element("source", dict(self.source))
        if self.interfaceid:
            made["virtualport"] = _openvswitch_port(self.interfaceid)
        if self.target:
            made["target"] = etree.Element("target", dict(self.target))
        return made


def host_side(vif: Vif) -> HostSide:
    """The host side of an interface that is attached as `vif` says. Raises NotPluggable."""
    if target_of(vif) is not Target.OPENVSWITCH_BY_LIBVIRT:
        return HostSide("ethernet", target={"dev": vif.tap_name, "managed": "no"})
    bridge = vif.vif_details.get("bridge_name")
    if not isinstance(bridge, str) or not bridge:
        raise NotPluggable(
            "its binding there has no 'bridge_name' in its vif_details; bind the port on that host anew"
        )
    return HostSide("bridge", source={"bridge": bridge}, interfaceid=vif.port_id)


def target_of(vif: Vif) -> Target:
    """What an interface becomes that is attached as `vif` says. Raises NotPluggable."""
    details = vif.vif_details
    match vif.vif_type:
        case VifType.MACVTAP:
            return Target.MACVTAP
        case VifType.BRIDGE:
            return Target.LINUX_BRIDGE
        case VifType.OVS if details.get("ovs_hybrid_plug"):
            return Target.LINUX_BRIDGE
        case VifType.OVS if details.get("ovs_create_tap") is False:
            return Target.OPENVSWITCH_BY_LIBVIRT
        case VifType.OVS:
            return Target.OPENVSWITCH
    raise NotPluggable(
        f"its binding there has vif_type {str(vif.vif_type)!r}; bind the port on that host first"
    )


def _openvswitch_port(interfaceid: str) -> etree._Element:
    virtualport = etree.Element("virtualport", {"type": "openvswitch"})
    etree.SubElement(virtualport, "parameters", {"interfaceid": interfaceid})
    return virtualport
