"""Keeps VLAN-tagged frames off a device that belongs to a flat network.

A Linux bridge and a macvtap hand every frame on, tagged or not. The interface below a flat network carries
tagged frames of other networks too, so without this a VM would see them, and could send its own into any VLAN.
A small eBPF program on the device drops them in both directions; a priority tag (VLAN id 0) is no VLAN.
Open vSwitch needs none of this: its access ports do the same.
"""

import os
import socket

from .ebpf import load
from .link import Link
from .links import Links

NAME = "kedge-untagged"

# See `ebpf.load`.
_LOAD_WORD, _LOAD_FRAME_HALF, _MOVE, _COPY, _AND, _EXIT = 0x61, 0x28, 0xB7, 0xBF, 0x57, 0x95
_IF_EQUAL, _IF_NOT_EQUAL = 0x15, 0x55
_PROTOCOL, _VLAN_PRESENT, _VLAN_TCI = (
    16,
    20,
    24,
)  # Offsets in struct __sk_buff; the protocol is in network order.
_TAG_AT, _NEXT_PROTOCOL_AT = 14, 16  # Offsets in a frame that begins with a tag.
_C_TAG, _S_TAG = 0x8100, 0x88A8
_VLAN_ID = 0x0FFF
_TC_ACT_OK, _TC_ACT_SHOT = 0, 2
_PROGRAM = (
    (_COPY, 0x16, 0, 0),
    # A tag that the kernel or the device has taken out of the frame.
    (_LOAD_WORD, 0x12, _VLAN_PRESENT, 0),
    (_IF_EQUAL, 0x02, 3, 0),
    (_LOAD_WORD, 0x12, _VLAN_TCI, 0),
    (_AND, 0x02, 0, _VLAN_ID),
    (_IF_NOT_EQUAL, 0x02, 13, 0),
    # A tag that is still in it.
    (_LOAD_WORD, 0x12, _PROTOCOL, 0),
    (_IF_EQUAL, 0x02, 3, socket.htons(_C_TAG)),
    (_IF_EQUAL, 0x02, 10, socket.htons(_S_TAG)),
    (_MOVE, 0x00, 0, _TC_ACT_OK),
    (_EXIT, 0x00, 0, 0),
    (_LOAD_FRAME_HALF, 0x00, 0, _TAG_AT),
    (_AND, 0x00, 0, _VLAN_ID),
    (_IF_NOT_EQUAL, 0x00, 5, 0),
    (_LOAD_FRAME_HALF, 0x00, 0, _NEXT_PROTOCOL_AT),
    (_IF_EQUAL, 0x00, 3, _C_TAG),
    (_IF_EQUAL, 0x00, 2, _S_TAG),
    (_MOVE, 0x00, 0, _TC_ACT_OK),
    (_EXIT, 0x00, 0, 0),
    (_MOVE, 0x00, 0, _TC_ACT_SHOT),
    (_EXIT, 0x00, 0, 0),
)


def only_untagged(links: Links, device: Link) -> None:
    """Drop tagged frames on `device` from now on. Raises HostFailure where the kernel can't."""
    if passes_only_untagged(links, device):
        return
    program = load(_PROGRAM)
    try:
        links.attach(device, program, NAME)
    finally:
        os.close(program)


def passes_only_untagged(links: Links, device: Link) -> bool:
    """Whether tagged frames are dropped on `device`."""
    return links.is_attached(device, NAME)
