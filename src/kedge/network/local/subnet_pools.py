"""Subnet pools: prefixes that subnets are given their blocks from. The rules are Neutron's."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, select

from kedge.model.errors import BadRequest
from kedge.store.tables import SubnetPoolRow, SubnetRow

from ..address_space import free_blocks, holds, joined, next_block
from ..addresses import IpNetwork, checked_cidr, checked_subnet
from ..errors import InvalidInput
from ..subnet_pool_errors import (
    EmptySubnetPoolPrefixList,
    IllegalSubnetPoolPrefixBounds,
    IllegalSubnetPoolPrefixUpdate,
    MaxPrefixSubnetAllocationError,
    MinPrefixSubnetAllocationError,
    PrefixVersionMismatch,
    SubnetAllocationError,
    SubnetPoolDeleteError,
    SubnetPoolNotFound,
    SubnetPoolQuotaExceeded,
)
from .work import Work, new_id

_BITS = {4: 32, 6: 128}
_LARGEST = {4: 8, 6: 64}
"""`min_prefixlen` of a pool whose maker gives none, by IP version."""
_QUOTA_UNIT = {4: 32, 6: 64}
"""A pool's `default_quota` counts blocks of this length."""


def pool(work: Work, pool_id: str, *, lock: bool = False) -> SubnetPoolRow:
    """The pool with this id. With `lock`, nobody else changes it, or takes a block, meanwhile.

    Raises SubnetPoolNotFound.
    """
    query = select(SubnetPoolRow).where(SubnetPoolRow.id == pool_id, _sees(work))
    row = work.session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise SubnetPoolNotFound(pool_id)
    return row


def own_pool(work: Work, pool_id: str) -> SubnetPoolRow:
    """The pool with this id, which nobody else changes meanwhile. Raises SubnetPoolNotFound and Forbidden."""
    row = pool(work, pool_id, lock=True)
    work.require_own(row.project_id)
    return row


def all_pools(work: Work) -> list[SubnetPoolRow]:
    """All pools, in the order in which they were made."""
    return list(work.session.scalars(select(SubnetPoolRow).where(_sees(work)).order_by(SubnetPoolRow.number)))


def default_pool_id(work: Work, ip_version: int) -> str:
    """The pool for subnets of this IP version that name none. Raises BadRequest if there is none."""
    query = select(SubnetPoolRow.id).where(SubnetPoolRow.is_default, SubnetPoolRow.ip_version == ip_version)
    found = work.session.scalar(query.where(_sees(work)))
    if found is None:
        raise BadRequest(f"No default subnetpool found for IPv{ip_version}; name one, or give a cidr.")
    return found


def _sees(work: Work) -> ColumnElement[bool]:
    return work.sees(SubnetPoolRow.project_id, SubnetPoolRow.shared)


def create_pool(
    work: Work,
    *,
    prefixes: Sequence[str],
    min_prefixlen: int | None = None,
    max_prefixlen: int | None = None,
    default_prefixlen: int | None = None,
    **attributes: Any,
) -> SubnetPoolRow:
    """Make a pool. Blocks are as large as `min_prefixlen` unless their takers say otherwise.

    Raises EmptySubnetPoolPrefixList, PrefixVersionMismatch, InvalidInput and IllegalSubnetPoolPrefixBounds.
    """
    blocks = _checked(prefixes)
    version = blocks[0].version
    least = _LARGEST[version] if min_prefixlen is None else min_prefixlen
    row = SubnetPoolRow(
        id=new_id(),
        ip_version=version,
        prefixes=[str(each) for each in blocks],
        min_prefixlen=least,
        max_prefixlen=_BITS[version] if max_prefixlen is None else max_prefixlen,
        default_prefixlen=least if default_prefixlen is None else default_prefixlen,
        tags=[],
        created_at=work.now,
        updated_at=work.now,
        **attributes,
    )
    _check_lengths(row)
    if row.is_default:
        _refuse_second_default(work, row)
    work.session.add(row)
    work.session.flush()
    return row


def update_pool(work: Work, row: SubnetPoolRow, **changes: Any) -> None:
    """Set columns of a pool. Prefixes may only be added.

    Raises IllegalSubnetPoolPrefixUpdate and what `create_pool` raises.
    """
    if "prefixes" in changes:
        blocks = _checked(changes["prefixes"])
        if blocks[0].version != row.ip_version:
            raise PrefixVersionMismatch
        if not all(holds(blocks, each) for each in _prefixes(row)):
            raise IllegalSubnetPoolPrefixUpdate
        changes["prefixes"] = [str(each) for each in blocks]
    if changes.get("is_default") and not row.is_default:
        _refuse_second_default(work, row)
    for name, value in changes.items():
        setattr(row, name, value)
    _check_lengths(row)
    row.revision_number += 1
    row.updated_at = work.now
    work.session.flush()


