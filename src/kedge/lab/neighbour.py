"""Measures from a VM's own hosts for how long it answers nobody: a stand-in for another VM on the same network.

    own, vm = Place(mac, "198.51.100.101"), Place(vm_mac, "198.51.100.10")
    neighbour = Neighbour(lab.hosts["h1"], "tap0a1b2c3d-4e", own, vm)
    …migrate…
    print(neighbour.stop().blackout_ms)

The host runs `python -m kedge.lab.neighbour`, a process of its own. It opens a device that Kedge's agent has plugged
there, as QEMU would, answers ARP for its address, and asks the VM for echoes at up to 1000 a second.
"""

import argparse
import fcntl
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .echo import AddressResult, Track, checksum, echo_request, replied
from .node import Node
from .sampling import SO_TIMESTAMPNS, Sampler, StopFlag, arrival_ns, started, write_result

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_NO_OFFLOAD = bytes(10)
"""The header before each frame (struct virtio_net_hdr), as libvirt opens such devices with."""
_ETH_P_ALL, _ETH_P_IP, _ETH_P_ARP = 3, 0x0800, 0x0806
_ARP_REQUEST, _ARP_REPLY = 1, 2
_ETHERNET = struct.Struct("!6s6sH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ARP_IPV4 = (1, _ETH_P_IP, 6, 4)
_IP = struct.Struct("!BBHHHBBH4s4s")
_FIRST_ANSWER_S = 5.0
"""A bridge notices only after a moment that somebody has opened a tap in it."""


@dataclass(frozen=True)
class Place:
    """Where frames go: a MAC and an IPv4 address."""

    mac: str
    address: str

    @property
    def hardware(self) -> bytes:
        """The MAC's six bytes."""
        return bytes.fromhex(self.mac.replace(":", ""))

    @property
    def protocol(self) -> bytes:
        """The address's four bytes."""
        return socket.inet_aton(self.address)


class Neighbour:
    """A neighbour that runs on a host of the lab until `stop`; the VM has answered it, or not within 5 s."""

    def __init__(self, node: Node, device: str, own: Place, vm: Place, interval_ms: float = 5.0) -> None:
        places = (own.mac, own.address, vm.mac, vm.address)
        self._sampler = Sampler(
            node, "kedge.lab.neighbour", "--interval-ms", str(interval_ms), device, *places
        )

    def stop(self) -> AddressResult:
        """Ends the neighbour and gives what it saw. Raises HostFailure if it wrote no result."""
        return AddressResult(**self._sampler.result())


def request_frame(own: Place, vm: Place, identifier: int, sequence: int) -> bytes:
    """An echo request as an Ethernet frame."""
    message = echo_request(identifier, sequence)
    parts = (0x45, 0, _IP.size + len(message), 0, 0, 64, socket.IPPROTO_ICMP)
    sums = checksum(_IP.pack(*parts, 0, own.protocol, vm.protocol))
    head = _IP.pack(*parts, sums, own.protocol, vm.protocol)
    return _ETHERNET.pack(vm.hardware, own.hardware, _ETH_P_IP) + head + message


def reply_in(frame: bytes, own: Place, vm: Place, identifier: int) -> int | None:
    """Which request of ours a frame answers; None if it answers none."""
    if len(frame) < _ETHERNET.size + _IP.size:
        return None
    destination, _source, ether_type = _ETHERNET.unpack_from(frame)
    if destination != own.hardware or ether_type != _ETH_P_IP:
        return None
    version, _, _, _, _, _, protocol, _, sender, receiver = _IP.unpack_from(frame, _ETHERNET.size)
    if (protocol, sender, receiver) != (socket.IPPROTO_ICMP, vm.protocol, own.protocol):
        return None
    return replied(frame[_ETHERNET.size + (version & 0xF) * 4 :], identifier)


def arp_answer(frame: bytes, own: Place) -> bytes | None:
    """The frame that answers an ARP request for our address; None if this is no such request."""
    if len(frame) < _ETHERNET.size + _ARP.size or _ETHERNET.unpack_from(frame)[2] != _ETH_P_ARP:
        return None
    *kind, operation, asker, asker_ip, _, wanted = _ARP.unpack_from(frame, _ETHERNET.size)
    if tuple(kind) != _ARP_IPV4 or operation != _ARP_REQUEST or wanted != own.protocol:
        return None
    answer = _ARP.pack(*_ARP_IPV4, _ARP_REPLY, own.hardware, own.protocol, asker, asker_ip)
    return _ETHERNET.pack(asker, own.hardware, _ETH_P_ARP) + answer


def _open(device: str) -> int:
    """Open a tap or a macvtap as a VM's own end of it."""
    nodes = [Path("/dev", each.name) for each in Path(f"/sys/class/net/{device}/macvtap").glob("tap*")]
    file = os.open(nodes[0] if nodes else "/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
    fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH22x", device.encode(), flags))
    return file


def _listen(device: str) -> socket.socket:
    """A socket that hears what passes the device, with the kernel's time stamps, which the device's file lacks."""
    capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    capture.setblocking(False)
    capture.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    capture.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    capture.bind((device, _ETH_P_ALL))
    return capture


class _Asker:
    def __init__(self, device: str, own: Place, vm: Place, interval_ms: float) -> None:
        self.interval_ns = int(interval_ms * 1e6)
        self.own, self.vm = own, vm
        self.identifier = os.getpid() & 0xFFFF
        self.track = Track(vm.address, self.interval_ns)
        self.file = _open(device)
        self.capture = _listen(device)

    def _write(self, frame: bytes) -> None:
        # A full queue or a device that is down: a frame that is lost, which the result shows.
        with suppress(OSError):
            os.write(self.file, _NO_OFFLOAD + frame)

    def _receive(self, timeout_s: float) -> None:
        """Hear what comes within this time."""
        if not select.select([self.capture], [], [], max(timeout_s, 0))[0]:
            return
        with suppress(OSError):
            while True:
                frame, ancillary, _flags, _address = self.capture.recvmsg(2048, 64)
                sequence = reply_in(frame, self.own, self.vm, self.identifier)
                if sequence is not None:
                    self.track.answer(sequence, arrival_ns(ancillary))
                elif answer := arp_answer(frame, self.own):
                    self._write(answer)

    def _drain(self) -> None:
        """Take from the device what was heard, so that its queue never fills."""
        with suppress(OSError):
            while os.read(self.file, 65536):
                pass

    def ask_until(self, enough: Callable[[], bool]) -> None:
        """Ask once per interval."""
        due = time.monotonic_ns()
        while not enough():
            self._write(request_frame(self.own, self.vm, self.identifier, self.track.next_sequence()))
            due = max(due + self.interval_ns, time.monotonic_ns() - 10 * self.interval_ns)
            while (wait_ns := due - time.monotonic_ns()) > 0:
                self._receive(wait_ns / 1e9)
            self._drain()

    def finish(self) -> AddressResult:
        """What was seen; the last requests get the time of a round trip."""
        ended_ns = time.time_ns()
        deadline = time.monotonic() + 0.05
        while (left_s := deadline - time.monotonic()) > 0:
            self._receive(left_s)
        self.track.finish(ended_ns)
        return self.track.result


def main() -> None:
    """Asks until SIGTERM, then writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("device")
    for name in ("own-mac", "own-address", "vm-mac", "vm-address"):
        parser.add_argument(name)
    parser.add_argument("--interval-ms", type=float, default=5.0)
    parser.add_argument("--output", type=Path, required=True)
    given = vars(parser.parse_args())
    stop = StopFlag()
    own, vm = (Place(given[f"{who}-mac"], given[f"{who}-address"]) for who in ("own", "vm"))
    asker = _Asker(given["device"], own, vm, given["interval_ms"])
    deadline = time.monotonic() + _FIRST_ANSWER_S
    asker.ask_until(lambda: stop.set or asker.track.result.answered > 0 or time.monotonic() > deadline)
    started(given["output"])
    asker.ask_until(lambda: stop.set)
    write_result(given["output"], vars(asker.finish()))


if __name__ == "__main__":
    main()
