"""eBPF programs on a device that see each of its frames before all else (tc-bpf(8))."""

import socket
import struct

from . import rtnetlink
from .rtnetlink import CREATE, REPLACE, attribute, by_kind

_HEADER = struct.Struct("=B3xiIII")  # family, index, handle, parent, priority and protocol
_CLSACT, _CLSACT_HANDLE = 0xFFFFFFF1, 0xFFFF0000
_DIRECTIONS = (0xFFFFFFF2, 0xFFFFFFF3)  # The two hooks of a clsact: in and out.
_KIND, _OPTIONS = 1, 2
_CLASS, _PROGRAM, _NAME, _FLAGS = 3, 6, 7, 8
_DIRECT_ACTION = 1
_ALL_FRAMES = socket.htons(0x0003)
_FIRST = 1


def attach(index: int, program: int, name: str) -> None:
    """Run a loaded program on each frame that comes in on a device or goes out of it. Raises OSError."""
    hooks = _HEADER.pack(0, index, _CLSACT_HANDLE, _CLSACT, 0) + attribute(_KIND, b"clsact")
    rtnetlink.change(rtnetlink.NEW_QDISC, hooks, CREATE | REPLACE)
    options = attribute(_CLASS, struct.pack("=I", 1)) + attribute(_PROGRAM, struct.pack("=I", program))
    options += attribute(_NAME, name.encode() + b"\0") + attribute(_FLAGS, struct.pack("=I", _DIRECT_ACTION))
    wanted = attribute(_KIND, b"bpf") + attribute(_OPTIONS, options)
    for direction in _DIRECTIONS:
        head = _HEADER.pack(0, index, _FIRST, direction, _FIRST << 16 | _ALL_FRAMES)
        rtnetlink.change(rtnetlink.NEW_FILTER, head + wanted, CREATE | REPLACE)


def is_attached(index: int, name: str) -> bool:
    """Whether the program of this name runs on a device in both directions. Raises OSError."""
    return all(name in _programs(index, direction) for direction in _DIRECTIONS)


def _programs(index: int, direction: int) -> set[str]:
    messages = rtnetlink.dump(rtnetlink.GET_FILTER, _HEADER.pack(0, index, 0, direction, 0))
    found = (by_kind(by_kind(message, _HEADER.size).get(_OPTIONS, b"")) for message in messages)
    return {options[_NAME].rstrip(b"\0").decode(errors="replace") for options in found if _NAME in options}
