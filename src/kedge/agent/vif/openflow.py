"""A bridge's flows, over the socket that ovs-vswitchd has for each bridge: OpenFlow 1.0 with Nicira's extensions.

Why not `ovs-ofctl`: it is a process for each look, and a migration looks dozens of times. Why not an OpenFlow library:
they are frameworks for controllers. Four messages are all that is needed (openflow-spec-v1.0.0, and Open vSwitch's
include/openflow/nicira-ext.h): list the flows, add or remove one, send frames, and the barrier that says that all
before it was done. A match and its actions stay as they are on the wire: Open vSwitch answers in one canonical form,
so a flow is there if it reads as the one that was asked for.
"""

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kedge.model.errors import HostFailure

from .ovsdb import run_directory

TIMEOUT_S = 15

_VERSION = 1
_HELLO, _ERROR, _ECHO_REQUEST, _ECHO_REPLY, _VENDOR, _PACKET_OUT = 0, 1, 2, 3, 4, 13
_STATS_REQUEST, _STATS_REPLY, _BARRIER_REQUEST, _BARRIER_REPLY = 16, 17, 18, 19
_NICIRA, _FLOW_MOD, _FLOW_STATS, _VENDOR_STATS = 0x2320, 13, 0, 0xFFFF
_ADD, _DELETE_STRICT = 0, 4
_ALL_TABLES, _NO_BUFFER, _NO_PORT, _TO_NORMAL = 0xFF, 0xFFFFFFFF, 0xFFFF, 0xFFFA
_MORE = 1

_HEADER = struct.Struct("!BBHI")  # version, type, length, transaction
_STATS = struct.Struct("!HHII4x")  # type, flags, vendor, subtype
_STATS_OF = struct.Struct("!HHB3x")  # port that flows go out of, length of the match, table
_STATS_ENTRY = struct.Struct("!HBxIIHHHHHHQQQ")
_MOD = struct.Struct("!IIQHHHHIHHH6x")

# Headers of a match's fields (NXM): vendor, field, whether masked, length.
_IN_PORT, _VLAN_TCI_MASKED, _COOKIE = 0x00000002, 0x00000904, 0x00013C08
_VLAN_PRESENT, _VLAN_MASK = 0x1000, 0x1FFF

UNTAGGED = 0

NORMAL = struct.pack("!HHHH", 0, 8, _TO_NORMAL, 0)
STRIP_VLAN = struct.pack("!HH4x", 3, 8)
DROP = b""


def set_vlan(vlan: int) -> bytes:
    """The action that gives a frame this VLAN id, and a tag if it has none."""
    return struct.pack("!HHH2x", 1, 8, vlan)


def match(in_port: int | None = None, vlan: int | None = None) -> bytes:
    """What frames a flow is for: from a port, and of a VLAN, or UNTAGGED."""
    fields = b"" if in_port is None else struct.pack("!IH", _IN_PORT, in_port)
    if vlan is not None:
        fields += struct.pack("!IHH", _VLAN_TCI_MASKED, vlan and vlan | _VLAN_PRESENT, _VLAN_MASK)
    return fields


@dataclass(frozen=True, order=True)
class Flow:
    """A flow: what it is for (`match`) and does (`actions`), one action after another, both as on the wire."""

    cookie: int
    priority: int
    match: bytes
    actions: bytes
    table: int = 0

    def __str__(self) -> str:
        """In words that say the same each time."""
        return (
            f"cookie={self.cookie:#x}, table={self.table}, priority={self.priority}, "
            f"match={self.match.hex() or 'all'}, actions={self.actions.hex() or 'drop'}"
        )


def flows(bridge: str) -> set[Flow]:
    """All flows of a bridge, whoever made them. Raises HostFailure."""
    with _connection(bridge) as switch:
        return set(switch.flows())


def add(bridge: str, wanted: Sequence[Flow]) -> None:
    """Add flows in this order; one with the same match and priority is replaced. Raises HostFailure."""
    with _connection(bridge) as switch:
        switch.do((_VENDOR, _flow_mod(_ADD, flow)) for flow in wanted)


