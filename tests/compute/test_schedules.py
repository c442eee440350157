"""Long random schedules of things that go wrong, over the real conductor, planner, store and network service.

Each example is a migration during which several things happen: the conductor is killed at some write, another one
takes the migration over in the middle of a write, agents restart, answers are lost, libvirtd dies, people abort.
However it went, in the end the VM runs on one host, its one binding is there, and nothing is anywhere else.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kedge.model.domain import DomainState
from kedge.model.errors import Conflict, HostFailure, KedgeError, StaleEpoch, Unreachable
from kedge.model.server import Migration, MigrationOptions, Phase, Server
from kedge.store import open_database
from kedge.testing.simulated.fabric import FIVE_HOSTS, Step

from .compute_world import ComputeWorld, Interrupter, Killed, die, make_compute_world, phases

EXAMPLES = int(os.environ.get("KEDGE_SCHEDULES", "200"))
RESTARTS = 40
STEPS = [Step.PREPARED, Step.COPYING, Step.PAUSED, Step.ARRIVED]
CALLS = ["observe", "plug", "unplug", "start_transfer", "abort_transfer", "announce", "discard_domain"]


@dataclass(frozen=True)
class Kill:
    """The conductor dies at its n-th write, before or after its effect."""

    write: int
    after: bool


@dataclass(frozen=True)
class Rival:
    """At a conductor's n-th write another conductor, which believes the first one dead, drives to the end."""

    write: int
    after: bool


@dataclass(frozen=True)
class Break:
    """The transfer fails on its way to a step."""

    step: Step


@dataclass(frozen=True)
class LoseJob:
    """The source's libvirtd dies when the transfer is at a step."""

    step: Step


@dataclass(frozen=True)
class Restart:
    """An agent restarts when the transfer is at a step, with or without what it wrote down."""

    step: Step
    source: bool
    memory_lost: bool


@dataclass(frozen=True)
class LoseReply:
    """The answer to an agent's call gets lost, or the call does not arrive, or it fails."""

    call: str
    source: bool
    skip: int
    how: str


@dataclass(frozen=True)
class LoseVifs:
    """Somebody takes away what the VM uses on the source when the transfer is at a step."""

    step: Step


@dataclass(frozen=True)
class Abort:
    """A person asks for the abort when the transfer is at a step."""

    step: Step


steps = st.sampled_from(STEPS)
faults = st.one_of(
    st.builds(Kill, st.integers(0, 30), st.booleans()),
    st.builds(Rival, st.integers(0, 30), st.booleans()),
    st.builds(Break, steps),
    st.builds(LoseJob, steps),
    st.builds(Restart, steps, st.booleans(), st.booleans()),
    st.builds(
        LoseReply,
        st.sampled_from(CALLS),
        st.booleans(),
        st.integers(0, 4),
        st.sampled_from(["lost", "unreachable", "failed"]),
    ),
    st.builds(LoseVifs, steps),
    st.builds(Abort, steps),
)
ways = st.sampled_from(list(permutations(sorted(FIVE_HOSTS), 2)))


@pytest.fixture(scope="module")
def fresh_world() -> Iterator[Callable[[], AbstractContextManager[ComputeWorld]]]:
    """Makes one world after the other, each with a database of its own in the same place."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        url = f"sqlite:///{directory}/kedge.db"
        engines = open_database(url), open_database(url)

        @contextmanager
        def fresh() -> Iterator[ComputeWorld]:
            for of_last in ("", "-wal", "-shm"):
                (directory / f"kedge.db{of_last}").unlink(missing_ok=True)
            with make_compute_world(directory, engines) as world:
                yield world

        yield fresh


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    way=ways,
    schedule=st.lists(faults, min_size=1, max_size=8),
    rounds=st.integers(0, 4),
)
def test_however_it_goes_it_ends_whole(
    fresh_world: Callable[[], AbstractContextManager[ComputeWorld]],
    way: tuple[str, str],
    schedule: list[object],
    rounds: int,
) -> None:
    source, destination = way
    with fresh_world() as world:
        world.fabric.rounds = rounds
        server = world.server(source)
        migration = world.begin(server, destination, MigrationOptions(progress_timeout_s=None))
        interrupters = plan(world, server, migration, schedule)
        drive_to_the_end(world, migration, interrupters)
        where = [
            name
            for name in FIVE_HOSTS
            if server.id in world[name].holds and world[name].holds[server.id].state is DomainState.RUNNING
        ]
        assert len(where) == 1, where
        ended = world.found(migration)
        if Phase.UNWIRED in phases(ended):
            world.pass_time(1)  # Its agent goes on where the conductor could not.
        world.check(server, where[0])
        assert ended.error or ended.status in ("completed", "cancelled")


def plan(
    world: ComputeWorld, server: Server, migration: Migration, schedule: list[object]
) -> list[Interrupter]:
    """Set everything up that is to go wrong; the interrupters of the conductors that come one after the other."""
    interrupters = []
    for fault in schedule:
        match fault:
            case Kill(write, after):
                interrupters.append(Interrupter(write, die, after=after))
            case Rival(write, after):
                interrupters.append(Interrupter(write, lambda: overtake(world, migration), after=after))
            case Break(step):
                world.fabric.break_transfer(step)
            case LoseJob(step):
                world.fabric.on_step(step, lambda: world.fabric.lose_job(server.id))
            case Restart(step, at_source, memory_lost):
                agent = world[migration.source if at_source else migration.destination].agent
                world.fabric.on_step(step, partial(agent.restart, memory_lost=memory_lost))
            case LoseReply(call, at_source, skip, how):
                go_wrong(world, migration.source if at_source else migration.destination, call, skip, how)
            case LoseVifs(step):
                world.fabric.on_step(step, world[migration.source].plugged.clear)
            case Abort(step):
                world.fabric.on_step(step, lambda: abort(world, migration))
    return interrupters


def go_wrong(world: ComputeWorld, host: str, call: str, skip: int, how: str) -> None:
    agent = world[host].agent
    if how == "lost":
        agent.faults.lose_reply(call, skip=skip)
    else:
        kind = Unreachable if how == "unreachable" else HostFailure
        agent.faults.fail(call, kind(f"{call} goes wrong"), skip=skip)


def abort(world: ComputeWorld, migration: Migration) -> None:
    with suppress(Conflict):  # It may have ended just now.
        world.tools.migrations.request_abort(migration.id)


def overtake(world: ComputeWorld, migration: Migration) -> None:
    with suppress(KedgeError):  # It may have ended, or a third one overtook this one.
        world.drive(migration)


def drive_to_the_end(world: ComputeWorld, migration: Migration, interrupters: list[Interrupter]) -> None:
    """Conductors, one after the other, until the migration has ended."""
    for _ in range(RESTARTS):
        if world.found(migration).finished_at is not None:
            return
        try:
            world.drive(migration, interrupters.pop(0) if interrupters else None)
        except (Killed, StaleEpoch):
            continue
    raise AssertionError("it does not end")
