"""Which address of a subnet a port is given next."""

from collections.abc import Collection, Iterator, Sequence
from ipaddress import ip_address
from itertools import islice

from sqlalchemy import select

from kedge.store.tables import AddressRow, SubnetRow

from ..addresses import Pool, first_free
from ..errors import IpAddressGenerationFailure
from . import automatic, subnets
from .work import Work

_WINDOW = 64


def free_address(work: Work, subnet_id: str) -> str:
    """An address of the subnet that no port has: one of those after the one that was given out last.

    So an address that became free is not another port's right away, and the search does not read all that
    are taken, unless the next ones all are. Others who want an address of this subnet wait for the end of the
    transaction. Raises SubnetNotFound and IpAddressGenerationFailure.
    """
    subnet = subnets.subnet(work, subnet_id, lock=True)
    ranges = subnets.ranges(subnet)
    # What guests made themselves was not given out.
    last = None if automatic.is_automatic(subnet) else _last(work, subnet)
    window = list(islice(_after(ranges, last), _WINDOW))
    taken = _taken(work, subnet, window)
    address = next((each for each in window if each not in taken), None)
    if address is None:
        address = first_free(ranges, _taken(work, subnet))
    if address is None:
        raise IpAddressGenerationFailure(subnet.id)
    return address


def _last(work: Work, subnet: SubnetRow) -> str | None:
    query = select(AddressRow.ip_address).where(AddressRow.subnet_id == subnet.id)
    return work.session.scalar(query.order_by(AddressRow.number.desc()).limit(1))


def _taken(work: Work, subnet: SubnetRow, of: Collection[str] | None = None) -> set[str]:
    query = select(AddressRow.ip_address).where(AddressRow.network_id == subnet.network_id)
    return set(work.session.scalars(query if of is None else query.where(AddressRow.ip_address.in_(of))))


def _after(ranges: Sequence[Pool], last: str | None) -> Iterator[str]:
    """All addresses of the ranges: first those that are higher than `last`, then the others."""
    ends = [(ip_address(first), ip_address(end)) for first, end in ranges]
    begin = int(ip_address(last)) + 1 if last else 0
    for low, high in ends:
        yield from (str(type(low)(number)) for number in range(max(int(low), begin), int(high) + 1))
    for low, high in ends:
        yield from (str(type(low)(number)) for number in range(int(low), min(int(high) + 1, begin)))
