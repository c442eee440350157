"""Networks."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import selectinload

from kedge.model.network import NetworkType, Segment
from kedge.store.tables import NetworkRow, PortRow

from ..errors import (
    FlatNetworkInUse,
    InvalidInput,
    NetworkInUse,
    NetworkNotFound,
    VlanIdInUse,
)
from .work import Work, new_id

MTU_MIN, MTU_MAX = 68, 65535  # RFC 791, and the size of an IP packet's length field


def network(work: Work, network_id: str, *, lock: bool = False) -> NetworkRow:
    """The network with this id. With `lock`, nobody else changes it meanwhile. Raises NetworkNotFound."""
    query = select(NetworkRow).where(NetworkRow.id == network_id)
    row = work.session.scalar(query.with_for_update() if lock else query)
    if row is None or not work.shows(row.project_id):
        raise NetworkNotFound(network_id)
    return row


def all_networks(work: Work) -> list[NetworkRow]:
    """All networks, in the order in which they were made."""
    query = select(NetworkRow).options(selectinload(NetworkRow.subnets)).order_by(NetworkRow.number)
    return [row for row in work.session.scalars(query) if work.shows(row.project_id)]


def create_network(work: Work, *, segment: Segment, mtu: int = 1500, **attributes: Any) -> NetworkRow:
    """Make a network. Raises InvalidInput, VlanIdInUse and FlatNetworkInUse."""
    _check_segment(segment)
    if not MTU_MIN <= mtu <= MTU_MAX:
        raise InvalidInput(f"MTU {mtu} is not in {MTU_MIN}..{MTU_MAX}.")
    _refuse_taken(work, segment)
    row = NetworkRow(
        id=new_id(),
        network_type=segment.network_type.value,
        physical_network=segment.physical_network,
        segmentation_id=segment.segmentation_id,
        mtu=mtu,
        subnets=[],
        tags=[],
        created_at=work.now,
        updated_at=work.now,
        **attributes,
    )
    work.session.add(row)
    work.session.flush()
    return row


def update_network(work: Work, row: NetworkRow, **attributes: Any) -> None:
    """Set columns of a network."""
    for name, value in attributes.items():
        setattr(row, name, value)
    row.revision_number += 1
    row.updated_at = work.now
    work.session.flush()


def delete_network(work: Work, network_id: str) -> None:
    """Delete a network with its subnets. Raises NetworkNotFound, and NetworkInUse if it has ports."""
    row = network(work, network_id)
    ports = work.session.scalar(
        select(func.count()).select_from(PortRow).where(PortRow.network_id == network_id)
    )
    if ports:
        raise NetworkInUse(network_id, ports)
    work.session.delete(row)
    work.session.flush()


def _check_segment(segment: Segment) -> None:
    if not segment.physical_network:
        raise InvalidInput("A network needs its provider:physical_network, for example physnet1.")
    if segment.network_type == NetworkType.FLAT and segment.segmentation_id is not None:
        raise InvalidInput("A flat network has no provider:segmentation_id; leave it out or use type vlan.")
    if segment.network_type == NetworkType.VLAN and segment.segmentation_id not in range(1, 4095):
        raise InvalidInput("A vlan network needs a provider:segmentation_id in 1..4094.")


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
