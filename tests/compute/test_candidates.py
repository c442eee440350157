"""Several destinations: the first that can take the server, and the next one when a migration fails."""

from dataclasses import replace

import pytest

from kedge.model.errors import CannotMigrate, HostFailure
from kedge.model.host_facts import MemoryFacts
from kedge.model.placement import HostLimits
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


def test_free_memory_orders_the_hosts(
    world: ComputeWorld,
) -> None:
    server = world.server("h1", nics=["flat"])
    for host, gib in (("h2", 3), ("h3", 6), ("h4", 1), ("h5", 8)):
        facts = replace(world[host].facts, memory=MemoryFacts(8 << 30, gib << 30))
        world[host].facts = facts
    world["h5"].agent.faults.fail("facts", HostFailure("libvirtd hangs"), times=1)
    choices = world.conductor(world.tools).choices(server)
    assert [each.plan.destination for each in choices] == ["h5", "h3", "h2", "h4"]
    assert [round(each.weights["memory"], 3) for each in choices] == [1.0, 0.688, 0.312, 0.062]
    assert all(each.plan.possible for each in choices)


def test_those_that_are_left_out_are_told_with_their_reasons_and_not_asked(world: ComputeWorld) -> None:
    server = world.server("h1")
    world.tools.settings.disable("h3", "new disks")
    world.tools.settings.limit("h4", HostLimits(vcpus=1))
    world.server("h4", name="there")
    asked = len(world["h3"].agent.calls)
    choices = world.conductor(world.tools).choices(server, most=1)
    possible = [each.plan.destination for each in choices if each.plan.possible]
    codes = {
        each.plan.destination: [obstacle.code for obstacle in each.plan.obstacle_details]
        for each in choices
        if not each.plan.possible
    }
    assert (possible, codes) == (["h2"], {"h3": ["host-disabled"], "h4": ["vcpus-short"]})
    assert world["h3"].agent.calls[asked:] == ["facts"]


def test_a_refusal_names_every_host(world: ComputeWorld) -> None:
    server = world.server("h1")
    for host in ("h2", "h3", "h4", "h5"):
        world.tools.settings.disable(host, f"reason {host}")
    with pytest.raises(CannotMigrate) as refused:
        begin(world, server)
    assert [each.split(";")[0] for each in refused.value.reasons] == [
        f"{host}: destination {host}: is disabled: reason {host}" for host in ("h2", "h3", "h4", "h5")
    ]


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
