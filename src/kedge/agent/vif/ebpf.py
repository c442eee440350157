"""Small eBPF programs that see packets, run by the kernel or once for what they do, and the memory that they share."""

import ctypes
import mmap
import os
import platform
import struct
from collections.abc import Sequence
from typing import Any

from kedge.model.errors import HostFailure

_SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
_MAP_CREATE, _PROG_LOAD, _PROG_TEST_RUN = 0, 5, 10
_MAP_TYPE_ARRAY, _MMAPABLE = 2, 1 << 10
SOCKET_FILTER, SCHED_CLS = 1, 3
"""Kinds of programs: one decides what a socket receives, the other handles packets on their way."""
_RETURNED = struct.Struct("=4xi")
_LIBC: Any = ctypes.CDLL(None, use_errno=True)


def load(program: Sequence[tuple[int, int, int, int]], kind: int = SCHED_CLS) -> int:
    """The file descriptor of a loaded program. Raises HostFailure where the kernel can't.

    Of each instruction: opcode, destination register | source register << 4, offset, immediate.
    """
    # struct bpf_insn has its registers in two halves of a byte, in the order of the machine's bytes.
    code = ctypes.create_string_buffer(b"".join(struct.pack("=BBhi", *each) for each in program))
    licence = ctypes.create_string_buffer(b"MIT")
    attributes = struct.pack(
        "=IIQQIIQ",
        kind,
        len(program),
        ctypes.addressof(code),
        ctypes.addressof(licence),
        0,
        0,
        0,
    )
    loaded, _ = _bpf("load an eBPF program", _PROG_LOAD, attributes)
    return loaded


def run(program: int, frame: bytes) -> int:
    """Run a loaded program on a frame that is nowhere else; what its helpers do is done.

    Answers what the program returns. Raises HostFailure where the kernel can't.
    """
    data = ctypes.create_string_buffer(frame, len(frame))
    attributes = struct.pack("=IIIIQQ48x", program, 0, len(frame), 0, ctypes.addressof(data), 0)
    _, answer = _bpf("run an eBPF program", _PROG_TEST_RUN, attributes)
    (returned,) = _RETURNED.unpack_from(answer)
    return int(returned)


def shared_memory(size: int) -> tuple[int, mmap.mmap]:
    """A map with one value of so many bytes, zero at first: its file descriptor, and the value, to read.

    Raises HostFailure where the kernel can't (it can from 5.5 on).
    """
    attributes = struct.pack("=IIIII", _MAP_TYPE_ARRAY, 4, size, 1, _MMAPABLE)
    made, _ = _bpf("make an eBPF map", _MAP_CREATE, attributes)
    return made, mmap.mmap(made, size, access=mmap.ACCESS_READ)


def _bpf(what: str, command: int, attributes: bytes) -> tuple[int, bytes]:
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise HostFailure(f"Kedge does not know how to {what} on {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes, len(attributes))  # the kernel writes its answer into it
    result: int = _LIBC.syscall(number, command, buffer, len(attributes))
    if result < 0:
        raise HostFailure(f"the kernel refused to {what}: {os.strerror(ctypes.get_errno())}")
    return result, buffer.raw
