"""What lies between a VM's downtime and the blackout that is seen from outside: `python -m benchmarks.pause`.

Some pairs of hosts are taken by Kedge and by a bare virsh in turn. All moments are of the machine's real-time clock:
QEMU's own time stamps of its events STOP and RESUME, and the kernel's of frames.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

import libvirt
import libvirt_qemu

from kedge.agent.domains.libvirt_connection import start_event_loop
from kedge.lab import tour
from kedge.lab.cloud import Cloud
from kedge.lab.probe import Probe
from kedge.model.errors import HostFailure
from kedge.model.server import Phase

from .bare import BareVm
from .moves import BARE, INTERVAL_MS
from .overheard import Ears, inside

PAIRS = (("h1", "h2"), ("h2", "h3"), ("h3", "h5"), ("h5", "h4"), ("h4", "h1"))
ROUNDS = 4
_UPLINKS = frozenset({"eth1", "eth2", "ens5", "ens6"})

PARTS = {
    "answer_to_stop": "the last answer heard outside, to STOP in the source's QEMU",
    "stop_to_resume": "STOP, to RESUME in the destination's QEMU",
    "resume_to_frame": "RESUME, to the guest's first frame on its device",
    "frame_to_answer": "that frame, to the first answer heard outside",
}


@dataclass(frozen=True)
class Pause:
    """One move; times in ms. `parts` add up to the blackout."""

    source: str
    destination: str
    by: str
    blackout_ms: float
    downtime_ms: float | None
    stop_to_switch_ms: float | None
    parts: Mapping[str, float]

    @property
    def beyond_ms(self) -> float | None:
        """How much longer the blackout was than the downtime that libvirt tells."""
        return None if self.downtime_ms is None else self.blackout_ms - self.downtime_ms


@dataclass(frozen=True)
class Told:
    """What is told of a move by who made it: the guest's downtime, and when the bindings were switched."""

    downtime_ms: float | None
    switched_ns: int | None = None


class QemuEvents:
    """When QEMU on any host of the lab stopped and resumed a VM, by its own clock."""

    def __init__(self, cloud: Cloud) -> None:
        start_event_loop()
        self._heard: list[tuple[int, str, str, str]] = []
        self._connections = []
        for name, host in cloud.lab.hosts.items():
            with inside(cloud.lab.control):
                connection = libvirt.open(host.libvirt_uri)
            for event in ("STOP", "RESUME"):
                libvirt_qemu.qemuMonitorEventRegister(connection, None, event, self._note, name)
            self._connections.append(connection)

    def _note(
        self, _connection: Any, domain: Any, event: str, seconds: int, micros: int, _details: Any, host: str
    ) -> None:
        self._heard.append((seconds * 1_000_000_000 + micros * 1000, host, domain.UUIDString(), event))

    def first(self, host: str, uuid: str, event: str, after_ns: int) -> int:
        """When the VM's QEMU on this host first said so after an instant. Raises HostFailure if it did not."""
        for at_ns, *said in sorted(self._heard):
            if at_ns > after_ns and said == [host, uuid, event]:
                return at_ns
        raise HostFailure(f"QEMU on {host} never said {event} of {uuid}")


class Stopwatch:
    """Takes the moves of one VM apart."""

    def __init__(self, cloud: Cloud, events: QemuEvents, uuid: str, nics: Mapping[str, str]) -> None:
        """`nics` are the VM's MACs by their addresses."""
        self._cloud = cloud
        self._events = events
        self._uuid = uuid
        self._nics = nics

    def take(self, by: str, source: str, destination: str, move: Callable[[], Told]) -> Pause:
        """One move from host to host, which `move` makes."""
        probe = Probe(self._cloud.lab.observer, list(self._nics), INTERVAL_MS)
        time.sleep(tour.SETTLE_S)
        ears = Ears(self._cloud.lab.hosts[destination], list(self._nics.values()))
        began_ns = time.time_ns()
        told = move()
        time.sleep(tour.SETTLE_S)
        frames = ears.heard()
        address, seen = max(probe.stop().items(), key=lambda each: each[1].blackout_ms)
        last_ns = seen.blackout_began_ns or began_ns
        stopped_ns = self._events.first(source, self._uuid, "STOP", began_ns)
        resumed_ns = self._events.first(destination, self._uuid, "RESUME", began_ns)
        of_guest = (f for f in frames if f.mac == self._nics[address] and f.device not in _UPLINKS)
        frame_ns = min(f.at_ns for f in of_guest if f.is_ip and f.at_ns > resumed_ns)
        moments = (last_ns, stopped_ns, resumed_ns, frame_ns, last_ns + round(seen.blackout_ms * 1e6))
        parts = {
            name: (end - begin) / 1e6 for name, (begin, end) in zip(PARTS, pairwise(moments), strict=True)
        }
        switch_ms = None if told.switched_ns is None else (told.switched_ns - stopped_ns) / 1e6
        return Pause(source, destination, by, seen.blackout_ms, told.downtime_ms, switch_ms, parts)


def run(pairs: Sequence[tuple[str, str]] = PAIRS, rounds: int = ROUNDS) -> list[Pause]:
    """These pairs, each of which begins where the one before ended, in one lab."""
    taken = []
    with Cloud.up(print) as cloud:
        server = tour.make_vm(cloud, "vm1", pairs[0][0])
        bare = BareVm(cloud, pairs[0][0], BARE)
        events = QemuEvents(cloud)
        ports = cloud.get("/network/v2.0/ports")["ports"]
        macs = {port["fixed_ips"][0]["ip_address"]: port["mac_address"] for port in ports}
        ours = Stopwatch(cloud, events, server["id"], {each: macs[each] for each in tour.ADDRESSES})
        theirs = Stopwatch(cloud, events, bare.uuid, {each: macs[each] for each in bare.addresses})
        for source, destination in [*pairs] * rounds:
            taken.append(ours.take("Kedge", source, destination, partial(_by_kedge, cloud, destination)))
            print(taken[-1], flush=True)
            with bare.prepared(source, destination):
                taken.append(
                    theirs.take("virsh", source, destination, partial(_bare, bare, source, destination))
                )
            print(taken[-1], flush=True)
    return taken


def _by_kedge(cloud: Cloud, destination: str) -> Told:
    migration = cloud.migrate("vm1", destination)
    switched = (entry["at_ns"] for entry in migration["timeline"] if entry["phase"] == Phase.SWITCHED)
    return Told(migration["guest_downtime_ms"], next(switched))


def _bare(bare: BareVm, source: str, destination: str) -> Told:
    bare.migrate(source, destination)
    return Told(bare.downtime_ms(destination))


def table(taken: Sequence[Pause]) -> str:
    """Medians by who moved the VM, as a Markdown table."""
    movers = sorted({each.by for each in taken})
    lines = [f"| medians, ms | {' | '.join(movers)} |", f"|---|{'--:|' * len(movers)}"]

    def line(name: str, of: Callable[[Pause], float | None]) -> None:
        cells = []
        for mover in movers:
            known = [value for each in taken if each.by == mover and (value := of(each)) is not None]
            cells.append(f"{median(known):.0f}" if known else "-")
        lines.append(f"| {name} | {' | '.join(cells)} |")

    for part, words in PARTS.items():
        line(words, lambda each, part=part: each.parts[part])  # type: ignore[misc]
    line("**blackout**", lambda each: each.blackout_ms)
    line("libvirt's downtime", lambda each: each.downtime_ms)
    line("blackout beyond that", lambda each: each.beyond_ms)
    line("STOP to the switch of the bindings", lambda each: each.stop_to_switch_ms)
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(run()))
