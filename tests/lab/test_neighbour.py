"""The frames of a neighbour of a VM: what it asks, what it takes for an answer, and what it answers itself."""

import socket
import struct

import pytest

from kedge.lab.echo import Track, checksum
from kedge.lab.neighbour import Place, arp_answer, reply_in, request_frame

OWN = Place("52:54:00:00:00:01", "198.51.100.101")
VM = Place("52:54:00:00:00:02", "198.51.100.10")
OTHER = Place("52:54:00:00:00:03", "198.51.100.11")
WHOSE, NUMBER = 4711, 70_000


def reply(sender: Place = VM, receiver: Place = OWN, identifier: int = WHOSE) -> bytes:
    """What the guest's kernel makes of a request: the same, with both ends and the type changed."""
    asked = request_frame(receiver, sender, identifier, NUMBER)
    turned = asked[6:12] + asked[:6] + asked[12:26] + asked[30:34] + asked[26:30]
    return turned + b"\0" + asked[35:]


def arp(operation: int, wanted: Place, asker: Place = VM) -> bytes:
    head = bytes(b"\xff" * 6) + asker.hardware + struct.pack("!H", 0x0806)
    kind = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return head + kind + asker.hardware + asker.protocol + bytes(6) + wanted.protocol + bytes(18)


def test_a_request_is_a_whole_frame_with_right_checksums() -> None:
    frame = request_frame(OWN, VM, WHOSE, NUMBER)
    assert frame[:14] == VM.hardware + OWN.hardware + b"\x08\x00"
    assert checksum(frame[14:34]) == 0
    assert checksum(frame[34:]) == 0
    length, protocol = struct.unpack_from("!H", frame, 16)[0], frame[23]
    assert (length, protocol) == (len(frame) - 14, socket.IPPROTO_ICMP)
    assert (frame[26:30], frame[30:34]) == (OWN.protocol, VM.protocol)


def test_a_reply_says_which_request_it_answers_also_beyond_16_bits() -> None:
    assert reply_in(reply(), OWN, VM, WHOSE) == NUMBER
    assert reply_in(reply() + bytes(4), OWN, VM, WHOSE) == NUMBER  # an Ethernet frame may be padded


@pytest.mark.parametrize(
    "frame",
    [
        request_frame(OWN, VM, WHOSE, NUMBER),
        request_frame(VM, OWN, WHOSE, NUMBER),
        reply(sender=OTHER),
        reply(receiver=OTHER),
        reply(identifier=WHOSE + 1),
        reply()[:40],
        arp(1, OWN),
        b"",
    ],
    ids=["own", "the VM's", "another's", "to another", "of another program", "cut off", "ARP", "nothing"],
)
def test_what_is_no_reply(frame: bytes) -> None:
    assert reply_in(frame, OWN, VM, WHOSE) is None


def test_it_answers_arp_for_its_own_address() -> None:
    answer = arp_answer(arp(1, OWN), OWN)
    assert answer is not None
    assert answer[:14] == VM.hardware + OWN.hardware + b"\x08\x06"
    operation, *told = struct.unpack_from("!H6s4s6s4s", answer, 20)
    assert (operation, told) == (2, [OWN.hardware, OWN.protocol, VM.hardware, VM.protocol])


@pytest.mark.parametrize(
    "frame",
    [arp(1, OTHER), arp(2, OWN), arp(1, OWN)[:30], request_frame(VM, OWN, WHOSE, NUMBER)],
    ids=["for another", "an answer", "cut off", "IPv4"],
)
def test_what_it_does_not_answer(frame: bytes) -> None:
    assert arp_answer(frame, OWN) is None


def test_the_longest_time_without_an_answer_is_kept() -> None:
    track = Track(VM.address, 5_000_000)
    for at_ms in (0, 5, 10, 130, 135):
        track.answer(track.next_sequence(), at_ms * 1_000_000)
    track.finish(150_000_000)
    assert (track.result.blackout_ms, track.result.blackout_began_ns) == (115.0, 10_000_000)


def test_what_was_lost_is_told_from_what_was_answered_late() -> None:
    track = Track(VM.address, 5_000_000)
    asked = [track.next_sequence(at_ms * 1_000_000) for at_ms in range(0, 100, 5)]
    for sequence in asked:
        if not 4 <= sequence < 7:
            late_ms = 200 if 10 <= sequence < 18 else 0
            track.answer(sequence, (sequence * 5 + late_ms) * 1_000_000)
    track.finish(400_000_000)
    assert track.result.losses == [(20_000_000, 15.0)]


def test_one_that_answers_no_more_is_dark_until_the_end() -> None:
    track = Track(VM.address, 5_000_000)
    track.answer(track.next_sequence(), 0)
    track.finish(300_000_000)
    assert track.result.blackout_ms == 295.0
    assert track.result.losses == []
    track.next_sequence(100_000_000)
    track.finish(300_000_000)
    assert track.result.losses == [(100_000_000, 200.0)]
