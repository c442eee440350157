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
import time
from collections.abc import Sequence
from pathlib import Path

from .echo import AddressResult, Track, echo_request, replied
from .node import Node
from .sampling import SO_TIMESTAMPNS, Sampler, StopFlag, arrival_ns, started, write_result


class Probe:
    """A probe that runs on a node of the lab until `stop`."""

    def __init__(self, node: Node, addresses: Sequence[str], interval_ms: float = 1.0) -> None:
        self._sampler = Sampler(node, "kedge.lab.probe", "--interval-ms", str(interval_ms), *addresses)

    def stop(self) -> dict[str, AddressResult]:
        """Ends the probe and gives what it saw, by address. Raises HostFailure if it wrote no result."""
        return {address: AddressResult(**seen) for address, seen in self._sampler.result().items()}


class _Prober:
    def __init__(self, addresses: Sequence[str], interval_ms: float) -> None:
        self.interval_ns = int(interval_ms * 1e6)
        self.identifier = os.getpid() & 0xFFFF
        self.tracks = {address: Track(address, self.interval_ns) for address in addresses}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def send(self) -> None:
        for track in self.tracks.values():
            request = echo_request(self.identifier, track.next_sequence())
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
            sequence = replied(data[(data[0] & 0xF) * 4 :], self.identifier)
            if sequence is not None and address in self.tracks:
                self.tracks[address].answer(sequence, arrival_ns(ancillary))

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
