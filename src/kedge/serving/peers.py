"""Whom connections are counted for."""

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4096)
def peer_of(address: str) -> str:
    """The peer that an IP address belongs to: itself, or of IPv6 its /64, all of which one machine may use (RFC 4291).

    An IPv4 address in IPv6's clothes (::ffff:192.0.2.1) is that IPv4 address; anything else is as it is.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
