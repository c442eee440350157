"""Many migrations at once in one control plane: `python -m benchmarks.crowd [--migrations 500] [--hosts 100]`.

The conductor, the store and the HTTP client of agents are the real ones, on SQLite. The agents are simulated, in one
other process. All migrations copy memory at the same time; then they pause at random within --seconds, and what is
measured is how long after each pause the bindings of its ports had been switched.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.request import urlopen

import structlog
from sqlalchemy import text

from kedge.compute.hosts.agents import Agent, Agents
from kedge.compute.migrations.conductor import Conductor
from kedge.compute.migrations.planner import Planner
from kedge.compute.records.claims import claims_in
from kedge.model.server import MigrationOptions, MigrationStatus
from kedge.wire.agent_client import AgentClient

from .fleet_world import FleetWorld, host_name

TIMEOUT_S = 480.0


def measure(migrations: int, hosts: int, seconds: float) -> dict[str, Any]:
    """Let so many run at once."""
    with tempfile.TemporaryDirectory(prefix="kedge-crowd-") as directory:
        world = FleetWorld(Path(directory), hosts)
        with _agents(Path(directory) / "kedge.db", migrations, seconds) as port:
            return _drive(world, port, migrations)


@contextmanager
def _agents(database: Path, migrations: int, seconds: float) -> Iterator[int]:
    order = [sys.executable, "-m", "benchmarks.fleet_agents", str(database), str(migrations), str(seconds)]
    with subprocess.Popen(order, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def _drive(world: FleetWorld, port: int, migrations: int) -> dict[str, Any]:
    with world.engine.begin() as connection:
        connection.execute(text(f"UPDATE hosts SET url = 'http://127.0.0.1:{port}/' || name"))
    agents = Agents(world.network, lambda name, url: cast(Agent, AgentClient(url, None, host=name)))
    switched_ns: dict[str, int] = {}
    switch = world.network.switch

    def timed(device_id: str, host: str) -> Any:
        done = switch(device_id, host)
        switched_ns.setdefault(device_id, time.time_ns())
        return done

    world.network.switch = timed  # type: ignore[method-assign]
    tools = replace(world.tools, agents=agents, planner=Planner(world.network, agents, world.tools.rooms))
    _begin(world, migrations)
    conductor = Conductor(tools, claims_in(world.engine))
    before, began = world.meter.read(), time.monotonic()
    conductor.start()
    threads = 0
    try:
        while tools.migrations.unfinished():
            threads = max(threads, threading.active_count())
            if time.monotonic() - began > TIMEOUT_S:
                raise RuntimeError(f"{len(tools.migrations.unfinished())} have not ended in time")
            time.sleep(1)
    finally:
        conductor.stop()
    wall_s, cost = time.monotonic() - began, world.meter.since(before)
    with urlopen(f"http://127.0.0.1:{port}/paused") as answer:
        paused_ns = json.loads(answer.read())
    late = sorted((switched_ns[each] - at) / 1e6 for each, at in paused_ns.items() if each in switched_ns)
    failed = [each.error for each in tools.migrations.all() if each.status is not MigrationStatus.COMPLETED]
    world.close()
    return {
        "migrations": migrations,
        "failed": len(failed),
        "why": failed[:3],
        "switch_median_ms": late[len(late) // 2],
        "switch_p99_ms": late[int(len(late) * 0.99)],
        "switch_longest_ms": late[-1],
        "threads": threads,
        "wall_s": wall_s,
        "cpu_ms_per_migration": cost["cpu_ms"] / migrations,
        "statements_per_migration": cost["statements"] / migrations,
    }


def _begin(world: FleetWorld, migrations: int) -> None:
    """Store them; each host sends and receives as many as any."""
    per_host = -(-migrations // len(world.tools.agents.hosts()))
    hosts = len(world.tools.agents.hosts())
    for number in range(migrations):
        host = number // per_host
        (server,) = world.tools.servers.named([f"vm{host * world.per_host + number % per_host}"])
        world.tools.migrations.add(server, host_name((host + 1) % hosts), MigrationOptions())


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description=__doc__)
    parser.add_argument("--migrations", type=int, default=500)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    for name, value in measure(chosen.migrations, chosen.hosts, chosen.seconds).items():
        print(f"{name}: {value if not isinstance(value, float) else round(value, 1)}")


if __name__ == "__main__":
    main()
