"""Networks."""

from typing import Any

from sqlalchemy import Select, select, union
from sqlalchemy.orm import selectinload

from kedge.model.network import Segment
from kedge.store.tables import NetworkRow, PortRow, SubnetRow

from ..errors import InvalidInput, InvalidSharedSetting, NetworkInUse, NetworkNotFound
from . import events
from .segments import checked_segment
from .work import Work, new_id

MTU_MIN, MTU_MAX = 68, 65535  # RFC 791, and the size of an IP packet's length field

SERVANTS = frozenset({"network:dhcp", "network:distributed", "network:floatingip_agent_gateway"})
"""Whose ports serve a network and go with it, or with its subnets (Neutron's AUTO_DELETE_PORT_OWNERS)."""


def network(work: Work, network_id: str, *, hold: bool = False) -> NetworkRow:
    """The network with this id. Raises NetworkNotFound.

    With `hold`, it is neither deleted nor taken from those whom it is shared with until the transaction ends.
    """
    query = select(NetworkRow).where(NetworkRow.id == network_id)
    return _found(work, network_id, query.with_for_update(read=True, key_share=True) if hold else query)


def own_network(work: Work, network_id: str) -> NetworkRow:
    """The network with this id, which nobody else changes meanwhile. Raises NetworkNotFound and Forbidden."""
    row = _found(work, network_id, select(NetworkRow).where(NetworkRow.id == network_id).with_for_update())
    work.require_own(row.project_id)
    return row


def network_for_subnet(work: Work, network_id: str) -> NetworkRow:
    """As `own_network`, but Forbidden also for another project's network that the caller does not see.

    So Neutron answers, whose own tests ask for it. That there is a network with this id is all that is told.
    """
    locked = select(NetworkRow).where(NetworkRow.id == network_id).with_for_update()
    row = work.session.scalar(locked)
    if row is None:
        raise NetworkNotFound(network_id)
    work.require_own(row.project_id)
    return row


def _found(work: Work, network_id: str, query: Select[NetworkRow]) -> NetworkRow:
    row = work.session.scalar(query.where(work.sees(NetworkRow.project_id, NetworkRow.shared)))
    if row is None:
        raise NetworkNotFound(network_id)
    return row


def all_networks(work: Work) -> list[NetworkRow]:
    """All networks, in the order in which they were made."""
    query = select(NetworkRow).where(work.sees(NetworkRow.project_id, NetworkRow.shared))
    query = query.options(selectinload(NetworkRow.subnets)).order_by(NetworkRow.number)
    return list(work.session.scalars(query))


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
    """Set columns of a network. Raises InvalidSharedSetting."""
    if row.shared and not attributes.get("shared", True):
        _refuse_while_others_use_it(work, row)
    for name, value in attributes.items():
        setattr(row, name, value)
    row.revision_number += 1
    row.updated_at = work.now
    work.session.flush()


def _refuse_while_others_use_it(work: Work, row: NetworkRow) -> None:
    # What serves the network is no project's use of it, and whoever acts for no project sees the network anyway.
    users = union(
        select(PortRow.project_id)
        .where(PortRow.network_id == row.id)
        .where(PortRow.device_owner.not_like("network:%")),
        select(SubnetRow.project_id).where(SubnetRow.network_id == row.id),
    )
    others = set(work.session.scalars(users)) - {row.project_id, ""}
    if others:
        raise InvalidSharedSetting(row.name or row.id, sorted(others))


def delete_network(work: Work, network_id: str) -> None:
    """Delete a network with its subnets, and the ports of what serves it.

    Raises NetworkNotFound, Forbidden and NetworkInUse.
    """
    row = own_network(work, network_id)
    of_network = select(PortRow).where(PortRow.network_id == network_id).order_by(PortRow.number)
    ports = list(work.session.scalars(of_network))
    in_use = [each for each in ports if each.device_owner not in SERVANTS]
    if in_use:
        raise NetworkInUse(network_id, [each.id for each in in_use])
    for each in ports:
        events.port_deleted(work, each)
        work.session.delete(each)
    work.session.delete(row)
    work.session.flush()
