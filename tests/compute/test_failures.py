"""What goes wrong in a migration, one thing at a time: it ends on one side, whole, and says what it was."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from kedge.compute.migrations import conductor as module
from kedge.core.migration import MAX_ORDERS
from kedge.model.domain import DomainState, TransferOrder, VifState
from kedge.model.errors import HostFailure, KedgeError, StaleEpoch, Unreachable
from kedge.model.server import Migration, MigrationOptions, MigrationStatus, Phase, Server
from kedge.testing.simulated.fabric import SimulatedHost, Step

from .compute_world import ComputeWorld, completed, phases

ROLLED_BACK = [Phase.GIVEN_UP, Phase.ROLLED_BACK]
BEFORE_THE_VM_LEFT = [Step.PREPARED, Step.COPYING, Step.PAUSED, Step.ARRIVED]


def failed_with(migration: Migration, what: str) -> None:
    assert migration.status is MigrationStatus.FAILED
    assert what in (migration.error or "")
    assert migration.guest_downtime_ms is None
    assert migration.network_blackout_ms is None


# Before anything moves.


def test_the_destination_can_not_bind_any_more(world: ComputeWorld) -> None:
    server = world.server("h1")
    migration = world.begin(server, "h3")
    world["h3"].backends = ()
    world["h3"].agent.report()
    failed_with(world.drive(migration), "reports no network backend")
    world.check(server, "h1")


def test_one_of_two_ports_can_not_be_bound(world: ComputeWorld) -> None:
    server = world.server("h1")
    migration = world.begin(server, "h3")
    (backend,) = world["h3"].backends
    world["h3"].backends = (type(backend)("openvswitch", {"physnet1": "br-physnet1"}),)
    world["h3"].agent.report()
    failed_with(world.drive(migration), "'physnet2' is not mapped")
    world.check(server, "h1")


@pytest.mark.parametrize("skip", [0, 1], ids=["first", "second"])
def test_a_plug_fails(world: ComputeWorld, skip: int) -> None:
    server = world.server("h1")
    world["h3"].agent.faults.fail("plug one", HostFailure("ovs-vsctl: no bridge named br-int"), skip=skip)
    failed = world.ports(server)[skip].id
    migration = world.move(server, "h3")
    why = f"could not plug on h3: 1 of 2 VIFs failed: port {failed}: ovs-vsctl: no bridge named br-int"
    failed_with(migration, why)
    assert phases(migration) == [Phase.PREFLIGHT, Phase.BOUND, Phase.ROLLED_BACK]
    world.check(server, "h1")


@pytest.mark.parametrize("skip", [0, 1], ids=["none done", "one done"])
def test_a_plug_is_half_done_and_its_answer_lost(world: ComputeWorld, skip: int) -> None:
    server = world.server("h1")
    world["h3"].agent.faults.fail("plug one", Unreachable("the answer got lost"), skip=skip)
    completed(world.move(server, "h3"))
    world.check(server, "h3")
    assert world["h3"].agent.calls.count("plug") == 2


def test_what_an_agent_does_not_see_yet_is_unplugged_all_the_same(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its picture may be older than the order that plugged, and with the bindings gone nobody would ask again."""
    server, h3 = world.server("h1"), world["h3"]
    migration = world.begin(server, "h3")
    monkeypatch.setattr(h3, "vif_state", lambda _vif: VifState.ABSENT)
    h3.agent.faults.on("plug", world.abort(migration), after=True)
    unplugged: list[dict[str, object]] = []
    h3.agent.faults.on("unplug", lambda: unplugged.append(dict(h3.plugged)))
    migration = world.drive(migration)
    assert migration.status is MigrationStatus.CANCELLED
    assert [len(plugged) for plugged in unplugged] == [2]
    monkeypatch.undo()
    world.check(server, "h1")


@pytest.mark.parametrize("skip", [0, 1], ids=["none done", "one done"])
@pytest.mark.parametrize(
    "error", [Unreachable("the answer got lost"), HostFailure("no")], ids=["lost", "fails"]
)
def test_an_unplug_is_half_done(world: ComputeWorld, skip: int, error: KedgeError) -> None:
    server = world.server("h1")
    world["h1"].agent.faults.fail("unplug one", error, skip=skip)
    completed(world.move(server, "h3"))
    world.check(server, "h3")
    assert world["h1"].plugged == {}
    assert world["h1"].agent.calls.count("unplug") == 2


