"""What a VIF means in a domain XML: the host side of its `<interface>`.

Kedge's agents make and wire the taps of Open vSwitch and Linux bridge themselves, so that libvirt has
nothing to plug: for it they are `ethernet` interfaces with a tap that is there already (`managed='no'`,
libvirt 5.7 and later). A macvtap device is libvirt's to make.
"""

from collections.abc import Callable, Mapping
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
    return _FORMS[target_of(vif)](vif)


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


def _tap(vif: Vif) -> HostSide:
    return HostSide("ethernet", target={"dev": vif.tap_name, "managed": "no"})


def _openvswitch(vif: Vif) -> HostSide:
    return HostSide("bridge", source={"bridge": _detail(vif, "bridge_name")}, interfaceid=vif.port_id)


def _macvtap(vif: Vif) -> HostSide:
    source = {"dev": _detail(vif, "macvtap_source"), "mode": _detail(vif, "macvtap_mode")}
    return HostSide("direct", source=source)


_FORMS: Mapping[Target, Callable[[Vif], HostSide]] = {
    Target.LINUX_BRIDGE: _tap,
    Target.OPENVSWITCH: _tap,
    Target.OPENVSWITCH_BY_LIBVIRT: _openvswitch,
    Target.MACVTAP: _macvtap,
}


def _detail(vif: Vif, key: str) -> str:
    value = vif.vif_details.get(key)
    if not isinstance(value, str) or not value:
        raise NotPluggable(
            f"its binding there has no {key!r} in its vif_details; bind the port on that host anew"
        )
    return value


def _openvswitch_port(interfaceid: str) -> etree._Element:
    virtualport = etree.Element("virtualport", {"type": "openvswitch"})
    etree.SubElement(virtualport, "parameters", {"interfaceid": interfaceid})
    return virtualport