def remove(bridge: str, unwanted: Sequence[Flow]) -> None:
    """Remove exactly these flows, if they are there. Raises HostFailure."""
    with _connection(bridge) as switch:
        switch.do((_VENDOR, _flow_mod(_DELETE_STRICT, flow)) for flow in unwanted)


def packet_out(bridge: str, in_port: int, frames: Sequence[bytes]) -> None:
    """Let a bridge switch frames as if they had come in on the port numbered `in_port`. Raises HostFailure."""
    head = struct.pack("!IHH", _NO_BUFFER, in_port, len(NORMAL)) + NORMAL
    with _connection(bridge) as switch:
        switch.do((_PACKET_OUT, head + frame) for frame in frames)


class _Switch:
    """A conversation with one bridge, which both sides have said hello in."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rb")
        self._send((_HELLO, b""))
        self._receive(_HELLO)

    def do(self, orders: Iterable[tuple[int, bytes]]) -> None:
        """Let the bridge carry out messages, and wait until it has; raises ValueError if it refuses one."""
        self._send(*orders, (_BARRIER_REQUEST, b""))
        self._receive(_BARRIER_REPLY)

    def flows(self) -> Iterator[Flow]:
        """All flows."""
        question = _STATS.pack(_VENDOR_STATS, 0, _NICIRA, _FLOW_STATS)
        self._send((_STATS_REQUEST, question + _STATS_OF.pack(_NO_PORT, 0, _ALL_TABLES)))
        flags = _MORE
        while flags & _MORE:
            body = self._receive(_STATS_REPLY)
            _, flags, *_ = _STATS.unpack_from(body)
            yield from _entries(body[_STATS.size :])

    def _send(self, *messages: tuple[int, bytes]) -> None:
        """In one piece, so that whatever kills this process in between leaves nothing half said."""
        self._connection.sendall(
            b"".join(
                _HEADER.pack(_VERSION, kind, _HEADER.size + len(body), 0) + body for kind, body in messages
            )
        )

    def _receive(self, wanted: int) -> bytes:
        while True:
            _, kind, length, _ = _HEADER.unpack(self._read(_HEADER.size))
            if length < _HEADER.size:
                raise ValueError("it does not speak OpenFlow")
            body = self._read(length - _HEADER.size)
            if kind == _ERROR:
                what, code = struct.unpack_from("!HH", body)
                raise ValueError(f"it refuses with OpenFlow error {what}/{code}")
            if kind == wanted:
                return body
            if kind == _ECHO_REQUEST:
                self._send((_ECHO_REPLY, body))

    def _read(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) < count:
            raise ValueError("it hung up")
        return data


@contextmanager
def _connection(bridge: str) -> Iterator[_Switch]:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(str(run_directory() / f"{bridge}.mgmt"))
            yield _Switch(connection)
    except (OSError, ValueError, struct.error) as error:
        raise HostFailure(
            f"the Open vSwitch bridge {bridge} does not answer ({error}); does ovs-vswitchd run, and do the "
            "bridge's `protocols` allow OpenFlow10?"
        ) from error


def _flow_mod(command: int, flow: Flow) -> bytes:
    # To remove a flow, its cookie is a part of what is looked for, and no actions are named.
    found = flow.match
    actions = flow.actions
    if command == _DELETE_STRICT:
        found, actions = found + struct.pack("!IQ", _COOKIE, flow.cookie), b""
    head = _MOD.pack(
        _NICIRA, _FLOW_MOD, flow.cookie, command, 0, 0, flow.priority, _NO_BUFFER, _NO_PORT, 0, len(found)
    )
    return head + _padded(found) + actions


def _entries(data: bytes) -> Iterator[Flow]:
    at = 0
    while at < len(data):
        length, table, _, _, priority, _, _, match_length, _, _, cookie, _, _ = _STATS_ENTRY.unpack_from(
            data, at
        )
        begin = at + _STATS_ENTRY.size
        found = data[begin : begin + match_length]
        yield Flow(cookie, priority, found, data[begin + len(_padded(found)) : at + length], table)
        at += length


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)
