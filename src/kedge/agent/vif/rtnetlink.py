"""Questions and orders to the kernel about network devices: rtnetlink(7), each over a socket of its own.

Why not pyroute2: it begins an event loop for each request and takes every answer apart to the last field, which was
half of what an agent did in a migration. A socket costs next to nothing, and so nobody waits for another's request,
least of all for the removal of a device, which takes the kernel tens of milliseconds. The namespace is that of the
calling thread.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping

NEW_LINK, DELETE_LINK, GET_LINK = 16, 17, 18
GET_ADDRESS = 22
NEW_NEIGHBOUR, GET_NEIGHBOUR = 28, 30
NEW_QDISC, NEW_FILTER, GET_FILTER = 36, 44, 46

CREATE, EXCLUSIVE, REPLACE = 0x400, 0x200, 0x100

_REQUEST, _ACKNOWLEDGE, _DUMP = 0x1, 0x4, 0x300
_DUMP_INTERRUPTED, _ACKNOWLEDGED_WITH_ATTRIBUTES = 0x10, 0x200
_ERROR, _DONE = 2, 3
_SOL_NETLINK, _CAPPED, _EXTENDED = 270, 10, 11
_MESSAGE_ATTRIBUTE = 1

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF

_TIMEOUT_S = 30.0
_BUFFER = 1 << 17  # The kernel puts no more than 32 KiB into one answer.
_DUMPS = 20


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute, padded."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + bytes(-len(data) % 4)


def attributes(data: bytes, at: int = 0) -> Iterator[tuple[int, bytes]]:
    """The attributes from an offset on, each with its kind."""
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += length + -length % 4


def by_kind(data: bytes, at: int = 0) -> Mapping[int, bytes]:
    """The same ones where each kind is there once."""
    return dict(attributes(data, at))


def get(kind: int, body: bytes) -> bytes:
    """The one answer to a question. Raises OSError as the kernel refuses."""
    for _, answer in _asked(kind, _REQUEST, body):
        return answer
    raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))


def dump(kind: int, body: bytes) -> list[bytes]:
    """All of a sort, as they were at one instant. Raises OSError as the kernel refuses."""
    for _ in range(_DUMPS):
        answers = list(_asked(kind, _REQUEST | _DUMP, body))
        # What changed in between may have hidden something: then it is asked again.
        if not any(flags & _DUMP_INTERRUPTED for flags, _ in answers):
            return [answer for _, answer in answers]
    raise OSError(errno.EAGAIN, "it changes too fast to be listed")


def change(kind: int, body: bytes, flags: int = 0) -> None:
    """Let the kernel change something, and wait until it has. Raises OSError as it refuses."""
    for _ in _asked(kind, _REQUEST | _ACKNOWLEDGE | flags, body):
        pass


def _asked(kind: int, flags: int, body: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of the answer, with their flags."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_TIMEOUT_S)
        kernel.setsockopt(_SOL_NETLINK, _EXTENDED, 1)
        kernel.setsockopt(_SOL_NETLINK, _CAPPED, 1)
        kernel.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
        while True:
            data, at = kernel.recv(_BUFFER), 0
            while at < len(data):
                length, sort, told, _, _ = _HEADER.unpack_from(data, at)
                answer = data[at + _HEADER.size : at + length]
                at += length + -length % 4
                if sort in (_ERROR, _DONE):
                    _raise_if_refused(answer, told)
                    return
                yield told, answer
                if not flags & (_DUMP | _ACKNOWLEDGE):
                    return


def _raise_if_refused(answer: bytes, flags: int) -> None:
    code = -struct.unpack_from("=i", answer)[0]
    if code <= 0:
        return
    message = b""
    if flags & _ACKNOWLEDGED_WITH_ATTRIBUTES:
        message = by_kind(answer, 4 + _HEADER.size).get(_MESSAGE_ATTRIBUTE, b"").rstrip(b"\0")
    raise OSError(code, os.strerror(code) + (f" ({message.decode(errors='replace')})" if message else ""))
