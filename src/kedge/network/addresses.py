"""MAC and IP addresses: checking, choosing and counting them."""

import re
import secrets
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import pairwise

from kedge.model.errors import BadRequest

from .errors import (
    GatewayConflictWithAllocationPools,
    InvalidAllocationPool,
    InvalidInput,
    OutOfBoundsAllocationPool,
    OverlappingAllocationPools,
)

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")

IpNetwork = IPv4Network | IPv6Network
Pool = tuple[str, str]
"""The first and the last address of a range."""


def random_mac(prefix: bytes) -> str:
    """A MAC address that begins with `prefix`."""
    return (prefix + secrets.token_bytes(6 - len(prefix))).hex(":")


def checked_mac(mac_address: str) -> str:
    """The address in lower case. Raises InvalidInput if it is none that a NIC can have."""
    mac = mac_address.lower()
    if not _MAC.fullmatch(mac):
        raise InvalidInput(f"{mac_address!r} is not a MAC address; write it as fa:16:3e:00:00:01.")
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise InvalidInput(f"{mac_address!r} is a group address or zero; a NIC needs an address of its own.")
    return mac


def checked_ip(address: str) -> str:
    """The address in its usual form. Raises InvalidInput if it is none."""
    return str(_ip(address))


def checked_cidr(cidr: str) -> IpNetwork:
    """The block of addresses. Raises InvalidInput if it is none; bits of a host may be set, as with Neutron."""
    _, slash, length = cidr.partition("/")
    try:
        if (
            not slash or not length.isdecimal()
        ):  # a mask like 255.0.0.0 is another way to say less clearly what it is
            raise ValueError
        return ip_network(cidr, strict=False)
    except ValueError as error:
        raise InvalidInput(f"{cidr!r} is not a CIDR; write it as 10.0.0.0/24.") from error


def checked_subnet(cidr: str) -> IpNetwork:
    """The block of addresses of a subnet. Raises InvalidInput also for the block of all addresses, and, as Neutron, for
    one that begins with no address (`::`)."""
    block = checked_cidr(cidr)
    if block.prefixlen == 0:
        raise InvalidInput(f"{cidr!r} is all addresses, which are no subnet; write it as 10.0.0.0/24.")
    if block.network_address == IPv6Address("::"):
        raise InvalidInput(f"{cidr!r} begins with ::, which is no address; write it as 2001:db8::/64.")
    return block


def refuse_dhcp(block: IpNetwork) -> None:
    """Raise InvalidInput if nobody could have an address of this block by DHCP."""
    if block.is_multicast or block.is_loopback:
        kind = "multicast" if block.is_multicast else "loopback"
        raise InvalidInput(f"{block} is of {kind} addresses, so enable_dhcp can't be true; give false.")
    if block.num_addresses <= 2:
        raise InvalidInput(f"{block} has no address but its ends, so enable_dhcp can't be true; give false.")


def checked_destination(cidr: str) -> IpNetwork:
    """The block of addresses that a route leads to. Raises BadRequest also if bits of a host are set."""
    block = checked_cidr(cidr)
    if ip_address(cidr.partition("/")[0]) != block.network_address:
        raise BadRequest(f"{cidr!r} is not a block that a route can lead to; {block} may be meant.")
    return block


def is_host_address(address: str, block: IpNetwork) -> bool:
    """Whether a host of `block` may have this address of it: not what names the block, nor its broadcast."""
    return _lies(int(ip_address(address)), bounds(block))


def eui64_address(block: IpNetwork, mac_address: str) -> str:
    """The address that a NIC makes itself of a /64 of IPv6 (RFC 4862) by a modified EUI-64 (RFC 4291, appendix A)."""
    mac = bytes.fromhex(mac_address.replace(":", ""))
    identifier = bytes([mac[0] ^ 0x02]) + mac[1:3] + b"\xff\xfe" + mac[3:]
    return str(IPv6Address(int(block.network_address) | int.from_bytes(identifier)))


def version(address: str) -> int:
    """4 or 6."""
    return ip_address(address).version


