"""What a VM that says nothing is asked, so that it is heard: who has its own addresses.

The questions are handed to the VM alone (`to_vm`). They name the VM's own MAC as that of who asks, so the VM sends its
answer to itself: no switch forwards a frame to where it came from, and no switch, neighbour or cache learns
anything that is not so. Nothing else a VM sends is addressed to itself, so answers are told from its other frames.

Linux answers. A system that takes no ARP from its own MAC (FreeBSD's) does not; then only its own frames are measured.
"""

import ipaddress
from collections.abc import Sequence

from kedge.agent.frames.packets import ARP, ARP_REQUEST, IPV6, arp, ethernet, neighbour_discovery

_NEIGHBOUR_SOLICITATION = 135
_SOURCE_LINK_LAYER_ADDRESS = 1
# Who asks by IPv6 must have an address, or all nodes get the answer (RFC 4861, 7.2.4). The link-local one of nobody.
_NOBODY = ipaddress.IPv6Address("fe80::6b65:6467:6500:0").packed


def questions(mac: str, ips: Sequence[str]) -> list[bytes]:
    """A frame for each of a VM's addresses.

    For IPv4 an ARP probe (RFC 5227): as its sender has no address, no cache takes it in. For IPv6 a neighbour
    solicitation sent to the one who is asked, as when it is only to be known whether it is still there (RFC 4861, 7.3).
    Raises ValueError for what is no address.
    """
    vm = bytes.fromhex(mac.replace(":", ""))
    # The frame's own sender differs from the VM, which may drop what seems to be its own.
    asker = bytes([0xFA if vm[0] == 0xFE else 0xFE]) + vm[1:]
    return [_question(vm, asker, ipaddress.ip_address(ip)) for ip in ips]


def _question(vm: bytes, asker: bytes, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    if isinstance(ip, ipaddress.IPv4Address):
        return ethernet(vm, asker, ARP, arp(ARP_REQUEST, vm, bytes(4), bytes(6), ip.packed))
    body = bytes(4) + ip.packed + bytes((_SOURCE_LINK_LAYER_ADDRESS, 1)) + vm
    return ethernet(vm, asker, IPV6, neighbour_discovery(_NEIGHBOUR_SOLICITATION, _NOBODY, ip.packed, body))
