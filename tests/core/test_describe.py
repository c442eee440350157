"""What plugging a VIF does, in words."""

from typing import Any

import pytest

from kedge.core.describe import describe, describe_segment
from kedge.model.network import NetworkType, Segment, Vif, VifType

PORT = "3f1c2a7e-5b7d-4c7e-9a51-0c0f5e6d1a01"
FLAT = Segment(NetworkType.FLAT, "physnet1")
TAGGED = Segment(NetworkType.VLAN, "physnet2", 101)


@pytest.mark.parametrize(
    ("segment", "words"), [(FLAT, "physnet1 untagged"), (TAGGED, "VLAN 101 of physnet2")]
)
def test_segments(segment: Segment, words: str) -> None:
    assert describe_segment(segment) == words


@pytest.mark.parametrize(
    ("vif_type", "details", "segment", "words"),
    [
        (
            VifType.MACVTAP,
            {"macvtap_source": "eth1", "macvtap_mode": "bridge"},
            FLAT,
            "macvtap (bridge) on eth1, physnet1 untagged",
        ),
        (
            VifType.MACVTAP,
            {"macvtap_source": "ens6.101", "macvtap_mode": "vepa"},
            TAGGED,
            "macvtap (vepa) on ens6.101, VLAN 101 of physnet2",
        ),
        (
            VifType.OVS,
            {"bridge_name": "br-int", "ovs_hybrid_plug": False},
            TAGGED,
            "tap3f1c2a7e-5b in Open vSwitch br-int, VLAN 101 of physnet2",
        ),
        (
            VifType.OVS,
            {"bridge_name": "br-int", "ovs_hybrid_plug": True},
            FLAT,
            "tap3f1c2a7e-5b in qbr3f1c2a7e-5b, veth to Open vSwitch br-int, physnet1 untagged",
        ),
        (
            VifType.BRIDGE,
            {"bridge_name": "brqa1b2c3d4-52"},
            FLAT,
            "tap3f1c2a7e-5b in Linux bridge brqa1b2c3d4-52, physnet1 untagged",
        ),
        (VifType.UNBOUND, {}, FLAT, "nothing (unbound)"),
        (VifType.BINDING_FAILED, {}, FLAT, "nothing (binding_failed)"),
    ],
)
def test_vifs(vif_type: VifType, details: dict[str, Any], segment: Segment, words: str) -> None:
    vif = Vif(PORT, "a1b2c3d4-52e1", "fa:16:3e:11:22:33", segment, vif_type, details)
    assert describe(vif) == words
