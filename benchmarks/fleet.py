"""What planning, simulating and driving cost per migration, in fleets of very different size.

`python -m benchmarks.fleet [--hosts 100,1000,10000] [--drains 4] [--changed 1,8] [--all]`

The REST interface of operations, its planner, placement and store are the real ones, on SQLite; hosts are simulated,
and their time passes as soon as somebody waits for them. Each fleet has a process of its own, and 20 VMs a host.
"""

import argparse
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from .fleet_world import BACKENDS, PER_HOST, FleetWorld, host_name

SIZES = (100, 1000, 10_000)
DRAINS = 4
CHANGED = (1, 8)
IDLE_ROUNDS = 5
_MOST_ROUNDS = 200

FIGURES = {
    "plan_cpu_ms": "plan a drain: CPU ms",
    "plan_statements": "… statements",
    "simulate_few_cpu_ms": "simulate a transition of a few hosts: CPU ms",
    "simulate_many_cpu_ms": "simulate a transition of more hosts: CPU ms",
    "simulate_all_cpu_ms": "simulate a transition of all hosts: CPU ms",
    "simulate_all_statements": "… statements",
    "drive_cpu_ms": "drive it: CPU ms",
    "drive_statements": "… statements",
    "idle_cpu_ms": "a round that finds nothing new: CPU ms (not per migration)",
    "idle_statements": "… statements",
    "peak_mib": "memory of the process, MiB (in all)",
}


def measure(
    hosts: int,
    *,
    drains: int = DRAINS,
    changed: Sequence[int] = CHANGED,
    per_host: int = PER_HOST,
    all_hosts: bool = False,
) -> dict[str, Any]:
    """One fleet of this size. All but what its name says is per migration. With `all_hosts` it takes minutes."""
    with tempfile.TemporaryDirectory(prefix="kedge-fleet-") as directory:
        began = time.monotonic()
        world = FleetWorld(Path(directory), hosts, per_host)
        built_s = time.monotonic() - began
        try:
            _plan(world, 0)  # What is done once, is done.
            found = {f"plan_{name}": value for name, value in _plan(world, 1).items()}
            for name, number in zip(("few", "many"), changed, strict=True):
                cost = _simulate_transition(world, number)
                found |= {f"simulate_{name}_{each}": value for each, value in cost.items()}
            if all_hosts:
                cost = _simulate_transition_of_all(world, hosts)
                found |= {f"simulate_all_{each}": value for each, value in cost.items()}
            found |= _drive(world, range(2, 2 + drains))
        finally:
            world.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"hosts": hosts, "built_s": built_s, "peak_mib": peak, **found}


def _plan(world: FleetWorld, host: int) -> dict[str, float]:
    before = world.meter.read()
    prediction = world.post("/simulate", {"operation": {"kind": "drain", "host": host_name(host)}})
    cost = world.meter.since(before)
    if len(prediction["legs"]) != world.per_host or prediction["unmoved"]:
        raise RuntimeError(f"the drain of {host_name(host)} was not planned: {prediction['unmoved']}")
    return {name: value / world.per_host for name, value in cost.items()}


def _simulate_transition(world: FleetWorld, hosts: int) -> dict[str, float]:
    """So many hosts of Linux bridges are to have Open vSwitch: each is changed, and gets its servers back."""
    return _simulated(
        world, [host_name(len(BACKENDS) * number) for number in range(hosts)], "openvswitch", {}
    )


def _simulate_transition_of_all(world: FleetWorld, hosts: int) -> dict[str, float]:
    """Every host is to have macvtap."""
    return _simulated(world, [host_name(number) for number in range(hosts)], "macvtap", {"physnet1": "eth9"})


def _simulated(
    world: FleetWorld, hosts: Sequence[str], backend: str, mappings: Mapping[str, str]
) -> dict[str, float]:
    transition = {"hosts": hosts, "to_backend": backend, "mappings": mappings, "way": "moves"}
    before = world.meter.read()
    prediction = world.post("/simulate", {"operation": {"kind": "transition", "transition": transition}})
    cost = world.meter.since(before)
    migrations = len(prediction["legs"]) + prediction["more_legs"]
    if migrations != 2 * len(hosts) * world.per_host or prediction["unmoved"]:
        raise RuntimeError(f"{migrations} migrations, and these stay: {prediction['unmoved']}")
    return {name: value / migrations for name, value in cost.items()}


