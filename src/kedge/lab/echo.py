"""ICMP echo requests, and what their answers say: for how long an address answered nobody."""

import struct
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

_ECHO_REPLY, _ECHO_REQUEST = 0, 8
_HEADER = struct.Struct("!BBHHH")
_PAYLOAD = struct.Struct("!Q")


@dataclass
class AddressResult:
    """What was seen of one address; times in ms, instants in ns of the real-time clock.

    Attributes:
        sent: echo requests sent.
        answered: requests that were answered, however late.
        duplicates: further answers to a request that was answered.
        blackout_ms: the longest time without any answer, less one interval; 0 before the second answer.
        blackout_began_ns: when the last answer before it came, or None.
        gaps: (began_ns, ms) of each time over three intervals without an answer.
        losses: (began_ns, ms) of each time in which requests were sent that were never answered. In a gap without any,
            the network was there: the VM had no processor for a while, and answered late.
    """

    sent: int = 0
    answered: int = 0
    duplicates: int = 0
    blackout_ms: float = 0.0
    blackout_began_ns: int | None = None
    gaps: list[tuple[int, float]] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)


class Track:
    """One address while it is asked."""

    def __init__(self, address: str, interval_ns: int) -> None:
        self.address = address
        self.result = AddressResult()
        self._interval_ns = interval_ns
        self._answered = bytearray()
        self._sent_ns = array("q")
        self._last_ns: int | None = None

    def next_sequence(self, at_ns: int | None = None) -> int:
        """The number of the next request, which counts as sent, now or then."""
        self._answered.append(0)
        self._sent_ns.append(time.time_ns() if at_ns is None else at_ns)
        self.result.sent += 1
        return self.result.sent - 1

    def answer(self, sequence: int, at_ns: int) -> None:
        """Note an answer and when it came."""
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
        self.result.losses = list(self._losses(at_ns))

    def _losses(self, at_ns: int) -> Iterator[tuple[int, float]]:
        began_ns: int | None = None
        for sent_ns, answered in zip(self._sent_ns, self._answered, strict=True):
            if not answered:
                began_ns = sent_ns if began_ns is None else began_ns
            elif began_ns is not None:
                yield began_ns, round((sent_ns - began_ns) / 1e6, 3)
                began_ns = None
        if began_ns is not None and began_ns < at_ns:
            yield began_ns, round((at_ns - began_ns) / 1e6, 3)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echo_request(identifier: int, sequence: int) -> bytes:
    """An ICMP message that asks for an echo."""
    # The header has 16 bits for the sequence number; the payload carries all of it.
    payload = _PAYLOAD.pack(sequence)
    head = _HEADER.pack(_ECHO_REQUEST, 0, 0, identifier, sequence & 0xFFFF)
    return _HEADER.pack(_ECHO_REQUEST, 0, checksum(head + payload), identifier, sequence & 0xFFFF) + payload


def replied(icmp: bytes, identifier: int) -> int | None:
    """Which request of ours an ICMP message answers; None if it answers none."""
    if len(icmp) < _HEADER.size + _PAYLOAD.size:
        return None
    kind, _code, _sum, whose, _sequence = _HEADER.unpack_from(icmp)
    if kind != _ECHO_REPLY or whose != identifier:
        return None
    return int(_PAYLOAD.unpack_from(icmp, _HEADER.size)[0])
