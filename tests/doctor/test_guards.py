"""What keeps a repair from doing harm: to a server that moves, after an old look, beside another doctor."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from kedge.compute.doctor import repair as module
from kedge.compute.doctor.repair import Repairer
from kedge.core.doctor import Finding, Kind, Remedy, Repair, Severity
from kedge.model.domain import DomainState
from kedge.model.errors import HostFailure
from kedge.model.host import HostBackend

from .doctor_world import UNKNOWN, DoctorWorld
from .test_planted import bound_elsewhere, half_made, left_by_nobody, moved_and_forgotten, vif_gone


def made(world: DoctorWorld, repair: Repair, epoch: int = 1) -> str | None:
    finding = Finding(Kind.VIF_NOT_WIRED, Severity.ERROR, "", "", "", repair)
    return Repairer(world.tools, world.engine).make(finding, repair, epoch).error


@pytest.mark.parametrize("remedy", [each for each in Remedy if each not in {Remedy.DRIVE, Remedy.UNPLUG}])
def test_a_server_that_is_being_migrated_is_left_alone(world: DoctorWorld, remedy: Remedy) -> None:
    server = world.server("h3")
    port = world.ports(server)[0]
    migration = world.begin(server, "h4")
    calls = {host.name: len(host.agent.calls) for host in world.fabric.hosts.values()}
    error = made(world, Repair(remedy, server.id, port.id, "h3", "h4", status="ERROR"))
    assert error is not None
    assert migration.id in error
    assert {host.name: len(host.agent.calls) for host in world.fabric.hosts.values()} == calls
    world.drive(migration)
    world.check(server, "h4")


def test_an_order_that_follows_from_an_old_look_is_refused(world: DoctorWorld) -> None:
    """Two migrations came and went since the doctor looked."""
    server = world.server("h3")
    port = world.ports(server)[0]
    world.move(server, "h4")
    world.move(world.tools.servers.find(server.id), "h3")
    error = made(world, Repair(Remedy.PLUG, server.id, port.id, "h3"), epoch=1)
    assert error is not None
    assert "came before" in error


def test_a_vif_that_was_bound_meanwhile_is_not_unplugged(world: DoctorWorld) -> None:
    server = world.server("h1")
    world.bind_everywhere(server, "h3", UNKNOWN)
    port = world.ports(server)[0]
    error = made(world, Repair(Remedy.UNPLUG, port_id=port.id, host="h3"))
    assert error is not None
    assert "bound on h3 meanwhile" in error
    assert port.id in world["h3"].plugged


def test_what_stopped_meanwhile_is_not_plugged(world: DoctorWorld) -> None:
    server = world.server("h3")
    world["h3"].holds[server.id].state = DomainState.SHUTOFF
    error = made(world, Repair(Remedy.PLUG, server.id, world.ports(server)[0].id, "h3"))
    assert error is not None
    assert "does not run on h3 any more" in error


def test_what_runs_elsewhere_meanwhile_is_not_resumed(world: DoctorWorld) -> None:
    server = world.server("h1")
    world.domain_on("h2", server, "h1", DomainState.RUNNING)
    world["h1"].holds[server.id].state = DomainState.SWITCHOVER
    error = made(world, Repair(Remedy.RESUME, server.id, host="h1"))
    assert error is not None
    assert "h2 holds a domain of it now" in error
    assert world["h1"].holds[server.id].state is DomainState.SWITCHOVER


def test_a_port_whose_server_is_somewhere_is_not_freed(world: DoctorWorld) -> None:
    server = world.server("h1")
    port = world.ports(server)[0]
    error = made(world, Repair(Remedy.FREE_PORT, server.id, port.id))
    assert error is not None
    assert "adopt" in error
    assert world.network.port(port.id).device_id == server.id


def test_a_port_that_can_not_be_bound_there_ends_in_words_and_not_in_an_endless_migration(
    world: DoctorWorld,
) -> None:
    server = world.server("h3")
    moved_and_forgotten(world, server)
    world.sql("DELETE FROM bindings WHERE host = 'h3'")
    world["h3"].backends = (HostBackend("openvswitch", {"physnet1": "br-physnet1"}),)
    world["h3"].agent.report()
    answer = world.repair()
    assert any("physnet2" in (each["error"] or "") for each in answer["done"])
    assert "server-elsewhere" in {each["kind"] for each in answer["left"]}
    assert world.tools.migrations.unfinished() == []
    assert world.fabric.violations == []


def test_a_repair_that_waits_for_a_host_says_so_and_goes_on_by_itself(
    world: DoctorWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = world.server("h1")
    left_by_nobody(world, server)
    monkeypatch.setattr(module, "PATIENCE_S", 0.5)
    world["h5"].agent.faults.fail("unplug", HostFailure("ovs-vsctl hangs"), times=None)
    answer = world.repair()
    errors = [each["error"] for each in answer["done"]]
    assert errors
    assert "goes on by itself" in errors[0]
    (unfinished,) = world.tools.migrations.unfinished()
    world["h5"].agent.faults.clear()
    world.drive(world.tools.migrations.find(unfinished))
    world.check(server, "h1")
    assert world.findings() == []


@pytest.mark.parametrize("plant", [bound_elsewhere, half_made, left_by_nobody])
def test_two_doctors_at_once_and_a_conductor(world: DoctorWorld, plant: Callable[..., None]) -> None:
    server = world.server("h1")
    plant(world, server)
    before = world.snapshot(server, "h1")
    world.of_control_plane.start()
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: world.repair(), range(2)))
    world.of_control_plane.stop()
    assert [each["left"] for each in answers] == [[], []]
    world.check_untouched(server, before)
    world.check(server, "h1")


def test_a_plug_that_fails_is_said_and_left(world: DoctorWorld) -> None:
    server = world.server("h3")
    vif_gone(world, server)
    world["h3"].agent.faults.fail("plug", HostFailure("no bridge named br-int"), times=None)
    answer = world.repair()
    assert {each["error"] for each in answer["done"]} == {"no bridge named br-int"}
    assert {each["kind"] for each in answer["left"]} == {"vif-not-wired"}
    world["h3"].agent.faults.clear()
    assert world.repair()["left"] == []
    world.check(server, "h3")