def _drive(world: FleetWorld, hosts: Sequence[int]) -> dict[str, float]:
    """Drain these hosts, one after the other."""
    migrations, idle_rounds = 0, 0
    in_all, idle = {"cpu_ms": 0.0, "statements": 0.0}, {"cpu_ms": 0.0, "statements": 0.0}
    for host in hosts:
        before = world.meter.read()
        operation_id = world.post("", {"kind": "drain", "host": host_name(host)})["id"]
        _add(in_all, world.meter.since(before))
        for _ in range(_MOST_ROUNDS):
            before = world.meter.read()
            world.driver.round(operation_id)
            _add(in_all, world.meter.since(before))
            if world.operations.find(operation_id).finished_at is not None:
                break
            before = world.meter.read()
            for _ in range(IDLE_ROUNDS):
                world.driver.round(operation_id)
            idle_rounds += IDLE_ROUNDS
            _add(idle, world.meter.since(before))
            before = world.meter.read()
            migrations += world.drive_migrations()
            _add(in_all, world.meter.since(before))
        ended = world.operations.find(operation_id)
        if ended.state != "completed":
            raise RuntimeError(f"the drain of {ended.host} is {ended.state}")
    if world.fabric.violations:
        raise RuntimeError(f"hosts were told what must never be: {world.fabric.violations}")
    return {f"drive_{name}": value / migrations for name, value in in_all.items()} | {
        f"idle_{name}": value / idle_rounds for name, value in idle.items()
    }


def _add(sums: dict[str, float], cost: dict[str, float]) -> None:
    for name, value in cost.items():
        sums[name] += value


def run(
    sizes: Sequence[int] = SIZES,
    *,
    drains: int = DRAINS,
    changed: Sequence[int] = CHANGED,
    all_hosts: bool = False,
) -> dict[str, Any]:
    """Every fleet in a process of its own, so that none has what another left."""
    measured = []
    for hosts in sizes:
        wanted = ["--one", str(hosts), "--drains", str(drains), "--changed", ",".join(map(str, changed))]
        wanted += ["--all"] if all_hosts else []
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.fleet", *wanted], check=True, stdout=subprocess.PIPE
        )
        measured.append(json.loads(done.stdout))
        print(f"{hosts} hosts: built in {measured[-1]['built_s']:.0f} s", file=sys.stderr)
    return {"per_host": PER_HOST, "changed": list(changed), "drains": drains, "fleets": measured}


def table(result: dict[str, Any]) -> str:
    """Markdown: a column for each fleet, and the largest beside the smallest."""
    fleets = result["fleets"]
    heads = [f"{each['hosts']:,} hosts".replace(",", " ") for each in fleets]
    lines = [f"| per migration | {' | '.join(heads)} | ratio |", f"|---|{'--:|' * (len(fleets) + 1)}"]
    for name, title in FIGURES.items():
        if name not in fleets[0]:
            continue
        values = [each[name] for each in fleets]
        ratio = values[-1] / values[0] if values[0] else 0.0
        lines.append(f"| {title} | {' | '.join(f'{value:.1f}' for value in values)} | {ratio:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--hosts", default=",".join(map(str, SIZES)), help="the sizes of the fleets")
    parser.add_argument("--drains", type=int, default=DRAINS, help="so many hosts are drained in each")
    parser.add_argument(
        "--changed",
        default=",".join(map(str, CHANGED)),
        help="so few and so many hosts change their backend in simulations",
    )
    parser.add_argument("--all", action="store_true", help="simulate a transition of all hosts, too: minutes")
    parser.add_argument("--one", type=int, help="measure one fleet of this size, and print JSON")
    chosen = parser.parse_args()
    changed = [int(each) for each in chosen.changed.split(",")]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if chosen.one is not None:
        print(json.dumps(measure(chosen.one, drains=chosen.drains, changed=changed, all_hosts=chosen.all)))
        return
    sizes = [int(each) for each in chosen.hosts.split(",")]
    print(table(run(sizes, drains=chosen.drains, changed=changed, all_hosts=chosen.all)))


if __name__ == "__main__":
    main()
