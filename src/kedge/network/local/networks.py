"""Networks."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from kedge.model.network import Segment
from kedge.store.tables import NetworkRow, PortRow

from ..errors import InvalidInput, NetworkInUse, NetworkNotFound
from . import events
from .segments import checked_segment
from .work import Work, new_id

MTU_MIN, MTU_MAX = 68, 65535  # RFC 791, and the size of an IP packet's length field

SERVANTS = frozenset({"network:dhcp", "network:distributed", "network:floatingip_agent_gateway"})
"""Whose ports serve a network and go with it, or with its subnets (Neutron's AUTO_DELETE_PORT_OWNERS)."""


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
    checked_segment(work, segment)
    if not MTU_MIN <= mtu <= MTU_MAX:
        raise InvalidInput(f"MTU {mtu} is not in {MTU_MIN}..{MTU_MAX}.")
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
    """Delete a network with its subnets, and the ports of what serves it. Raises NetworkNotFound and NetworkInUse."""
    row = network(work, network_id)
    of_network = select(PortRow).where(PortRow.network_id == network_id).order_by(PortRow.number)
    ports = list(work.session.scalars(of_network))
    in_use = [each.id for each in ports if each.device_owner not in SERVANTS]
    if in_use:
        raise NetworkInUse(network_id, in_use)
    for each in ports:
        events.port_deleted(work, each)
        work.session.delete(each)
    work.session.delete(row)
    work.session.flush()
