"""Recognising how a NIC that somebody else made is attached."""

from dataclasses import replace
from typing import Any

import pytest

from kedge.core.adopt import Recognised, recognise, recognise_all
from kedge.core.domain_xml import Attachment
from kedge.model.host import HostBackend
from kedge.model.host_network import HostNetwork, SwitchPort, VlanDevice
from kedge.model.network import NetworkType, Segment, VifType

FLAT = Segment(NetworkType.FLAT, "physnet1")
TAGGED = Segment(NetworkType.VLAN, "physnet1", 101)
MACVTAP = HostBackend("macvtap", {"physnet1": "eth1"})
OVS = HostBackend("openvswitch", {"physnet1": "br-physnet1"})
BRIDGE = HostBackend("linuxbridge", {"physnet1": "eth1"})
OWN_BRIDGE = HostBackend("linuxbridge", {"physnet1": "br0"})

DIRECT = Attachment("direct", "52:54:00:00:00:01", source_dev="eth1", mode="bridge", target_dev="macvtap3")
VIRTUALPORT = Attachment(
    "bridge", source_bridge="br-physnet1", virtualport_type="openvswitch", target_dev="vnet0"
)
BRIDGED = Attachment("bridge", source_bridge="br0", target_dev="vnet2")
TAP = Attachment("ethernet", target_dev="tap7")
NETWORK = HostNetwork(
    bridges={
        "br0": ("eth1", "tap7"),
        "br1": ("storage", "tap8"),
        "br2": ("tap9",),
        "br3": ("eth1", "storage"),
    },
    vlans={
        "storage": VlanDevice("eth1", 101),
        "eth1.7": VlanDevice("eth1", 9),
        "eth9.5": VlanDevice("eth9", 5),
    },
    switch_ports={
        "tap-flat": SwitchPort("br-physnet1"),
        "tap-tag": SwitchPort("br-physnet1", 101),
        "tap-access": SwitchPort("br-physnet1", 101, vlan_mode="access"),
        "tap-trunk": SwitchPort("br-physnet1", trunks=(101, 102)),
        "tap-one": SwitchPort("br-physnet1", trunks=(101,)),
        "tap-native": SwitchPort("br-physnet1", 101, vlan_mode="native-untagged"),
        "tap-tunnel": SwitchPort("br-physnet1", 101, vlan_mode="dot1q-tunnel"),
        "tap-int": SwitchPort("br-int", 3),
    },
)

MACVTAP_DETAILS = {
    "connectivity": "l2",
    "port_filter": False,
    "physical_interface": "eth1",
    "macvtap_source": "eth1",
    "macvtap_mode": "bridge",
}
OVS_DETAILS = {
    "connectivity": "l2",
    "port_filter": False,
    "ovs_hybrid_plug": False,
    "ovs_create_tap": False,
    "bridge_name": "br-physnet1",
}


def in_bridge(name: str) -> dict[str, Any]:
    return {"connectivity": "l2", "port_filter": False, "bridge_name": name}


