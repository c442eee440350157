"""MAC and IP addresses: checking, choosing and counting them."""

import re
import secrets
from collections.abc import Collection, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from .errors import InvalidInput

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_MAC_PREFIX = "fa:16:3e"  # Neutron's default `base_mac`

IpNetwork = IPv4Network | IPv6Network


def random_mac() -> str:
    """A MAC address in Neutron's range."""
    return _MAC_PREFIX + "".join(f":{byte:02x}" for byte in secrets.token_bytes(3))


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
    try:
        return str(ip_address(address))
    except ValueError as error:
        raise InvalidInput(f"{address!r} is not an IP address.") from error


def checked_cidr(cidr: str) -> IpNetwork:
    """The block of addresses. Raises InvalidInput if it is none; bits of a host may be set, as with Neutron."""
    try:
        return ip_network(cidr, strict=False)
    except ValueError as error:
        raise InvalidInput(f"{cidr!r} is not a CIDR; write it as 10.0.0.0/24.") from error


def default_gateway(block: IpNetwork) -> str:
    """The first address of the block that a host may have."""
    return str(next(_usable(block)))


def first_free(block: IpNetwork, taken: Collection[str]) -> str | None:
    """The lowest address of the block that is not taken."""
    return next((str(address) for address in _usable(block) if str(address) not in taken), None)


def pools(block: IpNetwork, gateway: str | None) -> list[tuple[str, str]]:
    """The ranges (first, last) that ports get addresses from: all usable ones without the gateway."""
    first, last = _bounds(block)
    if gateway is None:
        ranges = [(first, last)]
    else:
        middle = int(ip_address(gateway))
        ranges = [(first, min(last, middle - 1)), (max(first, middle + 1), last)]
    kind = type(block.network_address)
    return [(str(kind(low)), str(kind(high))) for low, high in ranges if low <= high]


def _bounds(block: IpNetwork) -> tuple[int, int]:
    # The first address names the block (IPv4) or any router (IPv6), the last one of IPv4 is the broadcast.
    first, last = int(block.network_address), int(block.broadcast_address)
    if block.num_addresses <= 2:
        return first, last
    return first + 1, last - 1 if block.version == 4 else last


def _usable(block: IpNetwork) -> Iterator[object]:
    first, last = _bounds(block)
    kind = type(block.network_address)
    return (kind(number) for number in range(first, last + 1))
