"""Hears what a VM sends on all devices of a node, without any CPU while it listens: frames wait in the socket."""

import ctypes
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kedge.lab.layout import NETNS_DIRECTORY
from kedge.lab.node import Node
from kedge.lab.sampling import SO_TIMESTAMPNS, arrival_ns

_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_ROOM = 256 << 20
"""Bytes for the frames of some seconds; the kernel counts nearly 1 KiB for a small one."""
_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800
_KEPT_BYTES = 64
_CLONE_NEWNET = 0x40000000
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06


@dataclass(frozen=True)
class Overheard:
    """A frame: when the kernel saw it (ns of its real-time clock), on which device, its sender, whether it is IPv4."""

    at_ns: int
    device: str
    mac: str
    is_ip: bool


class Ears:
    """Open on one node for some MACs, until `heard`."""

    def __init__(self, node: Node, macs: Sequence[str]) -> None:
        with inside(node):
            # Not bound, so it hears every device, also those that are still to come.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._attach(macs)

    def _attach(self, macs: Sequence[str]) -> None:
        lasts = [int(mac.replace(":", "")[4:], 16) for mac in macs]  # a MAC's last four bytes tell VMs apart
        code = [(_LOAD_WORD, 0, 0, 8)]
        code += [(_JUMP_IF_EQUAL, len(lasts) - number, 0, last) for number, last in enumerate(lasts)]
        code += [(_RETURN, 0, 0, 0), (_RETURN, 0, 0, _KEPT_BYTES)]
        program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in code))
        self._socket.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(code), ctypes.addressof(program))
        )

    def heard(self) -> list[Overheard]:
        """What was heard until now. Closes the ears."""
        found = []
        with self._socket, suppress(BlockingIOError):
            while True:
                try:
                    data, ancillary, _flags, address = self._socket.recvmsg(_KEPT_BYTES, 64)
                except BlockingIOError:
                    raise
                except OSError:
                    continue  # a device went down
                is_ip = struct.unpack_from("!H", data, 12)[0] == _ETH_P_IP
                found.append(Overheard(arrival_ns(ancillary), address[0], data[6:12].hex(":"), is_ip))
        return found


@contextmanager
def inside(node: Node) -> Iterator[None]:
    """Within the block, this thread is in the node's network."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(namespace: Path) -> None:
        with namespace.open() as opened:
            if libc.setns(opened.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"can't enter {namespace}")

    with Path("/proc/thread-self/ns/net").open() as own:
        enter(NETNS_DIRECTORY / node.netns)
        try:
            yield
        finally:
            if libc.setns(own.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"{os.getpid()} can't leave {node.netns}")