def test_the_domain_was_changed_since_the_plan(world: ComputeWorld) -> None:
    server = world.server("h1", nics=["flat"])
    domain = world["h1"].holds[server.id]
    domain.xml = domain.xml.replace(world.ports(server)[0].mac_address, "fa:16:3e:00:00:01")
    migration = world.move(server, "h3")
    failed_with(migration, "could not transfer on h3")
    assert "has no port" in (migration.error or "")
    assert "has no interface" in (migration.error or "")
    assert completed(migration) is False
    assert world["h1"].holds[server.id].state is DomainState.RUNNING
    assert world["h3"].plugged == {}


def test_the_destination_got_a_domain_of_this_uuid(world: ComputeWorld) -> None:
    """It is not Kedge's to remove, so it is left there."""
    server = world.server("h1", nics=["flat"])
    migration = world.begin(server, "h3")
    there = world["h3"].place(world["h1"].holds[server.id].xml, DomainState.CRASHED)
    failed_with(world.drive(migration), "the destination holds a domain of this server (crashed)")
    assert there == server.id
    assert world["h1"].holds[server.id].state is DomainState.RUNNING


# The transfer.


@pytest.mark.parametrize("step", BEFORE_THE_VM_LEFT)
def test_the_transfer_breaks_off(world: ComputeWorld, step: Step) -> None:
    server = world.server("h1")
    world.fabric.break_transfer(step, "internal error: qemu unexpectedly closed the monitor")
    migration = world.move(server, "h3")
    failed_with(migration, "qemu unexpectedly closed the monitor")
    assert phases(migration)[-2:] == ROLLED_BACK
    world.check(server, "h1")


def test_libvirt_refuses_the_transfer(world: ComputeWorld) -> None:
    server = world.server("h1", nics=["flat"])
    domain = world["h1"].holds[server.id]
    world["h1"].agent.faults.on(
        "start_transfer",
        lambda: setattr(domain, "xml", domain.xml.replace("type='virtio'", "type='e1000'")),
    )
    failed_with(world.move(server, "h3"), "the model is e1000 and would be virtio")
    world.check(server, "h1")


def test_an_order_that_is_never_taken_ends_with_its_reason(world: ComputeWorld) -> None:
    server = world.server("h1", nics=["flat"])
    world["h1"].agent.faults.fail("start_transfer", HostFailure("libvirtd does not answer"), times=None)
    failed_with(world.move(server, "h3"), "libvirtd does not answer")
    assert world["h1"].agent.calls.count("start_transfer") == MAX_ORDERS
    world.check(server, "h1")


def test_the_next_migration_after_a_failed_one_succeeds(world: ComputeWorld) -> None:
    server = world.server("h1")
    world.fabric.break_transfer(Step.PAUSED)
    assert world.move(server, "h3").status is MigrationStatus.FAILED
    assert completed(world.move(server, "h3"))
    world.check(server, "h3")


def test_a_job_that_is_lost_in_the_pause_lets_the_vm_run_again(world: ComputeWorld) -> None:
    """The source is paused without a job and the destination waits: only Kedge can end that."""
    server = world.server("h1")
    migration = world.begin(server, "h3")
    world.fabric.on_step(Step.PAUSED, lambda: world.fabric.lose_job(server.id))
    failed_with(world.drive(migration), "the connection to libvirtd broke")
    assert "resume_domain" in world["h1"].agent.calls
    assert "discard_domain" in world["h3"].agent.calls
    world.check(server, "h1")


def test_a_job_that_is_lost_after_the_arrival_does_not_bring_the_vm_back(world: ComputeWorld) -> None:
    server = world.server("h1")
    migration = world.begin(server, "h3")
    world.fabric.on_step(Step.ARRIVED, lambda: world.fabric.lose_job(server.id))
    assert completed(world.drive(migration))
    assert "discard_domain" in world["h1"].agent.calls
    assert "resume_domain" not in world["h1"].agent.calls
    world.check(server, "h3")


