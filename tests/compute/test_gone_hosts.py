"""A host is lost for good in the middle of a migration: an operator says so, and everything else goes on."""

import threading
from collections.abc import Callable

import pytest

from kedge.compute.migrations.conductor import Drive
from kedge.model.domain import DomainState
from kedge.model.errors import Conflict, NotFound, Unreachable
from kedge.model.network import BindingStatus
from kedge.model.server import Migration, MigrationOptions, MigrationStatus, Phase, Server
from kedge.testing.simulated.fabric import Step

from .compute_world import ComputeWorld, phases


def burn(world: ComputeWorld, host: str, server: Server) -> None:
    """The host is off. What it held is nobody's business any more, as it is asked no more."""
    world[host].agent.reachable = False
    world[host].jobs.clear()
    running = world.fabric.running(server.id)
    if running is not None:
        running.fail("the connection to the other host broke")


def begun(world: ComputeWorld, step: Step, host: str, **options: bool) -> tuple[Server, Migration]:
    """A migration from h3 to h5 during which a host burns at a step of the transfer."""
    server = world.server("h3")
    migration = world.begin(server, "h5", MigrationOptions())
    world.fabric.on_step(step, lambda: burn(world, host, server))
    return server, migration


def driven(world: ComputeWorld, migration: Migration, after: int, then: Callable[[], object]) -> Migration:
    """Drive it to its end; once it has waited so often, something happens."""
    drive = Drive(migration.id, world.new_tools(), threading.Event())
    left = [after]

    def pause() -> None:
        left[0] -= 1
        if left[0] == 0:
            then()
        assert left[0] > -200, "it waits for ever"

    drive._pause = pause  # type: ignore[method-assign]
    drive.run()
    return world.found(migration)


def off(world: ComputeWorld, host: str) -> Callable[[], object]:
    def say() -> None:
        world.pass_time(60)
        world.agents.force_down(host, True)

    return say


def bound(world: ComputeWorld, server: Server) -> set[tuple[str, str]]:
    return {
        (each.host, each.status) for port in world.ports(server) for each in world.network.bindings(port.id)
    }


@pytest.mark.parametrize("step", [Step.PREPARED, Step.COPYING, Step.PAUSED])
def test_the_source_is_gone_before_the_vm_had_left(world: ComputeWorld, step: Step) -> None:
    server, migration = begun(world, step, "h3")
    ended = driven(world, migration, 5, off(world, "h3"))
    assert ended.status is MigrationStatus.FAILED
    assert str(ended.error).endswith("the VM is lost: it was on the source, which is forced down")
    assert phases(ended)[-1] == Phase.LOST
    record = world.tools.servers.find(server.id)
    assert (record.host, record.status) == ("h3", "ERROR")
    assert bound(world, server) == {("h3", BindingStatus.ACTIVE)}
    assert world["h5"].plugged == {} and server.id not in world["h5"].holds
    assert world.fabric.violations == []


def test_without_an_operators_word_it_is_waited_for(world: ComputeWorld) -> None:
    _, migration = begun(world, Step.COPYING, "h3")
    with pytest.raises(AssertionError, match="waits for ever"):
        driven(world, migration, 5, lambda: world.pass_time(60))


def test_the_source_is_gone_after_the_vm_has_arrived(world: ComputeWorld) -> None:
    server, migration = begun(world, Step.OVER, "h3")
    ended = driven(world, migration, 5, off(world, "h3"))
    assert ended.status is MigrationStatus.COMPLETED
    world.check(server, "h5", unreachable=["h3"])


def test_the_destination_is_gone_before_the_vm_had_left(world: ComputeWorld) -> None:
    server, migration = begun(world, Step.COPYING, "h5")
    ended = driven(world, migration, 5, off(world, "h5"))
    assert ended.status is MigrationStatus.FAILED
    world.check(server, "h3", unreachable=["h5"])


def test_the_destination_is_gone_with_the_vm(world: ComputeWorld) -> None:
    server, migration = begun(world, Step.OVER, "h5")
    ended = driven(world, migration, 5, off(world, "h5"))
    assert (ended.status, ended.error) == (
        MigrationStatus.FAILED,
        "the VM is lost: it had left for the destination, which is forced down",
    )
    record = world.tools.servers.find(server.id)
    assert (record.host, record.status) == ("h5", "ERROR")
    assert bound(world, server) == {("h5", BindingStatus.ACTIVE)}
    assert world["h3"].plugged == {}
    assert world.fabric.violations == []


def test_a_past_that_is_paused_is_never_resumed(world: ComputeWorld) -> None:
    """The source's libvirtd died in the pause, and whether the VM ran on the destination nobody can say any more."""
    server = world.server("h3")
    migration = world.begin(server, "h5")

    def both() -> None:
        world.fabric.lose_job(server.id)
        burn(world, "h5", server)

    world.fabric.on_step(Step.PAUSED, both)
    world["h3"].agent.faults.fail("resume_domain", AssertionError("never"), times=None)  # type: ignore[arg-type]
    ended = driven(world, migration, 5, off(world, "h5"))
    assert ended.status is MigrationStatus.FAILED
    assert "may have run on the destination" in str(ended.error)
    assert world["h3"].holds[server.id].state is DomainState.SWITCHOVER
    assert world["h3"].plugged, "and it stays wired, for whoever resumes it"
    assert bound(world, server) == {("h3", BindingStatus.ACTIVE)}
    record = world.tools.servers.find(server.id)
    assert (record.host, record.status) == ("h3", "ERROR")


def test_a_lost_server_can_be_deleted_and_its_host_come_back(world: ComputeWorld) -> None:
    server, migration = begun(world, Step.COPYING, "h3")
    driven(world, migration, 5, off(world, "h3"))
    world.servers.delete("vm")
    assert world.network.duties("h3").vifs == ()
    with pytest.raises(NotFound):
        world.tools.servers.find(server.id)
    world["h3"].agent.reachable = True
    world["h3"].holds.clear()
    world.pass_time(1)
    assert not world.agents.host("h3").alive, "until somebody says so"
    world.agents.force_down("h3", False)
    assert world.agents.host("h3").alive
    world.server("h3", "another")


def test_lost_ones_are_not_tried_elsewhere(world: ComputeWorld) -> None:
    server = world.server("h3")
    migration = world.tools.migrations.add(server, "h5", MigrationOptions(), ["h4", "h2"])
    world.fabric.on_step(Step.COPYING, lambda: burn(world, "h3", server))
    assert driven(world, migration, 5, off(world, "h3")).next_id is None


def test_a_host_that_answers_is_not_off(world: ComputeWorld) -> None:
    with pytest.raises(Conflict, match="answers, so h3 is not off"):
        world.agents.force_down("h3", True)
    assert world.agents.host("h3").alive
    with pytest.raises(NotFound):
        world.agents.force_down("h99", True)


def test_nothing_is_asked_of_a_host_that_is_off_and_nothing_moves_there(world: ComputeWorld) -> None:
    server = world.server("h1")
    world["h3"].agent.reachable = False
    world.agents.force_down("h3", True)
    with pytest.raises(Unreachable, match="kedge hosts up h3"):
        world.agents.agent("h3")
    plan = world.tools.planner.plan(server, "h3")
    assert "destination h3: is forced down; `kedge hosts up h3` once it is back" in plan.obstacles