def delete_pool(work: Work, row: SubnetPoolRow) -> None:
    """Delete a pool. Raises SubnetPoolDeleteError if a subnet has its block from it."""
    if work.session.scalar(select(SubnetRow.id).where(SubnetRow.subnetpool_id == row.id).limit(1)):
        raise SubnetPoolDeleteError
    work.session.delete(row)
    work.session.flush()


def take(
    work: Work,
    pool_id: str,
    project_id: str,
    *,
    cidr: str | None = None,
    prefixlen: int | None = None,
    ip_version: int | None = None,
) -> IpNetwork:
    """A block for a subnet of this project: the one that is named, or the next free one.

    It is taken once this transaction has made a subnet of it; others who want one of this pool wait for that.
    Raises SubnetPoolNotFound, BadRequest, MinPrefixSubnetAllocationError, MaxPrefixSubnetAllocationError,
    SubnetPoolQuotaExceeded, SubnetAllocationError and, for a `cidr`, what `checked_subnet` raises.
    """
    row = pool(work, pool_id, lock=True)
    named = None if cidr is None else checked_subnet(cidr)
    for wanted in (ip_version, named.version if named else None):
        if wanted not in (None, row.ip_version):
            raise BadRequest(f"Cannot allocate IPv{wanted} subnet from IPv{row.ip_version} subnet pool")
    length = named.prefixlen if named else row.default_prefixlen if prefixlen is None else prefixlen
    if length < row.min_prefixlen:
        raise MinPrefixSubnetAllocationError(length, row.min_prefixlen)
    if length > row.max_prefixlen:
        raise MaxPrefixSubnetAllocationError(length, row.max_prefixlen)
    query = select(SubnetRow.cidr, SubnetRow.project_id).where(SubnetRow.subnetpool_id == row.id)
    taken = [(checked_cidr(each), owner) for each, owner in work.session.execute(query)]
    if project_id:
        _refuse_beyond_quota(row, [each for each, owner in taken if owner == project_id], length)
    free = free_blocks(_prefixes(row), [each for each, _ in taken])
    if named is not None:
        if not holds(free, named):
            raise SubnetAllocationError("Cannot allocate requested subnet from the available set of prefixes")
        return named
    block = next_block(free, length)
    if block is None:
        raise SubnetAllocationError(f"Insufficient prefix space to allocate subnet size /{length}")
    return block


def _refuse_beyond_quota(row: SubnetPoolRow, has: Sequence[IpNetwork], length: int) -> None:
    if not row.default_quota:  # as in Neutron, 0 is none
        return
    bits = _BITS[row.ip_version]
    addresses = sum(each.num_addresses for each in has) + (1 << (bits - length))
    if addresses > row.default_quota << (bits - _QUOTA_UNIT[row.ip_version]):
        raise SubnetPoolQuotaExceeded(row.default_quota, _QUOTA_UNIT[row.ip_version])


def _prefixes(row: SubnetPoolRow) -> list[IpNetwork]:
    return [checked_cidr(each) for each in row.prefixes]


def _checked(prefixes: Sequence[str]) -> list[IpNetwork]:
    blocks = [checked_cidr(each) for each in prefixes]
    if not blocks:
        raise EmptySubnetPoolPrefixList
    if len({each.version for each in blocks}) > 1:
        raise PrefixVersionMismatch
    return joined(blocks)


def _check_lengths(row: SubnetPoolRow) -> None:
    lengths = (
        ("min_prefixlen", "max_prefixlen"),
        ("min_prefixlen", "default_prefixlen"),
        ("default_prefixlen", "max_prefixlen"),
    )
    if row.max_prefixlen > _BITS[row.ip_version]:
        raise IllegalSubnetPoolPrefixBounds(
            "max_prefixlen", row.max_prefixlen, "ip_version_max", _BITS[row.ip_version]
        )
    for low, high in lengths:
        if getattr(row, low) > getattr(row, high):
            raise IllegalSubnetPoolPrefixBounds(low, getattr(row, low), high, getattr(row, high))


def _refuse_second_default(work: Work, row: SubnetPoolRow) -> None:
    # Also one that the caller doesn't see: the database has one for all. Its constraint decides between rivals.
    query = select(SubnetPoolRow.id).where(SubnetPoolRow.is_default, SubnetPoolRow.id != row.id)
    if work.session.scalar(query.where(SubnetPoolRow.ip_version == row.ip_version)):
        raise InvalidInput(
            f"A default subnetpool for IPv{row.ip_version} has already been set. "
            "Only one default may exist per IP family."
        )