def checked_gateway(address: str, block: IpNetwork) -> str:
    """The address in its usual form. Raises InvalidInput unless it is one of `block`'s version.

    It may lie outside of the block, as in Neutron, but of IPv4 may not be what names the block, or its broadcast;
    the first address of IPv6 is that of any router (RFC 4291, section 2.6.1).
    """
    gateway = _ip(address)
    if gateway.version != block.version:
        raise InvalidInput(f"Gateway {address} is not of the IP version of {block}.")
    if block.version == 4 and gateway in block and not _lies(int(gateway), bounds(block)):
        raise InvalidInput(
            f"Gateway {address} is the first or the last address of {block}, which no host has."
        )
    return str(gateway)


def checked_pools(block: IpNetwork, wanted: Sequence[Pool], gateway: str | None) -> list[Pool]:
    """Allocation pools in the usual form of their addresses.

    Raises InvalidAllocationPool, OutOfBoundsAllocationPool, OverlappingAllocationPools and
    GatewayConflictWithAllocationPools.
    """
    found = sorted((int(first), int(last)) for first, last in (_range(block, *pool) for pool in wanted))
    for one, other in pairwise(found):
        if other[0] <= one[1]:
            first, second = _texts(block, [one, other])
            raise OverlappingAllocationPools(first, second, str(block))
    chosen = _texts(block, found)
    if gateway is not None:
        refuse_gateway_in(chosen, gateway)
    return chosen


def refuse_gateway_in(ranges: Sequence[Pool], gateway: str) -> None:
    """Raise GatewayConflictWithAllocationPools if a port could be given the gateway's address."""
    for pool in ranges:
        if _lies(int(ip_address(gateway)), _numbers(pool)):
            raise GatewayConflictWithAllocationPools(gateway, pool)


def default_gateway(block: IpNetwork) -> str:
    """The first address of the block that a router may have: with IPv6, that of any router (RFC 4291)."""
    return str(block.network_address) if block.version == 6 else _texts(block, [bounds(block)])[0][0]


def default_pools(block: IpNetwork, gateway: str | None) -> list[Pool]:
    """All addresses that a host may have, without the gateway's."""
    first, last = bounds(block)
    if gateway is None or ip_address(gateway) not in block:
        return _texts(block, [(first, last)])
    middle = int(ip_address(gateway))
    return _texts(block, [(first, min(last, middle - 1)), (max(first, middle + 1), last)])


def first_free(ranges: Sequence[Pool], taken: Collection[str]) -> str | None:
    """The lowest address of the ranges that is not taken."""
    for pool in ranges:
        kind = type(ip_address(pool[0]))
        first, last = _numbers(pool)
        # As many numbers as addresses are taken can't all be taken if one more is tried.
        for number in range(first, min(last, first + len(taken)) + 1):
            if (address := str(kind(number))) not in taken:
                return address
    return None


def bounds(block: IpNetwork) -> tuple[int, int]:
    """The first and the last address that a host may have, as numbers.

    The first one of all names the block (IPv4) or any router (IPv6), the last one of IPv4 is the broadcast.
    """
    first, last = int(block.network_address), int(block.broadcast_address)
    if block.num_addresses <= 2:
        return first, last
    return first + 1, last - 1 if block.version == 4 else last


def _ip(address: str) -> IPv4Address | IPv6Address:
    try:
        found = ip_address(address)
    except ValueError as error:
        raise InvalidInput(f"{address!r} is not an IP address.") from error
    if "%" in str(found):
        raise InvalidInput(f"{address!r} names a zone of one host; leave out what follows the %.")
    return found


def _range(block: IpNetwork, start: str, end: str) -> tuple[IPv4Address | IPv6Address, ...]:
    first, last = _ip(start), _ip(end)
    if first.version != block.version or last.version != block.version or int(first) > int(last):
        raise InvalidAllocationPool((start, end))
    if not all(_lies(int(each), bounds(block)) for each in (first, last)):
        raise OutOfBoundsAllocationPool((start, end), str(block))
    return first, last


def _lies(number: int, within: tuple[int, int]) -> bool:
    return within[0] <= number <= within[1]


def _numbers(pool: Pool) -> tuple[int, int]:
    return int(ip_address(pool[0])), int(ip_address(pool[1]))


def _texts(block: IpNetwork, ranges: Sequence[tuple[int, int]]) -> list[Pool]:
    kind = type(block.network_address)
    return [(str(kind(low)), str(kind(high))) for low, high in ranges if low <= high]
