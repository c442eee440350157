"""Five hosts with different backends, and the two ports of one server as each of them binds them."""

from typing import Any

from kedge.core.domain_xml import NicChange
from kedge.model.network import NetworkType, Segment, Vif, VifType

PORTS = ("3f1c2a7e-5b7d-4c7e-9a51-0c0f5e6d1a01", "8d20b9c4-11aa-4e0b-8f43-6b7e9f2c5d02")
NETWORKS = ("a1b2c3d4-52e1-4a9f-b7c0-9e5f00000001", "b2c3d4e5-63f2-4ba0-88d1-af6000000002")
MACS = ("fa:16:3e:11:22:33", "fa:16:3e:44:55:66")
SEGMENTS = (Segment(NetworkType.FLAT, "physnet1"), Segment(NetworkType.VLAN, "physnet1", 101))


def _vif(number: int, vif_type: VifType, details: dict[str, Any]) -> Vif:
    return Vif(PORTS[number], NETWORKS[number], MACS[number], SEGMENTS[number], vif_type, details)


def macvtap(interface: str) -> tuple[Vif, Vif]:
    common = {
        "connectivity": "l2",
        "port_filter": False,
        "physical_interface": interface,
        "macvtap_mode": "bridge",
    }
    return (
        _vif(0, VifType.MACVTAP, common | {"macvtap_source": interface}),
        _vif(1, VifType.MACVTAP, common | {"macvtap_source": f"{interface}.101", "vlan": 101}),
    )


def openvswitch(*, hybrid: bool, create_tap: bool = True) -> tuple[Vif, Vif]:
    details = {
        "connectivity": "l2",
        "port_filter": True,
        "ovs_hybrid_plug": hybrid,
        "ovs_create_tap": create_tap,
        "datapath_type": "system",
        "bridge_name": "br-int",
    }
    return _vif(0, VifType.OVS, details), _vif(1, VifType.OVS, dict(details))


def linuxbridge() -> tuple[Vif, Vif]:
    details = [
        {"connectivity": "l2", "port_filter": True, "bridge_name": f"brq{network[:11]}"}
        for network in NETWORKS
    ]
    return _vif(0, VifType.BRIDGE, details[0]), _vif(1, VifType.BRIDGE, details[1])


BACKENDS: dict[str, tuple[Vif, Vif]] = {
    "macvtap-eth1": macvtap("eth1"),
    "macvtap-ens5": macvtap("ens5"),
    "ovs-native": openvswitch(hybrid=False),
    "ovs-hybrid": openvswitch(hybrid=True),
    "linuxbridge": linuxbridge(),
}

#: Those, and one where libvirt makes the Open vSwitch ports: the only one with a form of its own.
HOSTS = BACKENDS | {"ovs-by-libvirt": openvswitch(hybrid=False, create_tap=False)}

PAIRS = [(source, target) for source in BACKENDS for target in BACKENDS if source != target]


def changes(source: str, target: str) -> list[NicChange]:
    """The move of both ports from one backend to another."""
    return [NicChange(*vifs) for vifs in zip(BACKENDS[source], BACKENDS[target], strict=True)]