def test_a_vm_that_libvirt_let_run_on_both_hosts_runs_on_the_destination_alone(world: ComputeWorld) -> None:
    """The destination's libvirtd dies when it has started the VM and has not said so: the source's resumes it."""
    server = world.server("h1")
    migration = world.begin(server, "h3")

    def die() -> None:
        running = world.fabric.running(server.id)
        assert running is not None
        running.fail("client socket is closed")

    world.fabric.on_step(Step.ARRIVED, die)
    ended = world.drive(migration)
    assert completed(ended)
    assert Phase.TWIN_ENDED in phases(ended)
    world.check(server, "h3")


def test_what_was_unplugged_while_memory_was_copied_is_plugged_again_on_the_source(
    world: ComputeWorld,
) -> None:
    world.fabric.rounds = 1
    server = world.server("h2")
    migration = world.begin(server, "h1", MigrationOptions(progress_timeout_s=None))
    world.fabric.on_step(Step.PREPARED, world["h2"].plugged.clear)
    world.fabric.on_step(Step.PREPARED, world.abort(migration))
    world.fabric.on_step(Step.COPYING, lambda: world.fabric.lose_job(server.id))
    assert world.drive(migration).status == MigrationStatus.CANCELLED
    world.check(server, "h2")


def test_the_vm_stops_while_it_is_migrated(world: ComputeWorld) -> None:
    server = world.server("h1")
    migration = world.begin(server, "h3")

    def stop() -> None:
        running = world.fabric.running(server.id)
        assert running is not None
        running.fail("domain is not running")
        world["h1"].holds[server.id].state = DomainState.SHUTOFF

    world.fabric.on_step(Step.COPYING, stop)
    failed_with(world.drive(migration), "the VM stopped while it was being migrated")
    assert world["h3"].plugged == {}
    assert [each.host for port in world.ports(server) for each in world.network.bindings(port.id)] == [
        "h1"
    ] * 2


# The way back.


def test_a_vif_that_was_lost_meanwhile_is_wired_again_before_the_failure_is_reported(
    world: ComputeWorld,
) -> None:
    server = world.server("h3")
    migration = world.begin(server, "h5")
    world.fabric.on_step(Step.COPYING, world["h3"].plugged.clear)
    world.fabric.break_transfer(Step.PAUSED)
    migration = world.drive(migration)
    failed_with(migration, "the transfer failed")
    assert Phase.UNWIRED not in phases(migration)
    world.check(server, "h3")


@pytest.mark.parametrize("aborted", [False, True], ids=["failed", "aborted"])
def test_what_can_not_be_wired_again_is_a_part_of_the_report(world: ComputeWorld, aborted: bool) -> None:
    server = world.server("h3")
    lost = world.ports(server)[0].id
    migration = world.begin(server, "h5")

    def lose() -> None:
        world["h3"].plugged.pop(lost)
        world["h3"].agent.faults.fail("plug", HostFailure("ovs-vsctl: no bridge named br-int"), times=None)

    world.fabric.on_step(Step.COPYING, lose)
    if aborted:
        world.fabric.on_step(Step.PAUSED, world.abort(migration))
    world.fabric.break_transfer(Step.PAUSED)
    migration = world.drive(migration)
    failed_with(migration, "the VM stays on h3 and is not wired there: ovs-vsctl: no bridge named br-int")
    assert phases(migration)[-2:] == [Phase.UNWIRED, Phase.ROLLED_BACK]
    assert world["h5"].plugged == {}
    assert [each.host for each in world.network.bindings(lost)] == ["h3"]


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("vnet7", "is not Kedge's; attach that NIC again by hand"),
        (None, "detach and attach that NIC by hand"),
    ],
)
def test_devices_that_only_libvirt_can_make_are_left_to_a_person(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch, device: str | None, said: str
) -> None:
    server = world.server("h3", nics=["flat"])
    (port,) = world.ports(server)
    host, domain = world["h3"], world["h3"].holds[server.id]
    migration = world.begin(server, "h5")

    def lose() -> None:
        tap = host.plugged.pop(port.id).tap_name
        domain.xml = domain.xml.replace(tap, device or tap)
        monkeypatch.setattr(host, "vif_state", lambda _vif: VifState.ABSENT)

    world.fabric.on_step(Step.COPYING, lose)
    world.fabric.break_transfer(Step.PAUSED)
    failed_with(world.drive(migration), said)


# Ports that somebody deletes meanwhile.


def delete_ports(world: ComputeWorld, server: Server, number: int) -> None:
    for port in world.ports(server)[:number]:
        world.network.delete_port(port.id)


