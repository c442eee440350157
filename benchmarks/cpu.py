"""The CPU that Kedge's processes use, by the kernel's accounting of them: `python -m benchmarks.cpu`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from kedge.lab import tour
from kedge.lab.cloud import URL, Cloud
from kedge.lab.processes import child_of, cpu_s

REST_S = 20.0
"""So long after the last change everything is at rest."""

IDLE_S = 60.0


class Meter:
    """Reads how much CPU each of Kedge's processes has used, in seconds."""

    def __init__(self, cloud: Cloud) -> None:
        started = {"control plane": cloud.control, **cloud.agents}
        # The lab starts each behind `nsenter`, which only waits for it.
        self._pids = {
            name: child_of(process.pid) or process.pid
            for name, process in started.items()
            if process is not None
        }

    def read(self) -> dict[str, float]:
        """By process: "control plane", and each agent by its host."""
        return {name: cpu_s(pid) for name, pid in self._pids.items()}

    def since(self, before: Mapping[str, float]) -> dict[str, float]:
        """What each process has used since it was read."""
        return {name: after - before[name] for name, after in self.read().items()}


def idle(meter: Meter) -> dict[str, Any]:
    """The share of one core, in percent, that the processes use while nothing is asked of them."""
    before = meter.read()
    time.sleep(IDLE_S)
    percent = {name: 100 * seconds / IDLE_S for name, seconds in meter.since(before).items()}
    control = percent.pop("control plane")
    return {
        "seconds": IDLE_S,
        "agents": percent,
        "control_plane": control,
        "per_host": control / len(percent),
    }


@dataclass(frozen=True)
class Command:
    """A run of `kedge migrate`: what it wrote, its own CPU in seconds, and how long it took in ms."""

    output: str
    cpu_s: float
    wall_ms: float


def kedge_migrate(server: str, destination: str) -> Command:
    """What a person does. Raises CalledProcessError."""
    argv = [sys.executable, "-m", "kedge", "--url", URL, "migrate", server, "--to", destination, "--json"]
    before, began = _children_s(), time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    wall_ms = (time.monotonic() - began) * 1000
    return Command(done.stdout, _children_s() - before, wall_ms)


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def by_kind(used: Mapping[str, float], command_s: float, source: str, destination: str) -> dict[str, float]:
    """The CPU of one migration by kind of process, in seconds."""
    taking_part = {source, destination}
    agents = {name: seconds for name, seconds in used.items() if name != "control plane"}
    kinds = {
        "command": command_s,
        "control plane": used["control plane"],
        "both agents": sum(seconds for name, seconds in agents.items() if name in taking_part),
        "other agents": sum(seconds for name, seconds in agents.items() if name not in taking_part),
    }
    return kinds | {"all": sum(kinds.values())}


def medians(moves: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each kind's median."""
    return {kind: round(median(each[kind] for each in moves), 3) for kind in moves[0]}


def table(resting: Mapping[str, Any], moves: Mapping[str, float]) -> str:
    """CPU per migration and idle CPU as Markdown."""
    agents = resting["agents"].values()
    lines = ["| CPU per migration (median) | s |", "|---|--:|"]
    lines += [f"| {kind} | {seconds:.2f} |" for kind, seconds in moves.items()]
    lines += ["", "| idle CPU | % of a core |", "|---|--:|"]
    lines += [f"| an agent | {min(agents):.2f} to {max(agents):.2f} |"]
    lines += [f"| the control plane, per host | {resting['per_host']:.3f} |"]
    return "\n".join(lines)


def main() -> None:
    """One VM through all pairs of hosts, without a probe beside it."""
    with Cloud.up(print) as cloud:
        way = tour.every_pair(list(cloud.lab.hosts))
        tour.make_vm(cloud, "vm1", way[0])
        meter = Meter(cloud)
        time.sleep(REST_S)
        resting = idle(meter)
        print(json.dumps(resting), flush=True)
        moves = []
        for source, destination in pairwise(way):
            before = meter.read()
            command = kedge_migrate("vm1", destination)
            moves.append(by_kind(meter.since(before), command.cpu_s, source, destination))
            print(source, destination, f"{command.wall_ms:.0f} ms", moves[-1], flush=True)
            time.sleep(1)
    print(table(resting, medians(moves)))


if __name__ == "__main__":
    main()
