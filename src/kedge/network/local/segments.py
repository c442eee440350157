"""Which segment a network gets: the one that is asked for, or a VLAN that is free."""

from collections.abc import Sequence

from sqlalchemy import select

from kedge.model.network import NetworkType, Segment
from kedge.model.vlan_range import VLAN_MAX, VLAN_MIN, VlanRange
from kedge.store.tables import NetworkRow

from ..errors import FlatNetworkInUse, InvalidInput, NoNetworkAvailable, VlanIdInUse
from .work import Work


def chosen_segment(
    work: Work,
    ranges: Sequence[VlanRange],
    network_type: str | None,
    physical_network: str | None,
    segmentation_id: int | None,
) -> Segment:
    """The segment that is asked for; what is left open is chosen, as Neutron does, from the ranges of VLANs.

    Raises InvalidInput for what makes no segment, and NoNetworkAvailable if all VLANs are taken.
    """
    if network_type is None and (physical_network, segmentation_id) != (None, None):
        raise InvalidInput(
            "A network with provider attributes needs its provider:network_type, flat or vlan."
        )
    if network_type == NetworkType.FLAT or segmentation_id is not None:
        return Segment(NetworkType(network_type or NetworkType.VLAN), physical_network or "", segmentation_id)
    open_ranges = [each for each in ranges if physical_network in (None, each.physical_network)]
    if not open_ranges:
        raise InvalidInput(
            f"There are no VLANs to choose from{f' on {physical_network}' if physical_network else ''}: give "
            "provider:network_type, provider:physical_network and provider:segmentation_id, or name vlan_ranges in "
            "[network] of the configuration."
        )
    return _free_vlan(work, open_ranges)


def checked_segment(work: Work, segment: Segment) -> Segment:
    """The segment. Raises InvalidInput, VlanIdInUse and FlatNetworkInUse."""
    if not segment.physical_network:
        raise InvalidInput("A network needs its provider:physical_network, for example physnet1.")
    if segment.network_type == NetworkType.FLAT and segment.segmentation_id is not None:
        raise InvalidInput("A flat network has no provider:segmentation_id; leave it out or use type vlan.")
    vlans = range(VLAN_MIN, VLAN_MAX + 1)
    if segment.network_type == NetworkType.VLAN and segment.segmentation_id not in vlans:
        raise InvalidInput("A vlan network needs a provider:segmentation_id in 1..4094.")
    _refuse_taken(work, segment)
    return segment


def _free_vlan(work: Work, ranges: Sequence[VlanRange]) -> Segment:
    query = select(NetworkRow.physical_network, NetworkRow.segmentation_id)
    taken = {(physical_network, vlan) for physical_network, vlan in work.session.execute(query)}
    for each in ranges:
        for vlan in range(each.first, each.last + 1):
            if (each.physical_network, vlan) not in taken:
                return Segment(NetworkType.VLAN, each.physical_network, vlan)
    raise NoNetworkAvailable()


def _refuse_taken(work: Work, segment: Segment) -> None:
    taken = work.session.scalar(
        select(NetworkRow).where(
            NetworkRow.network_type == segment.network_type.value,
            NetworkRow.physical_network == segment.physical_network,
            NetworkRow.segmentation_id.is_not_distinct_from(segment.segmentation_id),
        )
    )
    if taken is None:
        return
    if segment.segmentation_id is None:
        raise FlatNetworkInUse(segment.physical_network, taken.id)
    raise VlanIdInUse(segment.segmentation_id, segment.physical_network, taken.id)
