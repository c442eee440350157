"""Recognising how a NIC that somebody else made is attached: to which segment, and as what kind of VIF."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kedge.model.host import HostBackend
from kedge.model.network import NetworkType, Segment, VifType

from .domain_xml import Attachment


@dataclass(frozen=True)
class Recognised:
    """A NIC's segment, and the binding that describes how it is attached already."""

    segment: Segment
    vif_type: VifType
    vif_details: Mapping[str, Any] = field(default_factory=dict)


def recognise(
    nic: Attachment, backends: Sequence[HostBackend], bridges: Mapping[str, Sequence[str]]
) -> Recognised | str:
    """What a domain's interface is attached to, or the reason why that can't be told.

    `backends` say which device carries which physical network; `bridges` are the host's Linux bridges with the
    interfaces in them.
    """
    if nic.kind == "direct" and nic.source_dev:
        return _macvtap(nic, nic.source_dev, backends)
    if nic.virtualport_type == "openvswitch" and nic.source_bridge:
        return _openvswitch(nic, nic.source_bridge, backends)
    if nic.source_bridge:
        return _linuxbridge(nic.source_bridge, backends, bridges)
    if nic.kind == "ethernet" and nic.target_dev:
        for bridge, members in bridges.items():
            if nic.target_dev in members:
                return _linuxbridge(bridge, backends, bridges)
        return f"its tap {nic.target_dev} is in no Linux bridge of the host"
    return f"an interface of type {nic.kind!r} can't be adopted"


def _macvtap(nic: Attachment, device: str, backends: Sequence[HostBackend]) -> Recognised | str:
    segment = _segment_of_device(device, backends)
    if segment is None:
        return f"no physical network of the host is mapped to {device}; {_known(backends)}"
    details: dict[str, Any] = {
        "connectivity": "l2",
        "port_filter": False,
        "physical_interface": device.split(".", maxsplit=1)[0],
        "macvtap_source": device,
        "macvtap_mode": nic.mode or "vepa",  # libvirt's default
    }
    if segment.segmentation_id is not None:
        details["vlan"] = segment.segmentation_id
    return Recognised(segment, VifType.MACVTAP, details)


def _openvswitch(nic: Attachment, bridge: str, backends: Sequence[HostBackend]) -> Recognised | str:
    if len(nic.vlan_tags) > 1:
        return f"it is a VLAN trunk ({', '.join(map(str, nic.vlan_tags))}); only one network per NIC can be adopted"
    for backend in backends:
        if bridge == backend.integration_bridge:
            return (
                f"on {bridge} the VLAN tags are the host's own, so the network can't be told;"
                " attach it to the physical network's bridge first"
            )
    for physical_network, device in _mappings(backends):
        if device == bridge:
            tag = nic.vlan_tags[0] if nic.vlan_tags else None
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


def _linuxbridge(
    bridge: str, backends: Sequence[HostBackend], bridges: Mapping[str, Sequence[str]]
) -> Recognised | str:
    found = {_segment_of_device(device, backends) for device in (bridge, *bridges.get(bridge, ()))}
    segments = [segment for segment in found if segment is not None]
    if len(segments) != 1:
        which = "no" if not segments else "more than one"
        return f"{which} physical network of the host is in bridge {bridge}; {_known(backends)}"
    details = {"connectivity": "l2", "port_filter": False, "bridge_name": bridge}
    return Recognised(segments[0], VifType.BRIDGE, details)


def _segment_of_device(device: str, backends: Sequence[HostBackend]) -> Segment | None:
    for physical_network, carrier in _mappings(backends):
        if device == carrier:
            return Segment(NetworkType.FLAT, physical_network)
        name, _, tag = device.rpartition(".")
        if name == carrier and tag.isdecimal():
            return Segment(NetworkType.VLAN, physical_network, int(tag))
    return None


def _mappings(backends: Sequence[HostBackend]) -> Iterator[tuple[str, str]]:
    for backend in backends:
        yield from backend.mappings.items()


def _known(backends: Sequence[HostBackend]) -> str:
    known = ", ".join(f"{name}:{device}" for name, device in _mappings(backends))
    return f"its agent maps {known}" if known else "its agent maps none"
