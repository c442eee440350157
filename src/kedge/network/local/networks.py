"""Networks and their subnets."""

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import selectinload

from kedge.model.network import NetworkType, Segment
from kedge.store.tables import AddressRow, NetworkRow, PortRow, SubnetRow

from ..addresses import checked_cidr, checked_ip, default_gateway
from ..errors import (
    FlatNetworkInUse,
    InvalidInput,
    NetworkInUse,
    NetworkNotFound,
    SubnetInUse,
    SubnetNotFound,
    VlanIdInUse,
)
from .work import Work, new_id

MTU_MIN, MTU_MAX = 68, 65535  # RFC 791, and the size of an IP packet's length field


def network(work: Work, network_id: str) -> NetworkRow:
    """The network with this id. Raises NetworkNotFound."""
    row = work.session.scalar(select(NetworkRow).where(NetworkRow.id == network_id))
    if row is None:
        raise NetworkNotFound(network_id)
    return row


def all_networks(work: Work) -> list[NetworkRow]:
    """All networks, in the order in which they were made."""
    query = select(NetworkRow).options(selectinload(NetworkRow.subnets)).order_by(NetworkRow.number)
    return list(work.session.scalars(query))


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
        **_made(work.now),
        **attributes,
    )
    work.session.add(row)
    work.session.flush()
    return row


def update_network(work: Work, network_id: str, **attributes: Any) -> NetworkRow:
    """Change a network's name, description or administrative state. Raises NetworkNotFound."""
    row = network(work, network_id)
    for name, value in attributes.items():
        setattr(row, name, value)
    row.revision_number += 1
    row.updated_at = work.now
    return row


def delete_network(work: Work, network_id: str) -> None:
    """Delete a network with its subnets. Raises NetworkNotFound, and NetworkInUse if it has ports."""
    row = network(work, network_id)
    ports = work.session.scalar(
        select(func.count()).select_from(PortRow).where(PortRow.network_id == network_id)
    )
    if ports:
        raise NetworkInUse(network_id, ports)
    work.session.delete(row)


def subnet(work: Work, subnet_id: str) -> SubnetRow:
    """The subnet with this id. Raises SubnetNotFound."""
    row = work.session.scalar(select(SubnetRow).where(SubnetRow.id == subnet_id))
    if row is None:
        raise SubnetNotFound(subnet_id)
    return row


def all_subnets(work: Work) -> list[SubnetRow]:
    """All subnets, in the order in which they were made."""
    return list(work.session.scalars(select(SubnetRow).order_by(SubnetRow.number)))


def create_subnet(
    work: Work,
    network_id: str,
    cidr: str,
    *,
    ip_version: int | None = None,
    gateway_ip: str | None = "",
    **attributes: Any,
) -> SubnetRow:
    """Make a subnet. `gateway_ip` None is none, "" the first address. Raises NetworkNotFound and InvalidInput."""
    parent = network(work, network_id)
    block = checked_cidr(cidr)
    if ip_version not in (None, block.version):
        raise InvalidInput(f"{cidr} is of IP version {block.version}, not {ip_version}.")
    for other in parent.subnets:
        other_block = checked_cidr(other.cidr)
        if other_block.version == block.version and other_block.overlaps(block):
            raise InvalidInput(f"{cidr} overlaps with {other.cidr} of subnet {other.id} on the same network.")
    gateway = default_gateway(block) if gateway_ip == "" else gateway_ip
    row = SubnetRow(
        id=new_id(),
        ip_version=block.version,
        cidr=str(block),
        gateway_ip=checked_ip(gateway) if gateway else None,
        **_made(work.now),
        **attributes,
    )
    parent.subnets.append(row)
    work.session.flush()
    return row


def delete_subnet(work: Work, subnet_id: str) -> None:
    """Delete a subnet. Raises SubnetNotFound, and SubnetInUse if ports have addresses from it."""
    row = subnet(work, subnet_id)
    given = work.session.scalar(
        select(func.count()).select_from(AddressRow).where(AddressRow.subnet_id == subnet_id)
    )
    if given:
        raise SubnetInUse(subnet_id, given)
    work.session.delete(row)


def _made(now: datetime) -> dict[str, datetime]:
    return {"created_at": now, "updated_at": now}


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
