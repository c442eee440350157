"""Several destinations: the first that can take the server, and the next one when a migration fails."""

import pytest

from kedge.model.errors import CannotMigrate, HostFailure
from kedge.model.server import Migration, MigrationOptions, MigrationStatus, Server

from .compute_world import ComputeWorld, completed

OPTIONS = MigrationOptions()


def begin(world: ComputeWorld, server: Server, *hosts: str) -> Migration:
    return world.conductor(world.tools).migrate(server, hosts, OPTIONS)


def fail_at(world: ComputeWorld, *hosts: str) -> None:
    for host in hosts:
        world[host].agent.faults.fail("plug", HostFailure(f"no room on {host}"), times=None)


def test_the_first_that_can_is_taken(world: ComputeWorld) -> None:
    server = world.server("h1")
    migration = begin(world, server, "h2", "h3", "h2")
    assert (migration.destination, migration.candidates) == ("h2", ("h3",))
    assert world.tools.servers.find(server.id).status == "MIGRATING"


def test_those_that_cannot_are_left_out_and_none_is_refused(world: ComputeWorld) -> None:
    server = world.server("h1")
    assert begin(world, server, "h1", "h4").destination == "h4"
    other = world.server("h1", name="other")
    with pytest.raises(CannotMigrate, match="on h1 already"):
        begin(world, other, "h1")


def test_without_a_choice_the_emptiest_is_taken(world: ComputeWorld) -> None:
    server = world.server("h1")
    for host in ("h2", "h3"):
        world.server(host, name=f"on-{host}")
    migration = begin(world, server)
    assert (migration.destination, migration.candidates) == ("h4", ("h5", "h2", "h3"))


def test_the_next_is_tried_when_one_fails(world: ComputeWorld) -> None:
    server = world.server("h1")
    fail_at(world, "h2", "h3")
    first = world.drive(begin(world, server, "h2", "h3", "h5"))
    assert first.status is MigrationStatus.FAILED and first.next_id
    assert world.tools.servers.find(server.id).status == "MIGRATING"
    second = world.drive(world.tools.migrations.find(first.next_id))
    assert second.destination == "h3" and second.next_id
    third = world.drive(world.tools.migrations.find(second.next_id))
    assert completed(third) and third.next_id is None
    world.check(server, "h5")


def test_when_all_have_failed_everything_is_as_it_was(world: ComputeWorld) -> None:
    server = world.server("h1")
    fail_at(world, "h2", "h3")
    first = world.drive(begin(world, server, "h2", "h3"))
    second = world.drive(world.tools.migrations.find(first.next_id or ""))
    assert second.status is MigrationStatus.FAILED and second.next_id is None
    world.check(server, "h1")


def test_an_abort_ends_it_for_all_candidates(world: ComputeWorld) -> None:
    server = world.server("h1")
    migration = begin(world, server, "h2", "h3")
    world.tools.migrations.request_abort(migration.id)
    ended = world.drive(migration)
    assert ended.status is MigrationStatus.CANCELLED and ended.next_id is None
    world.check(server, "h1")
