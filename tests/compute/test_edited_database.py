"""Somebody edits the database by hand in the middle of a migration: it ends in words, and the VM is never lost."""

from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import text

from kedge.model.domain import DomainState
from kedge.model.server import Migration, Server
from kedge.store import transaction
from kedge.testing.simulated.fabric import Step

from .compute_world import ComputeWorld, Interrupter, Killed, die

SOON = [Step.PREPARED, Step.COPYING]
LATER = [Step.PAUSED, Step.ARRIVED, Step.OVER]

EDITS = {
    "an ACTIVE binding is removed": "DELETE FROM bindings WHERE status = 'ACTIVE'",
    "the bindings ahead are removed": "DELETE FROM bindings WHERE status = 'INACTIVE'",
    "all bindings are removed": "DELETE FROM bindings",
    "no binding is ACTIVE": "UPDATE bindings SET status = 'INACTIVE'",
    "the bindings are another migration's": (
        "UPDATE bindings SET migration_id = '99999999-2222-3333-4444-555555555555' WHERE status = 'INACTIVE'"
    ),
    "the server is recorded elsewhere": "UPDATE servers SET host = 'h2'",
    "the server is recorded where it goes": "UPDATE servers SET host = 'h5'",
    "its status is another": "UPDATE servers SET status = 'SHUTOFF'",
    "the timeline is removed": "DELETE FROM migration_events",
    "the orders are forgotten": "UPDATE migrations SET attempts = 0",
    "the way is forgotten": "UPDATE migrations SET status = 'preparing', progress = NULL",
    "it is said to have failed": "UPDATE migrations SET error = 'I say so'",
    "the backends are removed": "DELETE FROM agents WHERE host = 'h5'",
}


def sql(world: ComputeWorld, statement: str, **values: Any) -> None:
    with transaction(world.engine) as session:
        session.execute(text(statement), values)


def running_on(world: ComputeWorld, server: Server) -> list[str]:
    """Where the VM runs."""
    return [
        name
        for name, host in world.fabric.hosts.items()
        if server.id in host.holds and host.holds[server.id].state is DomainState.RUNNING
    ]


def edited(world: ComputeWorld, step: Step, statement: str) -> tuple[Server, Migration]:
    """A migration from h3 to h5 that has ended, with the database edited at one step of it."""
    server = world.server("h3")
    migration = world.begin(server, "h5")
    world.fabric.on_step(step, lambda: sql(world, statement))
    return server, world.drive(migration)


@pytest.mark.parametrize("step", SOON + LATER)
@pytest.mark.parametrize("edit", EDITS)
def test_it_ends_whole(world: ComputeWorld, edit: str, step: Step) -> None:
    server, migration = edited(world, step, EDITS[edit])
    (where,) = running_on(world, server)
    assert where == ("h5" if migration.status == "completed" else "h3")
    assert migration.error or migration.status == "completed"
    for _ in range(2):
        world.pass_time(1)  # What no binding names any more is for the agents to collect.
    world.check(server, where)


@pytest.mark.parametrize("writes", [0, 4, 6])
def test_a_destination_that_nobody_knows(world: ComputeWorld, writes: int) -> None:
    """A conductor that takes over reads it: before the VM has left, that is the migration's end."""
    server = world.server("h3")
    migration = world.begin(server, "h5")
    with suppress(Killed):
        world.drive(migration, Interrupter(writes, die))
    sql(world, "UPDATE migrations SET destination = 'h99'")
    migration = world.drive(migration)
    assert (migration.status, migration.error) == ("failed", "the destination's agent is dead")
    assert running_on(world, server) == ["h3"]
    assert world.fabric.violations == []


GONE = {
    "the migration": "DELETE FROM migrations",
    "the server": "DELETE FROM servers",
}


@pytest.mark.parametrize("step", SOON + LATER)
@pytest.mark.parametrize("what", GONE)
def test_what_is_gone_is_driven_no_longer(world: ComputeWorld, what: str, step: Step) -> None:
    server = world.server("h3")
    migration = world.begin(server, "h5")
    world.fabric.on_step(step, lambda: sql(world, GONE[what]))
    conductor = world.conductor(world.new_tools())
    conductor._drive(migration.id)
    world.fabric.rounds = 0
    for _ in range(10):
        world.fabric.tick()  # libvirt brings to an end what it was told.
    assert len(running_on(world, server)) == 1
    assert world.fabric.violations == []