@pytest.mark.parametrize(
    ("nic", "backend", "segment", "vif_type", "details"),
    [
        pytest.param(DIRECT, MACVTAP, FLAT, VifType.MACVTAP, MACVTAP_DETAILS, id="macvtap"),
        pytest.param(
            replace(DIRECT, source_dev="storage"),
            MACVTAP,
            TAGGED,
            VifType.MACVTAP,
            MACVTAP_DETAILS | {"macvtap_source": "storage", "vlan": 101},
            id="macvtap on a VLAN device",
        ),
        pytest.param(
            replace(DIRECT, mode=None),
            MACVTAP,
            FLAT,
            VifType.MACVTAP,
            MACVTAP_DETAILS | {"macvtap_mode": "vepa"},
            id="macvtap in libvirt's default mode",
        ),
        pytest.param(VIRTUALPORT, OVS, FLAT, VifType.OVS, OVS_DETAILS, id="Open vSwitch"),
        pytest.param(
            replace(VIRTUALPORT, vlan_tags=(101,)),
            OVS,
            TAGGED,
            VifType.OVS,
            OVS_DETAILS,
            id="Open vSwitch with a tag",
        ),
        pytest.param(BRIDGED, BRIDGE, FLAT, VifType.BRIDGE, in_bridge("br0"), id="Linux bridge"),
        pytest.param(
            replace(BRIDGED, source_bridge="br1"),
            BRIDGE,
            TAGGED,
            VifType.BRIDGE,
            in_bridge("br1"),
            id="Linux bridge with a VLAN device",
        ),
        pytest.param(
            BRIDGED,
            OWN_BRIDGE,
            FLAT,
            VifType.BRIDGE,
            in_bridge("br0"),
            id="Linux bridge that is mapped itself",
        ),
        pytest.param(
            replace(BRIDGED, kind="network", source_network="default"),
            BRIDGE,
            FLAT,
            VifType.BRIDGE,
            in_bridge("br0"),
            id="libvirt network over a bridge",
        ),
        pytest.param(TAP, BRIDGE, FLAT, VifType.BRIDGE, in_bridge("br0"), id="tap in a Linux bridge"),
        pytest.param(
            replace(TAP, target_dev="tap8"),
            BRIDGE,
            TAGGED,
            VifType.BRIDGE,
            in_bridge("br1"),
            id="tap in a Linux bridge with a VLAN device",
        ),
        pytest.param(
            replace(BRIDGED, target_dev="tap8"),
            BRIDGE,
            TAGGED,
            VifType.BRIDGE,
            in_bridge("br1"),
            id="moved to another Linux bridge",
        ),
        pytest.param(
            replace(DIRECT, source_dev="eth1.7"),
            MACVTAP,
            Segment(NetworkType.VLAN, "physnet1", 9),
            VifType.MACVTAP,
            MACVTAP_DETAILS | {"macvtap_source": "eth1.7", "vlan": 9},
            id="macvtap on a VLAN device with another VLAN's name",
        ),
        *(
            pytest.param(
                replace(nic, target_dev=f"tap-{name}"),
                OVS,
                segment,
                VifType.OVS,
                OVS_DETAILS,
                id=f"{kind} that somebody put into Open vSwitch, {name}",
            )
            for kind, nic in {
                "tap": TAP,
                "bridge's": BRIDGED,
                "tagged": replace(VIRTUALPORT, vlan_tags=(7,)),
            }.items()
            for name, segment in {"flat": FLAT, "tag": TAGGED, "access": TAGGED}.items()
        ),
    ],
)
def test_what_can_be_told(
    nic: Attachment, backend: HostBackend, segment: Segment, vif_type: VifType, details: dict[str, Any]
) -> None:
    assert recognise(nic, [backend], NETWORK) == Recognised(segment, vif_type, details)


@pytest.mark.parametrize(
    ("nic", "backends", "reason"),
    [
        pytest.param(
            replace(DIRECT, source_dev="eth7"),
            [MACVTAP],
            "no physical network of the host is mapped to eth7; its agent maps physnet1:eth1",
            id="macvtap on an unmapped interface",
        ),
        pytest.param(DIRECT, [], "its agent maps none", id="no backend"),
        pytest.param(
            replace(DIRECT, source_dev="eth1.lan"),
            [MACVTAP],
            "mapped to eth1.lan",
            id="not a VLAN device's name",
        ),
        pytest.param(
            replace(DIRECT, source_dev="eth1.8"),
            [MACVTAP],
            "mapped to eth1.8",
            id="a VLAN device in name only",
        ),
        pytest.param(
            replace(DIRECT, source_dev="eth9.5"),
            [MACVTAP],
            "mapped to eth9.5",
            id="a VLAN of another interface",
        ),
        *(
            pytest.param(
                replace(TAP, target_dev=f"tap-{name}"), [OVS], reason, id=f"tap in Open vSwitch, {name}"
            )
            for name, reason in {
                "trunk": "VLAN trunk (101, 102)",
                "one": "VLAN trunk (101)",
                "native": "VLAN trunk (all, native-untagged)",
                "tunnel": "VLAN trunk (all, dot1q-tunnel)",
                "int": "on br-int the VLAN tags are the host's own",
            }.items()
        ),
        pytest.param(
            replace(VIRTUALPORT, target_dev="tap-trunk"),
            [OVS],
            "VLAN trunk",
            id="made a trunk behind libvirt",
        ),
        pytest.param(
            replace(VIRTUALPORT, source_bridge="br-ex"),
            [OVS],
            "mapped to Open vSwitch bridge br-ex; its agent maps physnet1:br-physnet1",
            id="unmapped Open vSwitch bridge",
        ),
        pytest.param(
            replace(VIRTUALPORT, source_bridge="br-int"),
            [OVS],
            "on br-int the VLAN tags are the host's own",
            id="integration bridge",
        ),
        pytest.param(
            replace(BRIDGED, source_bridge="br2"),
            [BRIDGE],
            "no physical network of the host is in bridge br2",
            id="bridge without an interface",
        ),
        pytest.param(
            replace(BRIDGED, source_bridge="br3"),
            [BRIDGE],
            "more than one physical network of the host is in bridge br3",
            id="bridge that joins two networks",
        ),
        pytest.param(
            replace(BRIDGED, source_bridge="virbr0"), [BRIDGE], "is in bridge virbr0", id="unknown bridge"
        ),
        pytest.param(
            replace(TAP, target_dev="tap99"),
            [BRIDGE],
            "tap99 is in no bridge of the host",
            id="tap in no bridge",
        ),
    ],
)
def test_what_can_not_be_told(nic: Attachment, backends: list[HostBackend], reason: str) -> None:
    answer = recognise(nic, backends, NETWORK)
    assert isinstance(answer, str)
    assert reason in answer


