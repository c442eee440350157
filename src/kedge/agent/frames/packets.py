"""Ethernet frames of ARP and of IPv6's neighbour discovery, byte by byte."""

import struct

ARP, RARP, IPV6 = 0x0806, 0x8035, 0x86DD
"""Ethertypes."""
ARP_REQUEST = 1

_ICMPV6 = 58
_SHORTEST_FRAME = 60  # Ethernet's 64 bytes without the checksum.


def ethernet(destination: bytes, source: bytes, protocol: int, payload: bytes) -> bytes:
    """A frame, without its checksum."""
    return (destination + source + struct.pack("!H", protocol) + payload).ljust(_SHORTEST_FRAME, b"\0")


def arp(operation: int, sender_mac: bytes, sender_ip: bytes, target_mac: bytes, target_ip: bytes) -> bytes:
    """A packet of ARP for IPv4 on Ethernet (RFC 826), or of RARP (RFC 903)."""
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + sender_mac + sender_ip + target_mac + target_ip


def neighbour_discovery(kind: int, source: bytes, destination: bytes, body: bytes) -> bytes:
    """An IPv6 packet with a message of neighbour discovery (RFC 4861) of this ICMPv6 type."""
    header = struct.pack("!BB", kind, 0)
    length = len(header) + 2 + len(body)
    covered = source + destination + struct.pack("!II", length, _ICMPV6) + header + bytes(2) + body
    message = header + struct.pack("!H", _checksum(covered)) + body
    return struct.pack("!IHBB", 0x60000000, length, _ICMPV6, 255) + source + destination + message


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
