"""Watches for a VM's own frames on the device of its VIF, to measure when it was last, and first, heard.

A small program in the kernel looks at each frame of the device as a socket's filter (`socket_filter`). It notes the
times in memory that this process shares, and hands no frame on, so nobody here wakes for one.
"""

import array
import contextlib
import fcntl
import logging
import mmap
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from kedge.agent.frames.noting_program import ANSWERS_AT, NOTED, OWN_AT, noting_program
from kedge.agent.vif import ebpf
from kedge.agent.vif.link_events import drain, link_socket
from kedge.model.domain import FrameTimes
from kedge.model.errors import KedgeError

log = logging.getLogger(__name__)

_ETH_P_ALL = 0x0003
_SO_ATTACH_BPF = 50
_SIOCETHTOOL, _ETHTOOL_GDRVINFO = 0x8946, 3
_NO_DEVICE_POLL_MS = 1000


@dataclass(frozen=True)
class Heard:
    """What a VM sent of itself on a NIC, and what it answered to questions there."""

    frames: FrameTimes = field(default_factory=FrameTimes)
    answers: FrameTimes = field(default_factory=FrameTimes)


class FrameWatch:
    """Remembers when frames with the VM's source address came out of the VM, from now until `stop`.

    On a tap these are frames that come in, on a macvtap frames that go out; frames of the same address in the
    other direction come from the VM on the other host. RARP is left out, because QEMU sends it and not the VM.
    What the VM sends to itself answers a question (`questions`).
    """

    def __init__(self, device: str | Callable[[], str | None], mac: str) -> None:
        """`device` is a name, or what finds it (`None` as long as there is none); the device may come and go.

        Returns once the device is watched, if it is there. Raises OSError if there are no packet sockets, and
        HostFailure where the kernel takes no program.
        """
        self._find = device if callable(device) else lambda: device
        self._mac = bytes.fromhex(mac.replace(":", ""))
        self._map, self._noted = ebpf.shared_memory(2 * NOTED.size)
        self._heard = Heard()
        self._own, self._answers = _Times(self._noted, OWN_AT), _Times(self._noted, ANSWERS_AT)
        self._wake, self._stopped = socket.socketpair()
        self._links = link_socket()
        self._attached = threading.Event()
        self._thread = threading.Thread(target=self._run, name="frame-watch", daemon=True)
        self._thread.start()
        if self._device_index() is not None:
            self._attached.wait(1)

    def heard(self) -> Heard:
        """What was heard so far."""
        frames, answers = self._own.read(), self._answers.read()
        if frames is not self._heard.frames or answers is not self._heard.answers:
            self._heard = Heard(frames, answers)
        return self._heard

    def stop(self) -> Heard:
        """Stop watching; answers what was heard. Stopping again changes nothing."""
        if self._thread.is_alive():
            self._wake.send(b"!")
            self._thread.join()
            os.close(self._map)
        for each in (self._wake, self._stopped, self._links):
            each.close()
        return self.heard()

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
            except (OSError, KedgeError) as error:
                # The device went away in this instant, or the kernel takes no program.
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
        """Let the kernel watch until the device is gone (False), or the watch is stopped (True)."""
        name = socket.if_indextoname(index)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            program = ebpf.load(
                noting_program(self._mac, self._map, outgoing=is_macvtap(raw, name)), ebpf.SOCKET_FILTER
            )
            try:
                raw.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_BPF, program)
            finally:
                os.close(program)
            raw.bind((name, _ETH_P_ALL))
            self._attached.set()
            poll = select.poll()
            poll.register(self._stopped, select.POLLIN)
            poll.register(raw, select.POLLERR)
            while True:
                ready = {fd for fd, _ in poll.poll()}
                if self._stopped.fileno() in ready:
                    return True
                # The error is ENETDOWN. A device that is only down stays bound, and is heard again when it is up.
                if raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) and not _exists(index):
                    return False


class _Times:
    """Reads what the program noted of one kind of frames, in this host's real-time clock."""

    def __init__(self, noted: mmap.mmap, at: int) -> None:
        self._noted, self._at = noted, at
        self._raw = (0, 0, 0)
        self._times = FrameTimes()

    def read(self) -> FrameTimes:
        """What is noted now."""
        raw = NOTED.unpack_from(self._noted, self._at)
        if raw != self._raw and raw[2]:
            offset = time.time_ns() - time.monotonic_ns()
            first_ns = self._times.first_ns
            self._times = FrameTimes(
                raw[0] + offset if first_ns is None else first_ns, raw[1] + offset, raw[2]
            )
            self._raw = raw
        return self._times


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
    with contextlib.suppress(OSError):
        return bool(socket.if_indextoname(index))
    return False
