"""Watches for a VM's own frames on the device of its VIF, to measure when it was last, and first, heard.

The kernel writes frames and their times into a ring of blocks that this process shares (`packet(7)`,
TPACKET_V3). Of each block, however full, only the first and last time are read, so that watching a busy VM costs
hardly more than watching an idle one.
"""

import array
import contextlib
import ctypes
import fcntl
import logging
import mmap
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from kedge.agent.vif.link_events import drain, link_socket
from kedge.model.domain import FrameTimes
from kedge.model.errors import KedgeError

log = logging.getLogger(__name__)

_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_RX_RING, _PACKET_VERSION, _TPACKET_V3 = 263, 5, 10, 2
_SO_ATTACH_FILTER, _SO_TIMESTAMPNS = 26, 35
_SIOCETHTOOL, _ETHTOOL_GDRVINFO = 0x8946, 3

_BLOCK_SIZE, _BLOCKS, _FRAME_SIZE = 1 << 17, 16, 2048
_BLOCK_SIZE_FOR_ANSWERS = 1 << 12  # A VM gives few.
_RETIRE_MS = 10  # A block is handed over this long after it was begun, even if it is not full.
_KEPT_BYTES = 64  # Of each frame; nothing but its time is read.
_STATUS, _BLOCK_HEADER, _FRAME_TIME = 8, struct.Struct("=8xIII12xII"), struct.Struct("=4xII")
_LAST_TIME = struct.Struct("=II")
_LAST_TIME_AT = 40
_HANDED_OVER = 1
_NO_DEVICE_POLL_MS = 1000

# Classic BPF: (opcode, jump if true, jump if false, constant).
_LOAD_WORD, _LOAD_HALF, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x28, 0x15, 0x06
_PACKET_TYPE = 0xFFFFF004  # SKF_AD_OFF + SKF_AD_PKTTYPE
_OUTGOING = 4
_RARP = 0x8035


class FrameWatch:
    """Remembers when frames with the VM's source address came out of the VM, from now until `stop`.

    On a tap these are frames that come in, on a macvtap frames that go out; frames of the same address in the
    other direction come from the VM on the other host. RARP is left out, because QEMU sends it and not the VM.
    Times are known some 10 ms after the event, but are those of the event itself.
    """

    def __init__(self, device: str | Callable[[], str | None], mac: str, *, answers: bool = False) -> None:
        """`device` is a name, or what finds it (`None` as long as there is none); the device may come and go.

        What the VM sends to itself answers a question (`questions`). With `answers`, these are watched for, and
        without it all else.
        Returns once the device is watched, if it is there. Raises OSError if there are no packet sockets.
        """
        self._find = device if callable(device) else lambda: device
        self._filter_for = partial(_filter, bytes.fromhex(mac.replace(":", "")), answers=answers)
        self._block_size = _BLOCK_SIZE_FOR_ANSWERS if answers else _BLOCK_SIZE
        self._times = FrameTimes()
        self._wake, self._stopped = socket.socketpair()
        self._links = link_socket()
        self._attached = threading.Event()
        self._thread = threading.Thread(target=self._run, name="frame-watch", daemon=True)
        self._thread.start()
        if self._device_index() is not None:
            self._attached.wait(1)

    def times(self) -> FrameTimes:
        """What was seen so far."""
        return self._times

    def stop(self) -> FrameTimes:
        """Stop watching; answers what was seen. Stopping again changes nothing."""
        if self._thread.is_alive():
            self._wake.send(b"!")
            self._thread.join()
        for each in (self._wake, self._stopped, self._links):
            each.close()
        return self._times

    def _run(self) -> None:
        while True:
            index = self._device_index()
            if index is None:
                if self._wait_for_device():
                    return
                continue
            try:
                if self._watch(index):
                    return
            except OSError as error:
                # The device went away while the ring was being set up, or there is no memory for one.
                log.debug("watching device %d failed: %s", index, error)
                if self._wait_for_device():
                    return

    def _device_index(self) -> int | None:
        try:
            name = self._find()
            return socket.if_nametoindex(name) if name else None
        except (OSError, KedgeError):
            return None

    def _wait_for_device(self) -> bool:
        """Wait until some device changes; True to stop."""
        poll = select.poll()
        poll.register(self._stopped, select.POLLIN)
        poll.register(self._links, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(_NO_DEVICE_POLL_MS)}
        drain(self._links)
        return self._stopped.fileno() in ready

    def _watch(self, index: int) -> bool:
        """Read the ring until the device is gone (False), or the watch is stopped (True)."""
        name = socket.if_indextoname(index)
        with _ring(name, self._block_size, self._filter_for) as (raw, memory):
            self._attached.set()
            poll = select.poll()
            poll.register(self._stopped, select.POLLIN)
            poll.register(raw, select.POLLIN | select.POLLERR)
            block = 0
            while True:
                events = dict(poll.poll())
                if self._stopped.fileno() in events:
                    # What is in the block that is being filled is handed over within the next milliseconds.
                    threading.Event().wait(2 * _RETIRE_MS / 1000)
                block = self._read(memory, block)
                if self._stopped.fileno() in events:
                    return True
                # The error is ENETDOWN. A device that is only down stays bound, and is heard again when it is up.
                if raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) and not _exists(index):
                    return False

    def _read(self, memory: mmap.mmap, block: int) -> int:
        """Take the blocks that were handed over, from `block` on; answers the next to come."""
        for _ in range(_BLOCKS):
            at = block * self._block_size
            status, count, first_at, *_ = _BLOCK_HEADER.unpack_from(memory, at)
            if not status & _HANDED_OVER:
                return block
            if count:
                first = _FRAME_TIME.unpack_from(memory, at + first_at)
                last = _LAST_TIME.unpack_from(memory, at + _LAST_TIME_AT)
                self._note(_ns(*first), _ns(*last), count)
            struct.pack_into("=I", memory, at + _STATUS, 0)
            block = (block + 1) % _BLOCKS
        return block

    def _note(self, first_ns: int, last_ns: int, count: int) -> None:
        seen = self._times
        first = first_ns if seen.first_ns is None else seen.first_ns
        self._times = replace(seen, first_ns=first, last_ns=last_ns, frames=seen.frames + count)


