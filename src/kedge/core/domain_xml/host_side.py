"""What a VIF means in a domain XML: the host side of its `<interface>`.

Kedge's agents make and wire the taps of Open vSwitch and Linux bridge themselves, so that libvirt has
nothing to plug: for it they are `ethernet` interfaces with a tap that is there already (`managed='no'`,
libvirt 5.7 and later). A macvtap device is libvirt's to make.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lxml import etree

from kedge.model.network import Vif, VifType

#: The children of `<interface>` that say how it is attached to its host, in the order in which libvirt prints
#: them (virDomainNetDefFormat). Only these, and the attribute `type`, differ from host to host.
HOST_SIDE_TAGS = ("source", "vlan", "virtualport", "script", "downscript", "target")


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
    form = _FORMS.get(vif.vif_type)
    if form is None:
        raise NotPluggable(
            f"its binding there has vif_type {str(vif.vif_type)!r}; bind the port on that host first"
        )
    return form(vif)


def libvirt_plugs(vif: Vif) -> bool:
    """Whether it is an Open vSwitch port that libvirt makes, not the agent (`ovs_create_tap` is False)."""
    if vif.vif_type != VifType.OVS or vif.vif_details.get("ovs_hybrid_plug"):
        return False
    return vif.vif_details.get("ovs_create_tap") is False


def _tap(vif: Vif) -> HostSide:
    return HostSide("ethernet", target={"dev": vif.tap_name, "managed": "no"})


def _openvswitch(vif: Vif) -> HostSide:
    if libvirt_plugs(vif):
        return HostSide("bridge", source={"bridge": _detail(vif, "bridge_name")}, interfaceid=vif.port_id)
    return _tap(vif)


def _macvtap(vif: Vif) -> HostSide:
    source = {"dev": _detail(vif, "macvtap_source"), "mode": _detail(vif, "macvtap_mode")}
    return HostSide("direct", source=source)


_FORMS: Mapping[VifType, Callable[[Vif], HostSide]] = {
    VifType.OVS: _openvswitch,
    VifType.BRIDGE: _tap,
    VifType.MACVTAP: _macvtap,
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
