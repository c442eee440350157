"""Blackout, downtime and total time of every pair of hosts, beside a bare virsh: `python -m benchmarks.moves`."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from statistics import median
from typing import Any

from kedge.lab import tour
from kedge.lab.cloud import Cloud
from kedge.lab.echo import AddressResult
from kedge.lab.neighbourhood import Neighbourhood
from kedge.lab.probe import Probe
from kedge.model.errors import HostFailure

from . import cpu
from .bare import BareVm

INTERVAL_MS = 1.0
BARE = {"blue": "198.51.100.40", "green": "203.0.113.40"}


def run() -> dict[str, Any]:
    """All 20 ordered pairs, each by Kedge and then by virsh, in one lab; times in ms."""
    with Cloud.up(print) as cloud:
        way = tour.every_pair(list(cloud.lab.hosts))
        neighbourhood = tour.make_neighbours(cloud)
        tour.make_vm(cloud, "vm1", way[0])
        meter = cpu.Meter(cloud)
        time.sleep(cpu.REST_S)
        resting = cpu.idle(meter)
        bare = BareVm(cloud, way[0], BARE)
        results: list[dict[str, Any]] = []
        for source, destination in pairwise(way):
            ours = _with_kedge(cloud, meter, neighbourhood, source, destination)
            theirs = asdict(bare.move(source, destination, INTERVAL_MS))
            results.append({"source": source, "destination": destination, "kedge": ours, "virsh": theirs})
            print(_row(results[-1]), flush=True)
    used = cpu.medians([each["kedge"]["cpu_s"] for each in results])
    return {
        "interval_ms": INTERVAL_MS,
        "pairs": results,
        "summary": _summary(results),
        "cpu": {"idle": resting, "per_migration_s": used},
    }


def _with_kedge(
    cloud: Cloud, meter: cpu.Meter, neighbourhood: Neighbourhood, source: str, destination: str
) -> dict[str, Any]:
    """What a person does: the command, from its start to its end."""
    neighbours = [neighbourhood.start(host, "vm1") for host in (source, destination)]
    probe = Probe(cloud.lab.observer, tour.ADDRESSES, INTERVAL_MS)
    time.sleep(tour.SETTLE_S)
    before = meter.read()
    command = cpu.kedge_migrate("vm1", destination)
    used = meter.since(before)
    time.sleep(tour.SETTLE_S)
    seen = probe.stop()
    on_source, on_destination = (neighbour.stop() for neighbour in neighbours)
    migration = json.loads(command.output)
    starts = {entry["phase"]: entry["at_ns"] for entry in migration["timeline"]}
    return {
        "wall_ms": command.wall_ms,
        "cpu_s": cpu.by_kind(used, command.cpu_s, source, destination),
        "total_ms": migration["total_ms"],
        "guest_downtime_ms": migration["guest_downtime_ms"],
        "own_blackout_ms": migration["network_blackout_ms"],
        "blackout_ms": max(each.blackout_ms for each in seen.values()),
        "neighbour_source_ms": _answered(on_source, source),
        "neighbour_destination_ms": _answered(on_destination, destination),
        "phases_ms": {phase: (at - starts["preflight"]) / 1e6 for phase, at in starts.items()},
    }


def _answered(seen: AddressResult, host: str) -> float:
    if seen.answered == 0:
        raise HostFailure(f"the neighbour on {host} never got an answer")
    return seen.blackout_ms


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    def over_pairs(of: Callable[[dict[str, Any]], float]) -> float:
        return round(float(median(of(each) for each in results)), 2)

    return {
        "kedge_blackout_ms": over_pairs(lambda each: each["kedge"]["blackout_ms"]),
        "kedge_downtime_ms": over_pairs(lambda each: each["kedge"]["guest_downtime_ms"]),
        "blackout_beyond_downtime_ms": over_pairs(
            lambda each: each["kedge"]["blackout_ms"] - each["kedge"]["guest_downtime_ms"]
        ),
        "neighbour_source_ms": over_pairs(lambda each: each["kedge"]["neighbour_source_ms"]),
        "neighbour_source_beyond_blackout_ms": over_pairs(
            lambda each: each["kedge"]["neighbour_source_ms"] - each["kedge"]["blackout_ms"]
        ),
        "neighbour_destination_ms": over_pairs(lambda each: each["kedge"]["neighbour_destination_ms"]),
        "neighbour_destination_beyond_blackout_ms": over_pairs(
            lambda each: each["kedge"]["neighbour_destination_ms"] - each["kedge"]["blackout_ms"]
        ),
        "virsh_blackout_ms": over_pairs(lambda each: each["virsh"]["blackout_ms"]),
        "virsh_downtime_ms": over_pairs(lambda each: each["virsh"]["guest_downtime_ms"]),
        "pairs_below_virsh": sum(
            each["kedge"]["blackout_ms"] < each["virsh"]["blackout_ms"] for each in results
        ),
        "wall_ratio": over_pairs(lambda each: each["kedge"]["wall_ms"] / each["virsh"]["wall_ms"]),
        "total_ratio": over_pairs(lambda each: each["kedge"]["total_ms"] / each["virsh"]["wall_ms"]),
    }


HEAD = (
    "| from | to | Kedge blackout | neighbour on source | on destination | downtime | own figure | virsh blackout |"
    " downtime | kedge migrate | virsh migrate | ratio |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def _row(each: dict[str, Any]) -> str:
    ours, theirs = each["kedge"], each["virsh"]
    figures = [
        ours["blackout_ms"],
        ours["neighbour_source_ms"],
        ours["neighbour_destination_ms"],
        ours["guest_downtime_ms"],
        ours["own_blackout_ms"],
        theirs["blackout_ms"],
        theirs["guest_downtime_ms"],
        ours["wall_ms"],
        theirs["wall_ms"],
    ]
    cells = ["-" if figure is None else f"{figure:.0f}" for figure in figures]
    ratio = ours["wall_ms"] / theirs["wall_ms"]
    return f"| {each['source']} | {each['destination']} | {' | '.join(cells)} | {ratio:.2f} |"


def table(result: dict[str, Any]) -> str:
    """All pairs as a Markdown table, and the summary."""
    lines = [HEAD, *(_row(each) for each in result["pairs"]), ""]
    lines += [f"- {name}: {value}" for name, value in result["summary"].items()]
    lines += ["", cpu.table(result["cpu"]["idle"], result["cpu"]["per_migration_s"])]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(run()))