@contextlib.contextmanager
def _ring(
    device: str, block_size: int, filter_for: Callable[..., list[tuple[int, int, int, int]]]
) -> Iterator[tuple[socket.socket, mmap.mmap]]:
    """A packet socket on `device` that hears only the VM's frames, with its ring."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
        _attach_filter(raw, filter_for(outgoing=is_macvtap(raw, device)))
        raw.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        raw.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
        frames = block_size * _BLOCKS // _FRAME_SIZE
        request = struct.pack("=7I", block_size, _BLOCKS, _FRAME_SIZE, frames, _RETIRE_MS, 0, 0)
        raw.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
        with mmap.mmap(raw.fileno(), block_size * _BLOCKS) as memory:
            raw.bind((device, _ETH_P_ALL))
            yield raw, memory


def _filter(mac: bytes, *, outgoing: bool, answers: bool) -> list[tuple[int, int, int, int]]:
    high, low = struct.unpack("!HI", mac)
    wrong_way = (_JUMP_IF_EQUAL, 0, 10, _OUTGOING) if outgoing else (_JUMP_IF_EQUAL, 10, 0, _OUTGOING)
    taken, other = (_KEPT_BYTES, 0) if answers else (0, _KEPT_BYTES)
    return [
        (_LOAD_WORD, 0, 0, _PACKET_TYPE),
        wrong_way,
        (_LOAD_WORD, 0, 0, 8),
        (_JUMP_IF_EQUAL, 0, 8, low),
        (_LOAD_HALF, 0, 0, 6),
        (_JUMP_IF_EQUAL, 0, 6, high),
        (_LOAD_HALF, 0, 0, 12),
        (_JUMP_IF_EQUAL, 4, 0, _RARP),
        (_LOAD_WORD, 0, 0, 2),
        (_JUMP_IF_EQUAL, 0, 4, low),
        (_LOAD_HALF, 0, 0, 0),
        (_JUMP_IF_EQUAL, 1, 2, high),
        (_RETURN, 0, 0, 0),
        (_RETURN, 0, 0, taken),
        (_RETURN, 0, 0, other),
    ]


def _attach_filter(raw: socket.socket, code: list[tuple[int, int, int, int]]) -> None:
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in code))
    raw.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(code), ctypes.addressof(program))
    )


def is_macvtap(raw: socket.socket, device: str) -> bool:
    """Whether the device's driver is macvlan's, as the kernel itself names it."""
    info = array.array("B", struct.pack("=I", _ETHTOOL_GDRVINFO).ljust(196, b"\0"))
    request = struct.pack("16sP", device.encode(), info.buffer_info()[0]).ljust(40, b"\0")
    try:
        fcntl.ioctl(raw, _SIOCETHTOOL, request)
    except OSError:
        return False
    return info.tobytes()[4:36].rstrip(b"\0") == b"macvlan"


def _exists(index: int) -> bool:
    try:
        socket.if_indextoname(index)
    except OSError:
        return False
    return True


def _ns(seconds: int, nanoseconds: int) -> int:
    return seconds * 1_000_000_000 + nanoseconds
