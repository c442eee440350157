"""Captures a VM's frames on a device, to prove when its MAC is heard where, and with which VLAN tag.

    sniffer = Sniffer(lab.fabric, "h2-phys1", source="52:54:00:00:00:01")
    …migrate…
    for frame in sniffer.stop():
        print(frame.at_ns, frame.kind, frame.vlan)

The node runs `python -m kedge.lab.sniff`, a process of its own. Time stamps are the kernel's.
"""

import argparse
import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .node import Node
from .sampling import SO_TIMESTAMPNS, Sampler, StopFlag, started, timespec_ns, write_result

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_AUXDATA = 263, 1, 8  # linux/if_packet.h
_PACKET_MR_PROMISC = 1
_PACKET_OUTGOING = 4
_TP_STATUS_VLAN_VALID = 1 << 4
_KINDS = {0x0800: "ipv4", 0x0806: "arp", 0x8035: "rarp", 0x86DD: "ipv6"}
_VLAN_TAGS = {0x8100, 0x88A8}


@dataclass(frozen=True)
class Frame:
    """One captured frame.

    Attributes:
        at_ns: when the kernel saw it, real-time clock.
        outgoing: sent by this side of the device; False: received from its other end.
        source, destination: MAC addresses, lower case.
        vlan: the VLAN id of its tag, or None.
        kind: `arp`, `rarp`, `ipv4`, `ipv6`, or the EtherType as 0x….
        length: bytes, without the tag if the kernel took it off.
        head: the first 64 bytes after the Ethernet header, in hex.
    """

    at_ns: int
    outgoing: bool
    source: str
    destination: str
    vlan: int | None
    kind: str
    length: int
    head: str


class Sniffer:
    """A capture that runs on a node of the lab until `stop`."""

    def __init__(self, node: Node, device: str, source: str | None = None) -> None:
        only = ["--source", source] if source else []
        self._sampler = Sampler(node, "kedge.lab.sniff", *only, device)

    def stop(self) -> list[Frame]:
        """Ends the capture and gives the frames, oldest first. Raises HostFailure if it wrote no result."""
        return [Frame(**frame) for frame in self._sampler.result()]


def _open(device: str) -> socket.socket:
    # Protocol 0 receives nothing yet; bind starts it on the one device.
    capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    capture.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    capture.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    capture.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
    membership = struct.pack("@iHH8s", socket.if_nametoindex(device), _PACKET_MR_PROMISC, 0, b"")
    capture.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, membership)
    capture.bind((device, _ETH_P_ALL))
    return capture


def _mac(data: bytes) -> str:
    return data.hex(":")


def _frame(data: bytes, ancillary: Sequence[tuple[int, int, bytes]], packet_type: int) -> Frame:
    at_ns, vlan = time.time_ns(), None
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            at_ns = timespec_ns(value)
        if level == _SOL_PACKET and kind == _PACKET_AUXDATA:
            # struct tpacket_auxdata; the kernel keeps a tag that it took off the frame there.
            status, _len, _snap, _mac_at, _net_at, tci, _tpid = struct.unpack("@IIIHHHH", value[:20])
            if status & _TP_STATUS_VLAN_VALID:
                vlan = tci & 0xFFF
    ether_type, start = struct.unpack_from("!H", data, 12)[0], 14
    if ether_type in _VLAN_TAGS and len(data) >= 18:
        tci, ether_type = struct.unpack_from("!HH", data, 14)
        vlan, start = tci & 0xFFF, 18
    return Frame(
        at_ns=at_ns,
        outgoing=packet_type == _PACKET_OUTGOING,
        source=_mac(data[6:12]),
        destination=_mac(data[0:6]),
        vlan=vlan,
        kind=_KINDS.get(ether_type, f"0x{ether_type:04x}"),
        length=len(data),
        head=data[start : start + 64].hex(),
    )


def _capture(capture: socket.socket, source: str | None, stop: StopFlag) -> list[Frame]:
    frames = []
    wanted = bytes.fromhex(source.replace(":", "")) if source else None
    end_ns = None
    while end_ns is None or time.time_ns() < end_ns:
        if stop.set and end_ns is None:
            # What the kernel has queued by now still belongs to the capture.
            end_ns = time.time_ns() + 50_000_000
        readable, _, _ = select.select([capture], [], [], 0.05)
        if not readable:
            continue
        try:
            data, ancillary, _flags, address = capture.recvmsg(2048, 256)
        except OSError:
            # The device went down, or away: what was heard until then is the capture.
            continue
        if len(data) >= 14 and (wanted is None or data[6:12] == wanted):
            frames.append(_frame(data, ancillary, address[2]))
    return frames


def main() -> None:
    """Captures until SIGTERM, then writes the frames."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("device")
    parser.add_argument("--source", help="only frames from this MAC")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    stop = StopFlag()
    capture = _open(arguments.device)
    started(arguments.output)
    frames = _capture(capture, arguments.source, stop)
    write_result(arguments.output, [asdict(frame) for frame in frames])


if __name__ == "__main__":
    main()