@pytest.mark.parametrize("step", [Step.PREPARED, Step.COPYING, Step.PAUSED, Step.ARRIVED, Step.OVER])
@pytest.mark.parametrize("number", [1, 2], ids=["one", "all"])
def test_the_vm_goes_on_whose_ports_are_deleted_in_the_middle(
    world: ComputeWorld, step: Step, number: int
) -> None:
    server = world.server("h3")
    migration = world.begin(server, "h5")
    world.fabric.on_step(step, lambda: delete_ports(world, server, number))
    migration = world.drive(migration)
    assert completed(migration)
    assert world["h5"].holds[server.id].state is DomainState.RUNNING
    assert server.id not in world["h3"].holds
    for _ in range(2):
        world.pass_time(1)  # What the deleted ports left on the source is for its agent to collect.
    assert world["h3"].plugged == {}
    assert world.fabric.violations == []


@pytest.mark.parametrize("number", [1, 2], ids=["one", "all"])
def test_before_anything_moved_it_ends_there(world: ComputeWorld, number: int) -> None:
    server = world.server("h3")
    migration = world.begin(server, "h5")
    delete_ports(world, server, number)
    failed_with(
        world.drive(migration), "has no port" if number == 1 else "the server's ports were deleted, so there"
    )
    assert world["h3"].holds[server.id].state is DomainState.RUNNING
    assert world["h5"].plugged == {}
    assert world.fabric.violations == []


@pytest.mark.parametrize("number", [1, 2], ids=["one", "all"])
def test_a_transfer_that_breaks_then_rolls_back(world: ComputeWorld, number: int) -> None:
    server = world.server("h3")
    migration = world.begin(server, "h5")
    world.fabric.on_step(Step.COPYING, lambda: delete_ports(world, server, number))
    world.fabric.break_transfer(Step.PAUSED)
    failed_with(world.drive(migration), "the transfer failed")
    assert world["h3"].holds[server.id].state is DomainState.RUNNING
    for _ in range(2):
        world.pass_time(1)
    assert world["h5"].plugged == {}
    assert world.fabric.violations == []


# Agents that do not answer.


def away_at(world: ComputeWorld, host: str, step: Step, back_at: Step | None = None) -> None:
    """The host's agent is away from one step of the transfer to another, or until somebody brings it back."""
    world.fabric.on_step(step, lambda: setattr(world[host].agent, "reachable", False))
    if back_at is not None:
        world.fabric.on_step(back_at, lambda: setattr(world[host].agent, "reachable", True))


@pytest.mark.parametrize("host", ["h1", "h3"])
@pytest.mark.parametrize(
    ("away", "back"),
    [
        (Step.PREPARED, Step.COPYING),
        (Step.COPYING, Step.ARRIVED),
        (Step.COPYING, Step.OVER),
        (Step.PAUSED, Step.OVER),
    ],
)
def test_an_agent_is_away_for_a_while(world: ComputeWorld, host: str, away: Step, back: Step) -> None:
    server = world.server("h1", nics=["flat"])
    away_at(world, host, away, back)
    migration = world.move(server, "h3")
    assert (migration.status, migration.error) == (MigrationStatus.COMPLETED, None)
    world.check(server, "h3")


def pause_then(monkeypatch: pytest.MonkeyPatch, number: int, then: Callable[[], None]) -> None:
    """When the conductor has paused so often, something happens."""
    left = [number]
    pause = module.Drive._pause

    def counted(self: module.Drive) -> None:
        left[0] -= 1
        if left[0] == 0:
            then()
        pause(self)

    monkeypatch.setattr(module.Drive, "_pause", counted)


