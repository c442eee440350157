"""Measures from outside for how long a VM answers nobody: ICMP echo at up to 1000 a second per address.

    probe = Probe(lab.observer, ["198.51.100.10", "203.0.113.10"], interval_ms=1)
    …migrate…
    for address, seen in probe.stop().items():
        print(address, seen.blackout_ms)

The observer runs `python -m kedge.lab.probe`, a process of its own. Arrivals carry the kernel's time stamps,
so that a late wake-up of the program is not taken for a gap.
"""

import argparse
import os
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .node import Node
from .sampling import SO_TIMESTAMPNS, Sampler, StopFlag, started, timespec_ns, write_result

_ECHO_REPLY, _ECHO_REQUEST = 0, 8
_HEADER = struct.Struct("!BBHHH")
_PAYLOAD = struct.Struct("!Q")


@dataclass
class AddressResult:
    """What a probe saw of one address; times in ms, instants in ns of the real-time clock.

    Attributes:
        sent: echo requests sent.
        answered: requests that were answered, however late.
        duplicates: further answers to a request that was answered.
        blackout_ms: the longest time without any answer, less one interval; 0 before the second answer.
        blackout_began_ns: when the last answer before it came, or None.
        gaps: (began_ns, ms) of each time over three intervals without an answer.
    """

    sent: int = 0
    answered: int = 0
    duplicates: int = 0
    blackout_ms: float = 0.0
    blackout_began_ns: int | None = None
    gaps: list[tuple[int, float]] = field(default_factory=list)


class Probe:
    """A probe that runs on a node of the lab until `stop`."""

    def __init__(self, node: Node, addresses: Sequence[str], interval_ms: float = 1.0) -> None:
        self._sampler = Sampler(node, "kedge.lab.probe", "--interval-ms", str(interval_ms), *addresses)

    def stop(self) -> dict[str, AddressResult]:
        """Ends the probe and gives what it saw, by address. Raises HostFailure if it wrote no result."""
        return {address: AddressResult(**seen) for address, seen in self._sampler.result().items()}


class _Track:
    """One address while it is probed."""

    def __init__(self, address: str, interval_ns: int) -> None:
        self.address = address
        self.result = AddressResult()
        self._interval_ns = interval_ns
        self._answered = bytearray()
        self._last_ns: int | None = None

    def next_sequence(self) -> int:
        self._answered.append(0)
        self.result.sent += 1
        return self.result.sent - 1

    def answer(self, sequence: int, at_ns: int) -> None:
        if sequence >= len(self._answered):
            return
        if self._answered[sequence]:
            self.result.duplicates += 1
        else:
            self._answered[sequence] = 1
            self.result.answered += 1
        self._note_gap(at_ns)
        self._last_ns = at_ns

    def _note_gap(self, at_ns: int) -> None:
        if self._last_ns is None:
            return
        gap_ns = at_ns - self._last_ns
        dark_ms = (gap_ns - self._interval_ns) / 1e6
        if dark_ms > self.result.blackout_ms:
            self.result.blackout_ms = round(dark_ms, 3)
            self.result.blackout_began_ns = self._last_ns
        if gap_ns > 3 * self._interval_ns:
            self.result.gaps.append((self._last_ns, round(dark_ms, 3)))

    def finish(self, at_ns: int) -> None:
        """A VM that answers no more is dark until the end."""
        if self._last_ns is None or self._last_ns < at_ns:
            self._note_gap(at_ns)


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _echo_request(identifier: int, sequence: int) -> bytes:
    # The header has 16 bits for the sequence number; the payload carries all of it.
    payload = _PAYLOAD.pack(sequence)
    head = _HEADER.pack(_ECHO_REQUEST, 0, 0, identifier, sequence & 0xFFFF)
    return _HEADER.pack(_ECHO_REQUEST, 0, _checksum(head + payload), identifier, sequence & 0xFFFF) + payload


class _Prober:
    def __init__(self, addresses: Sequence[str], interval_ms: float) -> None:
        self.interval_ns = int(interval_ms * 1e6)
        self.identifier = os.getpid() & 0xFFFF
        self.tracks = {address: _Track(address, self.interval_ns) for address in addresses}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def send(self) -> None:
        for track in self.tracks.values():
            request = _echo_request(self.identifier, track.next_sequence())
            try:
                self.socket.sendto(request, (track.address, 0))
            except OSError:
                # No route, no neighbour or a full queue: a request that is lost, which the result shows.
                continue

    def receive(self) -> None:
        while True:
            try:
                data, ancillary, _flags, (address, _port) = self.socket.recvmsg(256, 64)
            except BlockingIOError:
                return
            except OSError:
                continue
            icmp = data[(data[0] & 0xF) * 4 :]
            if len(icmp) < _HEADER.size + _PAYLOAD.size or address not in self.tracks:
                continue
            kind, _code, _sum, identifier, _sequence = _HEADER.unpack_from(icmp)
            if kind == _ECHO_REPLY and identifier == self.identifier:
                self.tracks[address].answer(
                    _PAYLOAD.unpack_from(icmp, _HEADER.size)[0], _arrival_ns(ancillary)
                )

    def run(self, stop: StopFlag) -> None:
        due = time.monotonic_ns()
        while not stop.set:
            self.send()
            due = max(due + self.interval_ns, time.monotonic_ns() - 10 * self.interval_ns)
            wait_ns = due - time.monotonic_ns()
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            self.receive()
        ended_ns = time.time_ns()
        # The last requests get the time of a round trip.
        time.sleep(0.05)
        self.receive()
        for track in self.tracks.values():
            track.finish(ended_ns)


def _arrival_ns(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            return timespec_ns(data)
    return time.time_ns()


def main() -> None:
    """Probes until SIGTERM, then writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("addresses", nargs="+")
    parser.add_argument("--interval-ms", type=float, default=1.0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    prober = _Prober(arguments.addresses, arguments.interval_ms)
    stop = StopFlag()
    started(arguments.output)
    prober.run(stop)
    write_result(arguments.output, {track.address: vars(track.result) for track in prober.tracks.values()})


if __name__ == "__main__":
    main()
