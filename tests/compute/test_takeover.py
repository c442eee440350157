"""A conductor may die, be replaced, or be asked to abort at every instant: the end is right all the same.

What a migration changes is counted, and each of these writes is tried as the instant. Between two of them a
conductor only looks, so there are no other instants.
"""

from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest

from kedge.model.errors import Conflict, StaleEpoch
from kedge.model.server import Migration, MigrationStatus, Server
from kedge.testing.simulated.fabric import Step

from .compute_world import UNGUARDED, ComputeWorld, Interrupter, Killed, completed, die

Scenario = Callable[[ComputeWorld, Migration], None]
TURNS = {"h1": "h3", "h3": "h1"}


def goes_well(world: ComputeWorld, migration: Migration) -> None:
    """Nothing is in the way."""


def breaks_off(world: ComputeWorld, migration: Migration) -> None:
    world.fabric.break_transfer(Step.COPYING)


def breaks_in_the_pause(world: ComputeWorld, migration: Migration) -> None:
    world.fabric.break_transfer(Step.ARRIVED)


def is_aborted(world: ComputeWorld, migration: Migration) -> None:
    world.fabric.rounds = 10
    world.fabric.on_step(Step.COPYING, world.abort(migration))


def loses_its_job(world: ComputeWorld, migration: Migration) -> None:
    world.fabric.on_step(Step.PAUSED, lambda: world.fabric.lose_job(migration.server_id))


SCENARIOS: list[Scenario] = [goes_well, breaks_off, breaks_in_the_pause, is_aborted, loses_its_job]


def begin(world: ComputeWorld, server: Server) -> Migration:
    """The next migration, to the other host."""
    now = world.tools.servers.find(server.id)
    return world.begin(now, TURNS[now.host])


def check_end(world: ComputeWorld, server: Server, migration: Migration) -> Migration:
    """The migration has ended, and the server is where that says it is."""
    ended = world.found(migration)
    assert ended.finished_at is not None
    world.check(server, ended.destination if completed(ended) else ended.source)
    return ended


def go_on(world: ComputeWorld, migration: Migration) -> None:
    """Let another conductor take over, if there is anything left to drive."""
    if migration.id in world.tools.migrations.unfinished():
        world.drive(migration)


@pytest.mark.parametrize("scenario", [goes_well, breaks_off])
def test_it_dies_after_any_of_its_writes(world: ComputeWorld, scenario: Scenario) -> None:
    server = world.server("h1", nics=["flat"])
    statuses, number = set(), 0
    while True:
        migration = begin(world, server)
        scenario(world, migration)
        interrupter = Interrupter(number, die)
        with suppress(Killed):
            world.drive(migration, interrupter)
        go_on(world, migration)
        statuses.add(check_end(world, server, migration).status)
        if not interrupter.struck:
            break
        number += 1
    assert number > 15
    wanted = MigrationStatus.COMPLETED if scenario is goes_well else MigrationStatus.FAILED
    assert statuses == {wanted}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_one_after_the_other_dies(world: ComputeWorld, scenario: Scenario) -> None:
    """None lives longer than for a few writes."""
    lifetimes = Random(scenario.__name__)
    server = world.server("h1")
    migration = begin(world, server)
    scenario(world, migration)
    lives = 0
    while migration.id in world.tools.migrations.unfinished():
        with suppress(Killed):
            world.drive(migration, Interrupter(lifetimes.randint(1, 8), die, after=bool(lives % 2)))
        lives += 1
        assert lives < 100
    assert lives > 3
    check_end(world, server, migration)


def test_an_abort_is_asked_for_at_any_time(world: ComputeWorld) -> None:
    """Until the VM has left, it stays; from then on, it goes on. There is nothing in between."""
    server = world.server("h1", nics=["flat"])
    statuses, number = [], 0
    while True:
        migration = begin(world, server)
        interrupter = Interrupter(number, world.abort(migration), kinds=UNGUARDED)
        with suppress(Exception):  # The last write is the end, after which there is nothing to abort.
            world.drive(migration, interrupter)
        statuses.append(check_end(world, server, migration).status)
        if not interrupter.struck:
            break
        number += 1
    assert set(statuses) == {MigrationStatus.CANCELLED, MigrationStatus.COMPLETED}
    assert statuses == sorted(statuses, key=lambda status: status is MigrationStatus.COMPLETED)


@pytest.mark.parametrize("scenario", [goes_well, is_aborted])
def test_a_rival_does_it_all_while_one_is_about_to_write(world: ComputeWorld, scenario: Scenario) -> None:
    """The older conductor's write comes when everything is over; then it learns that it was replaced."""
    server = world.server("h1", nics=["flat"])
    number, stale = 0, 0
    while True:
        migration = begin(world, server)
        scenario(world, migration)

        def rival(migration: Migration = migration) -> None:
            go_on(world, migration)

        interrupter = Interrupter(number, rival, after=False, kinds=UNGUARDED)
        try:
            world.drive(migration, interrupter)
        except StaleEpoch:
            stale += 1
        if interrupter.names[number:] == ["network.bind_ahead"] and not completed(world.found(migration)):
            # The one write that nothing can guard; the next migration there would make that binding anew.
            for port in world.ports(server):
                world.network.unbind(port.id, migration.destination)
        check_end(world, server, migration)
        if not interrupter.struck:
            break
        number += 1
    assert stale >= 5


def test_a_rival_does_it_all_between_a_look_and_what_follows(world: ComputeWorld) -> None:
    """The older conductor decides on what it saw before, and may do nothing of it."""
    server = world.server("h1", nics=["flat"])
    looks, stale, statuses = 0, 0, set()
    while True:
        migration = begin(world, server)

        def rival(migration: Migration = migration) -> None:
            with suppress(Conflict):
                world.abort(migration)()
            go_on(world, migration)

        observed = world[migration.destination].agent
        observed.faults.on("observe", rival, after=True, skip=looks)
        try:
            world.drive(migration)
        except StaleEpoch:
            stale += 1
        else:
            break
        statuses.add(check_end(world, server, migration).status)
        looks += 1
    assert stale >= 5
    assert statuses == {MigrationStatus.CANCELLED, MigrationStatus.COMPLETED}
