"""Guests that send as another MAC than their NIC's: bonds, VRRP routers, bridges and macvlans in the guest."""

from collections.abc import Collection

from kedge.model.network import Vif, VifType


def guest_macs_obstacle(target: Vif, heard: Collection[str], *, follows: bool) -> str | None:
    """Why the guest would lose frames on the target VIF; None if it would not.

    A macvtap in bridge mode receives for one unicast MAC (Linux, macvlan_handle_frame), which the host's agent changes
    when a virtio guest that is trusted changes its own.

    Args:
        target: the VIF that the NIC is to have.
        heard: the MACs that the switch of its host has heard behind the NIC.
        follows: whether the agent gives a macvtap the guest's new MAC.
    """
    own = target.mac_address
    others = sorted(set(heard) - {own})
    if target.vif_type is not VifType.MACVTAP or not others:
        return None
    if len(others) == 1 and own not in heard and follows:
        return None
    return (
        f"the guest was heard to send as {', '.join(others)} in the last five minutes (VRRP, a bond or a bridge in the"
        f" guest?), and a macvtap receives for {own} only; choose a host with Open vSwitch or Linux bridge, or end that"
        " in the guest and try again in five minutes"
    )