def test_the_second_backend_is_asked_too() -> None:
    answer = recognise(VIRTUALPORT, [MACVTAP, OVS], NETWORK)
    assert isinstance(answer, Recognised)
    assert answer.vif_type is VifType.OVS


@pytest.mark.parametrize(
    ("nic", "reason"),
    [
        pytest.param(
            replace(BRIDGED, vlan_tags=(7,)), "<vlan> 7 on a Linux bridge", id="VLAN on a Linux bridge"
        ),
        pytest.param(replace(DIRECT, vlan_tags=(7,)), "<vlan> 7 on a macvtap", id="VLAN on a macvtap"),
    ],
)
def test_what_a_plain_port_would_lose_is_refused(nic: Attachment, reason: str) -> None:
    answer = recognise(nic, [MACVTAP, OVS, BRIDGE], NETWORK)
    assert isinstance(answer, str)
    assert reason in answer


@pytest.mark.parametrize(
    ("interface", "reason"),
    [
        ("<interface type='user'/>", "it is a user-mode NIC"),
        ("<interface type='hostdev'/>", "it is a network device of the host (<interface type='hostdev'>)"),
        ("<interface type='vhostuser'/>", "(<interface type='vhostuser'>)"),
        ("<vlan><tag id='101'/><tag id='102'/></vlan>", "it is a VLAN trunk (<vlan> with 101, 102)"),
        ("<vlan trunk='yes'><tag id='7'/></vlan>", "VLAN trunk (<vlan> with 7)"),
        ("<vlan><tag id='7' nativeMode='untagged'/></vlan>", "VLAN trunk (<vlan> with 7)"),
        *(
            (f"<virtualport type='{kind}'/>", f"it has a virtual port of type '{kind}'")
            for kind in ("midonet", "802.1Qbg", "802.1Qbh")
        ),
        ("<source><ip address='192.0.2.1'/></source>", "addresses or routes of the host's end"),
    ],
)
def test_what_says_of_itself_that_it_is_no_port_is_not_adopted(interface: str, reason: str) -> None:
    nic = (
        interface
        if interface.startswith("<interface")
        else f"<interface type='bridge'>{interface}</interface>"
    )
    ((_, answer),) = recognise_all(
        f"<domain><devices>{nic}</devices></domain>", [MACVTAP, OVS, BRIDGE], NETWORK
    )
    assert isinstance(answer, str)
    assert reason in answer


def test_each_nic_of_a_domain_is_told_in_its_order() -> None:
    tap = "<interface type='ethernet'><target dev='tap7'/></interface>"
    xml = f"<domain><devices>{tap}<interface type='user'/></devices></domain>"
    (_, known), (_, unknown) = recognise_all(xml, [BRIDGE], NETWORK)
    assert known == Recognised(FLAT, VifType.BRIDGE, in_bridge("br0"))
    assert isinstance(unknown, str)
