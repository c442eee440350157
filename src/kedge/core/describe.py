"""What plugging a VIF does to its host, in words for a person."""

from kedge.model.network import NetworkType, Segment, Vif, VifType


def describe_segment(segment: Segment) -> str:
    """`physnet1 untagged` or `VLAN 100 of physnet1`."""
    if segment.network_type is NetworkType.VLAN:
        return f"VLAN {segment.segmentation_id} of {segment.physical_network}"
    return f"{segment.physical_network} untagged"


def describe(vif: Vif) -> str:
    """What will be plugged for this VIF, and into what."""
    details, where = vif.vif_details, describe_segment(vif.segment)
    match vif.vif_type:
        case VifType.MACVTAP:
            return f"macvtap ({details.get('macvtap_mode')}) on {details.get('macvtap_source')}, {where}"
        case VifType.OVS if details.get("ovs_hybrid_plug"):
            bridge = f"qbr{vif.port_id[:11]}"
            return f"{vif.tap_name} in {bridge}, veth to Open vSwitch {details.get('bridge_name')}, {where}"
        case VifType.OVS:
            return f"{vif.tap_name} in Open vSwitch {details.get('bridge_name')}, {where}"
        case VifType.BRIDGE:
            return f"{vif.tap_name} in Linux bridge {details.get('bridge_name')}, {where}"
    return f"nothing ({vif.vif_type})"