def test_a_destination_that_does_not_come_back_is_given_up(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything moved: its bindings go, and its own agent removes what it plugged when it is back."""
    server = world.server("h1", nics=["flat"])
    h3 = world["h3"].agent
    h3.faults.on("plug", lambda: setattr(h3, "reachable", False), after=True)
    pause_then(monkeypatch, 5, lambda: world.pass_time(60))
    failed_with(world.move(server, "h3"), "the destination's agent is dead")
    assert world["h3"].plugged
    world.check(server, "h1", unreachable=["h3"])
    h3.reachable = True
    h3.restart()
    world.check(server, "h1")


def test_a_source_that_dies_after_the_vm_left_is_not_waited_for(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = world.server("h1", nics=["flat"])
    away_at(world, "h1", Step.ARRIVED)
    pause_then(monkeypatch, 3, lambda: world.pass_time(60))
    migration = world.move(server, "h3")
    assert completed(migration)
    world.check(server, "h3", unreachable=["h1"])
    world["h1"].agent.reachable = True
    world["h1"].agent.restart()
    world.check(server, "h3")


def test_a_source_that_dies_before_anything_was_ordered(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = world.server("h1", nics=["flat"])
    h1 = world["h1"].agent
    world["h3"].agent.faults.on("plug", lambda: setattr(h1, "reachable", False))
    pause_then(monkeypatch, 3, lambda: world.pass_time(60))
    failed_with(world.move(server, "h3"), "the source's agent is dead")
    world.check(server, "h1")


def test_a_dead_source_that_may_hold_the_vm_is_waited_for(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a transfer was ordered, only the source can say that the VM has not gone."""
    server = world.server("h1", nics=["flat"])
    h1 = world["h1"].agent
    world.fabric.break_transfer(Step.COPYING)
    away_at(world, "h1", Step.PREPARED)

    def back() -> None:
        h1.reachable = True
        h1.restart()

    pause_then(monkeypatch, 8, back)
    migration = world.move(server, "h3")
    failed_with(migration, "")
    world.check(server, "h1")


@pytest.mark.parametrize("memory_lost", [False, True], ids=["remembers", "forgot"])
@pytest.mark.parametrize("step", [*BEFORE_THE_VM_LEFT, Step.OVER])
def test_the_source_agent_is_started_again(world: ComputeWorld, step: Step, memory_lost: bool) -> None:
    server = world.server("h1", nics=["flat"])
    world.fabric.on_step(step, lambda: world["h1"].agent.restart(memory_lost=memory_lost))
    assert completed(world.move(server, "h3"))
    world.check(server, "h3")


@pytest.mark.parametrize("memory_lost", [False, True], ids=["remembers", "forgot"])
def test_the_source_agent_is_started_again_and_misses_the_failure(
    world: ComputeWorld, memory_lost: bool
) -> None:
    """One that remembers says that it failed; for one that forgot, it never began, and it is ordered again."""
    server = world.server("h1", nics=["flat"])
    world.fabric.on_step(Step.COPYING, lambda: world["h1"].agent.restart(memory_lost=memory_lost))
    world.fabric.break_transfer(Step.PAUSED)
    migration = world.move(server, "h3")
    assert completed(migration) is memory_lost
    world.check(server, "h3" if memory_lost else "h1")


# Answers that get lost.

FORWARD = [
    ("h1", call) for call in ("observe", "domain_xml", "start_transfer", "tune_transfer", "unplug")
] + [("h3", call) for call in ("observe", "plug", "announce")]


@pytest.mark.parametrize(("host", "call"), FORWARD)
def test_an_answer_is_lost_on_the_way_there(world: ComputeWorld, host: str, call: str) -> None:
    server = world.server("h1", nics=["flat"])
    world.fabric.rounds = 5
    world[host].agent.faults.lose_reply(call, times=2)
    assert completed(world.move(server, "h3"))
    world.check(server, "h3")


@pytest.mark.parametrize(("host", "call"), FORWARD)
def test_an_order_is_lost_on_the_way_there(world: ComputeWorld, host: str, call: str) -> None:
    server = world.server("h1", nics=["flat"])
    world.fabric.rounds = 5
    world[host].agent.faults.fail(call, Unreachable("no route to host"), times=2)
    assert completed(world.move(server, "h3"))
    world.check(server, "h3")


BACK = [("h1", "abort_transfer"), ("h1", "observe"), ("h3", "observe"), ("h3", "unplug")]


@pytest.mark.parametrize(("host", "call"), BACK)
@pytest.mark.parametrize("after", [True, False], ids=["answer", "order"])
def test_it_is_lost_on_the_way_back(world: ComputeWorld, host: str, call: str, after: bool) -> None:
    server = world.server("h1", nics=["flat"])
    migration = world.begin(server, "h3")

    def abort() -> None:
        world.abort(migration)()
        world[host].agent.faults.fail(call, Unreachable("no route to host"), after=after, times=2)

    world.fabric.rounds = 10
    world.fabric.on_step(Step.COPYING, abort)
    assert world.drive(migration).status is MigrationStatus.CANCELLED
    world.check(server, "h1")


@pytest.mark.parametrize("after", [True, False], ids=["answer", "order"])
@pytest.mark.parametrize(("host", "call"), [("h1", "resume_domain"), ("h3", "discard_domain")])
def test_it_is_lost_after_the_job_was(world: ComputeWorld, host: str, call: str, after: bool) -> None:
    server = world.server("h1", nics=["flat"])
    migration = world.begin(server, "h3")
    world.fabric.on_step(Step.PAUSED, lambda: world.fabric.lose_job(server.id))
    world[host].agent.faults.fail(call, Unreachable("no route to host"), after=after)
    assert world.drive(migration).status is MigrationStatus.FAILED
    world.check(server, "h1")


# Aborts. That they may come at any time is in test_takeover.py; here is what is told of them.


@pytest.mark.parametrize("step", [Step.PREPARED, Step.COPYING, Step.PAUSED])
def test_an_abort_in_the_transfer(world: ComputeWorld, step: Step) -> None:
    server = world.server("h1", nics=["flat"])
    migration = world.begin(server, "h3")
    world.fabric.rounds = 10
    world.fabric.on_step(step, world.abort(migration))
    ended = world.drive(migration)
    if step is Step.PAUSED:
        assert completed(ended)  # It was being handed over already.
        world.check(server, "h3")
        return
    assert (ended.status, ended.error) == (MigrationStatus.CANCELLED, None)
    assert phases(ended)[-1] == Phase.ROLLED_BACK
    world.check(server, "h1")


def test_an_abort_before_the_first_look(world: ComputeWorld) -> None:
    server = world.server("h1", nics=["flat"])
    migration = world.begin(server, "h3")
    world.abort(migration)()
    assert world.drive(migration).status is MigrationStatus.CANCELLED
    assert "plug" not in world["h3"].agent.calls
    world.check(server, "h1")


def test_an_order_that_comes_after_the_abort_is_refused(world: ComputeWorld) -> None:
    """A conductor that was replaced has one on its way when the other has ended the migration.

    To macvtap it could be carried out, as nothing that libvirt needs is missing there.
    """
    server = world.server("h1", nics=["flat"])
    migration = world.begin(server, "h2")

    def replaced() -> None:
        world.abort(migration)()
        world.drive(migration)

    world["h1"].agent.faults.on("start_transfer", replaced)
    with pytest.raises(StaleEpoch):
        world.drive(migration)
    for _ in range(10):
        world.fabric.tick()
    assert world.found(migration).status is MigrationStatus.CANCELLED
    world.check(server, "h1")


# The database.


@pytest.mark.parametrize("skip", [0, 7, 40, 80])
def test_the_database_is_away_for_a_moment(world: ComputeWorld, skip: int) -> None:
    server = world.server("h1", nics=["flat"])
    migration = world.begin(server, "h3")
    left = [skip, 5]

    def fail(*_arguments: Any) -> None:
        left[0] -= 1
        if left[0] < 0 < left[1]:
            left[1] -= 1
            raise OperationalError("SELECT 1", {}, Exception("database is locked"))

    event.listen(world.engine, "before_cursor_execute", fail)
    try:
        conductor = world.conductor(world.new_tools())
        conductor._drive(migration.id)
    finally:
        event.remove(world.engine, "before_cursor_execute", fail)
    assert left[1] == 0
    assert completed(world.found(migration))
    world.check(server, "h3")


def test_options_come_to_the_order(world: ComputeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    server = world.server("h1", nics=["flat"])
    orders: list[TransferOrder] = []
    begin = world.fabric.begin

    def noted(source: SimulatedHost, order: TransferOrder) -> None:
        orders.append(order)
        begin(source, order)

    monkeypatch.setattr(world.fabric, "begin", noted)
    world.move(server, "h3", MigrationOptions(downtime_limit_ms=99, bandwidth_mib=10, auto_converge=True))
    (order,) = orders
    assert (order.downtime_limit_ms, order.bandwidth_mib, order.auto_converge) == (99, 10, True)
    assert order.libvirt_uri == "qemu+tcp://h3.example/system"
    assert order.migrate_uri == "tcp://h3.example"
