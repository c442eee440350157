"""What a migration asks of agents and of the database: both are most of its CPU."""

import threading
from collections import Counter

from sqlalchemy import event

from kedge.compute.migrations.conductor import Drive
from kedge.model.server import MigrationOptions

from .compute_world import ComputeWorld, completed

IN_ALL = 160
"""Statements of a migration of two NICs, with BEGIN and its like. It was 240 with one transaction for each phase."""


def test_a_migration_asks_each_host_once_to_plan_and_looks_only_where_it_must(world: ComputeWorld) -> None:
    server = world.server("h1")
    conductor = world.conductor(world.tools)
    before = {name: len(host.agent.calls) for name, host in world.fabric.hosts.items()}
    statements: list[str] = []
    event.listen(world.engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
    migration = conductor.migrate(server, ["h3"], MigrationOptions())
    planned = {name: len(host.agent.calls) for name, host in world.fabric.hosts.items()}
    Drive(migration.id, world.tools, threading.Event()).run()
    assert completed(world.found(migration))
    calls = {name: Counter(host.agent.calls[planned[name] :]) for name, host in world.fabric.hosts.items()}
    # A simulated agent answers a plan's one question by several of its own.
    assert {name for name in planned if planned[name] > before[name]} == {"h1", "h3"}
    # Its XML was read by the plan, and planned here a moment ago.
    assert calls["h1"] == Counter(observe=calls["h1"]["observe"], start_transfer=1, unplug=1)
    assert calls["h3"] == Counter(observe=calls["h3"]["observe"], plug=1, announce=1)
    # At the beginning; while memory is copied until the source pauses; until libvirt has ended there.
    assert calls["h1"]["observe"] <= 7
    # At the beginning, after plugging, until it runs, and when it counts as settled.
    assert calls["h3"]["observe"] <= 6
    assert len(statements) <= IN_ALL
