"""Recognising how a NIC that somebody else made is attached: to which segment, and as what kind of VIF."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kedge.model.host import HostBackend
from kedge.model.host_network import HostNetwork, Macvtap, SwitchPort
from kedge.model.network import NetworkType, Segment, VifType

from .domain_xml import Attachment, attachments, strange_nics


@dataclass(frozen=True)
class Recognised:
    """A NIC's segment, and the binding that describes how it is attached already."""

    segment: Segment
    vif_type: VifType
    vif_details: Mapping[str, Any] = field(default_factory=dict)


def recognise_all(
    xml: str, backends: Sequence[HostBackend], network: HostNetwork
) -> list[tuple[Attachment, Recognised | str]]:
    """Each NIC of a running domain's XML, with what it is attached to or the reason why that can't be told.

    Raises BadRequest for a bad XML.
    """
    return [
        (nic, f"it {' and it '.join(strange)}" if strange else recognise(nic, backends, network))
        for nic, strange in zip(attachments(xml), strange_nics(xml), strict=True)
    ]


def recognise(nic: Attachment, backends: Sequence[HostBackend], network: HostNetwork) -> Recognised | str:
    """What a domain's interface is attached to, or the reason why that can't be told.

    `backends` say which device carries which physical network; `network` is what the host's kernel and Open vSwitch
    say, which counts more than what the interface says of a bridge or of tags. Of an interface that says of itself that
    it is no port of one network, `recognise_all` tells that first.
    """
    if nic.kind == "direct" and nic.vlan_tags:
        return (
            f"it has <vlan> {nic.vlan_tags[0]} on a macvtap; attach it to a VLAN device of the host instead"
        )
    if nic.kind == "direct" and nic.source_dev:
        # libvirt's default for a mode that is not given.
        return _macvtap(Macvtap(nic.source_dev, nic.mode or "vepa"), backends, network)
    macvtap = network.macvtaps.get(nic.target_dev or "")
    if macvtap is not None:
        return _macvtap(macvtap, backends, network)
    port = network.switch_ports.get(nic.target_dev or "")
    if port is not None:
        return _openvswitch(port, backends)
    if nic.virtualport_type == "openvswitch" and nic.source_bridge:
        return _openvswitch(SwitchPort(nic.source_bridge, next(iter(nic.vlan_tags), None)), backends)
    if nic.vlan_tags:
        return _bridge_vlan(nic)
    for bridge, members in network.bridges.items():
        if nic.target_dev in members:
            return _linuxbridge(bridge, backends, network)
    if nic.source_bridge:
        return _linuxbridge(nic.source_bridge, backends, network)
    if nic.kind == "ethernet" and nic.target_dev:
        return f"its tap {nic.target_dev} is in no bridge of the host, neither Linux's nor Open vSwitch's"
    return f"an interface of type {nic.kind!r} can't be adopted"


def _bridge_vlan(nic: Attachment) -> str:
    """libvirt before 11.0.0 refuses it; since then it sets the VLAN on the bridge's port (vlan_filtering)."""
    return (
        f"it has <vlan> {nic.vlan_tags[0]} on a Linux bridge, where an agent's own bridges tell no VLANs apart; attach"
        " it to a bridge with the host's VLAN device"
    )


def _macvtap(macvtap: Macvtap, backends: Sequence[HostBackend], network: HostNetwork) -> Recognised | str:
    device = macvtap.parent
    segment = _segment_of_device(device, backends, network)
    if segment is None:
        return f"no physical network of the host is mapped to {device}; {_known(backends)}"
    details: dict[str, Any] = {
        "connectivity": "l2",
        "port_filter": False,
        "physical_interface": network.vlans[device].parent if segment.segmentation_id else device,
        "macvtap_source": device,
        "macvtap_mode": macvtap.mode,
    }
    if segment.segmentation_id is not None:
        details["vlan"] = segment.segmentation_id
    return Recognised(segment, VifType.MACVTAP, details)


def _openvswitch(port: SwitchPort, backends: Sequence[HostBackend]) -> Recognised | str:
    if port.trunks or port.vlan_mode not in ("", "access"):
        return _trunk(port.trunks, port.vlan_mode)
    bridge, tag = port.bridge, port.tag or None
    for backend in backends:
        if bridge == backend.integration_bridge:
            return (
                f"on {bridge} the VLAN tags are the host's own, so the network can't be told;"
                " attach it to the physical network's bridge first"
            )
    for physical_network, device in _mappings(backends):
        if device == bridge:
            kind = NetworkType.VLAN if tag else NetworkType.FLAT
            details = {
                "connectivity": "l2",
                "port_filter": False,
                "ovs_hybrid_plug": False,
                "ovs_create_tap": False,
                "bridge_name": bridge,
            }
            return Recognised(Segment(kind, physical_network, tag), VifType.OVS, details)
    return f"no physical network of the host is mapped to Open vSwitch bridge {bridge}; {_known(backends)}"


def _trunk(vlans: Sequence[int], mode: str = "") -> str:
    which = ", ".join(map(str, vlans)) or "all"
    return (
        f"it is a VLAN trunk ({which}{f', {mode}' if mode else ''}); only one network per NIC can be adopted,"
        " so make it an access port, or a NIC for each VLAN"
    )


def _linuxbridge(bridge: str, backends: Sequence[HostBackend], network: HostNetwork) -> Recognised | str:
    devices = (bridge, *network.bridges.get(bridge, ()))
    found = {_segment_of_device(device, backends, network) for device in devices}
    segments = [segment for segment in found if segment is not None]
    if len(segments) != 1:
        which = "no" if not segments else "more than one"
        return f"{which} physical network of the host is in bridge {bridge}; {_known(backends)}"
    details = {"connectivity": "l2", "port_filter": False, "bridge_name": bridge}
    return Recognised(segments[0], VifType.BRIDGE, details)


def _segment_of_device(device: str, backends: Sequence[HostBackend], network: HostNetwork) -> Segment | None:
    vlan = network.vlans.get(device)
    for physical_network, carrier in _mappings(backends):
        if device == carrier:
            return Segment(NetworkType.FLAT, physical_network)
        if vlan is not None and vlan.parent == carrier:
            return Segment(NetworkType.VLAN, physical_network, vlan.vlan_id)
    return None


def _mappings(backends: Sequence[HostBackend]) -> Iterator[tuple[str, str]]:
    for backend in backends:
        yield from backend.mappings.items()


def _known(backends: Sequence[HostBackend]) -> str:
    known = ", ".join(f"{name}:{device}" for name, device in _mappings(backends))
    return f"its agent maps {known}" if known else "its agent maps none"
