"""Migrations that go well: between every two backends, and what is told about them."""

import itertools
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine

from kedge.compute.migrations import conductor as module
from kedge.compute.migrations.conductor import Conductor
from kedge.core.migration.pace import LOWEST_MS
from kedge.model.domain import DomainState, HostView, VifState
from kedge.model.errors import CannotMigrate, Conflict
from kedge.model.network import BindingStatus, PortStatus
from kedge.model.server import Migration, MigrationOptions, MigrationStatus, Phase, Sign
from kedge.testing.simulated.fabric import Step
from kedge.wire.messages import ObserveRequest, TransferTuning

from .compute_world import PAIRS, ComputeWorld, completed, make_compute_world, phases

WHOLE = [
    Phase.PREFLIGHT,
    Phase.BOUND,
    Phase.PLUGGED,
    Phase.TRANSFER,
    Phase.PAUSED,
    Phase.SWITCHED,
    Phase.ANNOUNCED,
    Phase.VERIFIED,
    Phase.SETTLED,
]


def test_a_conductor_checkpoints_its_database(world: ComputeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    done = queue.Queue[Engine]()

    def checkpoint(engine: Engine) -> None:
        done.put(engine)
        raise OSError("the disk is full")

    monkeypatch.setattr(module, "CHECKPOINT_S", 0.001)
    monkeypatch.setattr(module, "checkpoint", checkpoint)
    conductor = world.conductor(world.tools)
    conductor.start()
    assert [done.get(timeout=60), done.get(timeout=60)] == [world.engine, world.engine]
    conductor.stop()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComputeWorld]:
    """One world for all pairs, each with a server of its own."""
    with make_compute_world(tmp_path_factory.mktemp("fleet")) as world:
        world.fabric.reporting = True
        yield world


@pytest.mark.parametrize(("source", "destination"), PAIRS)
def test_every_pair(fleet: ComputeWorld, source: str, destination: str) -> None:
    server = fleet.server(source, f"{source}-{destination}")
    migration = fleet.move(server, destination)
    assert (migration.status, migration.error) == (MigrationStatus.COMPLETED, None)
    assert phases(migration) == WHOLE
    assert migration.guest_downtime_ms == fleet.fabric.downtime_ms
    assert migration.network_blackout_ms is not None
    assert 0 <= migration.network_blackout_ms < 60_000
    assert migration.network_blackout_between == (Sign.FRAME, Sign.FRAME)
    assert migration.total_ms is not None
    assert {port.id for port in fleet.ports(server)} <= set(fleet[destination].announced)
    assert {port.status for port in fleet.ports(server)} == {PortStatus.ACTIVE}
    fleet.check(server, destination)


def test_there_and_back_gives_the_same_xml_but_for_names(world: ComputeWorld) -> None:
    server = world.server("h1")
    before = world["h1"].holds[server.id].nics()
    world.move(server, "h4")
    world.move(world.tools.servers.find(server.id), "h1")
    after = world["h1"].holds[server.id].nics()
    assert [(nic.source_dev, nic.mode, nic.alias) for nic in after] == [
        (nic.source_dev, nic.mode, nic.alias) for nic in before
    ]
    world.check(server, "h1")


def test_the_port_stays_active_and_the_bindings_switch_in_the_pause(world: ComputeWorld) -> None:
    """Until the pause the destination's binding is INACTIVE; from the VM's arrival on it is the ACTIVE one."""
    world.fabric.reporting = True
    server = world.server("h1")
    seen: dict[Step, set[tuple[str, BindingStatus]]] = {}

    def look(step: Step) -> None:
        bindings = [each for port in world.ports(server) for each in world.network.bindings(port.id)]
        seen[step] = {(each.host, each.status) for each in bindings}
        assert {port.status for port in world.ports(server)} == {PortStatus.ACTIVE}

    for step in (Step.PREPARED, Step.PAUSED, Step.ARRIVED, Step.OVER):
        world.fabric.on_step(step, lambda step=step: look(step))  # type: ignore[misc]
    world.move(server, "h3")
    ahead = {("h1", BindingStatus.ACTIVE), ("h3", BindingStatus.INACTIVE)}
    switched = {("h1", BindingStatus.INACTIVE), ("h3", BindingStatus.ACTIVE)}
    assert seen == {
        Step.PREPARED: ahead,
        Step.PAUSED: ahead,
        Step.ARRIVED: switched,
        Step.OVER: switched,
    }


def test_a_macvtap_is_build_until_the_domain_comes(world: ComputeWorld) -> None:
    server = world.server("h3", nics=["flat"])
    states: list[VifState] = []

    def look() -> None:
        (vif,) = world["h2"].plugged.values()
        states.append(world["h2"].vif_state(vif))

    world["h3"].agent.faults.on("start_transfer", look)
    world.fabric.on_step(Step.PREPARED, look)
    world.move(server, "h2")
    assert states == [VifState.UP, VifState.UP]


def test_clocks_that_differ_do_not_show_in_the_figures(world: ComputeWorld) -> None:
    world["h1"].clock_skew_ns = 3_600_000_000_000
    world["h3"].clock_skew_ns = -1_800_000_000_000
    server = world.server("h1")
    migration = world.move(server, "h3")
    assert phases(migration) == WHOLE
    assert migration.network_blackout_ms is not None
    assert abs(migration.network_blackout_ms) < 60_000


@pytest.mark.parametrize("silent_on", ["h1", "h3"])
def test_what_could_not_be_measured_is_not_told(world: ComputeWorld, silent_on: str) -> None:
    server = world.server("h1")
    world[silent_on].silent |= {port.id for port in world.ports(server)}
    migration = world.move(server, "h3")
    assert completed(migration)
    assert migration.network_blackout_ms is None
    assert migration.guest_downtime_ms == world.fabric.downtime_ms


def test_a_silent_vm_is_measured_between_its_answers_and_it_is_said(world: ComputeWorld) -> None:
    server = world.server("h1")
    for host in ("h1", "h3"):
        world[host].silent |= {port.id for port in world.ports(server)}
        world[host].answering |= {port.id for port in world.ports(server)}
    migration = world.move(server, "h3")
    assert migration.network_blackout_ms is not None
    assert 0 <= migration.network_blackout_ms < 60_000
    assert migration.network_blackout_between == (Sign.ANSWER, Sign.ANSWER)
    settled = next(entry for entry in migration.timeline if entry.phase == Phase.SETTLED)
    assert settled.detail == {"blackout measured between its last": "answer and first answer"}


def test_answers_on_one_side_alone_are_no_measure(world: ComputeWorld) -> None:
    server = world.server("h1")
    for host in ("h1", "h3"):
        world[host].silent |= {port.id for port in world.ports(server)}
    world["h1"].answering |= {port.id for port in world.ports(server)}
    migration = world.move(server, "h3")
    assert (migration.network_blackout_ms, migration.network_blackout_between) == (None, None)


def test_a_nic_that_was_silent_before_does_not_hide_the_others(world: ComputeWorld) -> None:
    server = world.server("h1")
    world["h1"].silent.add(world.ports(server)[0].id)
    assert world.move(server, "h3").network_blackout_ms is not None


def test_a_nic_that_is_not_heard_again_leaves_the_blackout_open(world: ComputeWorld) -> None:
    server = world.server("h1")
    world["h3"].silent.add(world.ports(server)[0].id)
    assert world.move(server, "h3").network_blackout_ms is None


def test_progress_is_shown_and_the_downtime_limit_follows(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = world.server("h1", nics=["flat"])
    world.fabric.rounds = 9
    tunings: list[TransferTuning] = []
    monkeypatch.setattr(
        world["h1"].agent, "tune_transfer", lambda _id, tuning: tunings.append(tuning), raising=True
    )
    migration = world.move(server, "h3")
    limits = [tuning.downtime_limit_ms for tuning in tunings]
    assert limits
    assert all(limit is not None and limit > LOWEST_MS for limit in limits)
    assert migration.progress is not None
    assert migration.progress["memory_total"] > 0
    assert migration.progress["downtime_limit_ms"] == limits[-1]


def test_the_destination_is_left_alone_while_memory_is_copied(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is not asked again what only its own agent, or nobody, has changed."""
    looks: dict[str, int] = {}
    server = world.server("h1", nics=["flat"])
    for destination, rounds in (("h2", 3), ("h1", 30)):
        world.fabric.rounds = rounds
        agent, count = world[destination].agent, itertools.count(1)
        with monkeypatch.context() as patch:
            observe = agent.observe

            def noted(uuid: str, request: ObserveRequest) -> HostView:
                looks[destination] = next(count)  # noqa: B023
                return observe(uuid, request)  # noqa: B023

            patch.setattr(agent, "observe", noted)
            assert completed(world.move(world.tools.servers.find(server.id), destination))
    assert looks["h1"] == looks["h2"] <= 10


def test_the_switch_waits_for_no_look_at_the_destination(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its libvirtd may answer late while the VM arrives, and the source alone says that the VM stands still."""
    server = world.server("h1", nics=["flat"])
    (port,) = world.ports(server)
    seen: list[tuple[DomainState, BindingStatus]] = []
    agent = world["h3"].agent
    observe = agent.observe

    def noted(uuid: str, request: ObserveRequest) -> HostView:
        source = world["h1"].holds.get(uuid)
        there = [each.status for each in world.network.bindings(port.id) if each.host == "h3"]
        if source is not None and there:
            seen.append((source.state, there[0]))
        return observe(uuid, request)

    monkeypatch.setattr(agent, "observe", noted)
    assert completed(world.move(server, "h3"))

    assert (DomainState.SWITCHOVER, BindingStatus.ACTIVE) in seen
    assert (DomainState.SWITCHOVER, BindingStatus.INACTIVE) not in seen


def test_a_chosen_downtime_limit_is_left_alone(world: ComputeWorld) -> None:
    server = world.server("h1", nics=["flat"])
    world.fabric.rounds = 9
    migration = world.move(server, "h3", MigrationOptions(downtime_limit_ms=250))
    assert completed(migration)
    assert "tune_transfer" not in world["h1"].agent.calls
    assert migration.progress is not None
    assert migration.progress["downtime_limit_ms"] == 250


def test_a_tap_gets_as_many_queues_as_the_nic_has(world: ComputeWorld) -> None:
    server = world.server("h1", nics=["flat"])
    domain = world["h1"].holds[server.id]
    domain.xml = domain.xml.replace("<model type='virtio'/>", "<model type='virtio'/><driver queues='4'/>")
    world.move(server, "h3")
    assert world["h3"].agent.queues == {world.ports(server)[0].id: 4}


def test_a_leftover_of_a_dead_migration_is_made_anew(world: ComputeWorld) -> None:
    """It may describe the host as it was: here its interface has another name now."""
    server = world.server("h3", nics=["flat"])
    (port,) = world.ports(server)
    world.network.bind(port.id, "h1", migration_id="1d4c4c9e-0f7f-4d8b-9d0c-000000000001")
    world["h1"].backends = world["h2"].backends
    world["h1"].agent.report()
    assert completed(world.move(server, "h1"))
    (binding,) = world.network.bindings(port.id)
    assert binding.vif_details["macvtap_source"] == "ens5"
    world.check(server, "h1")


# The conductor as a whole, with its threads.


def wait_for(conductor: Conductor, migration: Migration, seconds: float = 30) -> Migration:
    ends = time.monotonic() + seconds
    while (found := conductor.tools.migrations.find(migration.id)).finished_at is None:
        assert time.monotonic() < ends, found
        time.sleep(0.01)
    return found


@pytest.fixture
def start(world: ComputeWorld) -> Iterator[Callable[[], Conductor]]:
    """Starts conductors, and stops them at the end."""
    with ExitStack() as stack:

        def started() -> Conductor:
            conductor = world.conductor(world.new_tools())
            conductor.start()
            stack.callback(conductor.stop)
            return conductor

        yield started


Start = Callable[[], Conductor]


def test_the_conductor_migrates_by_itself(
    world: ComputeWorld, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_MS", 20)
    server = world.server("h1")
    conductor = start()
    with world.fabric.running_by_itself():
        migration = conductor.migrate(server, ["h5"], MigrationOptions())
        with pytest.raises((Conflict, CannotMigrate), match=r"already|wait for it"):
            conductor.migrate(world.tools.servers.find(server.id), ["h2"], MigrationOptions())
        assert completed(wait_for(conductor, migration))
    world.check(server, "h5")


def test_a_second_migration_is_refused_by_the_first_ones_id(world: ComputeWorld) -> None:
    server = world.server("h1")
    first = world.begin(server, "h2")
    conductor = world.conductor(world.tools)
    with pytest.raises((Conflict, CannotMigrate), match=first.id):
        conductor.migrate(server, ["h3"], MigrationOptions())
    assert len(world.tools.migrations.all()) == 1


def test_one_that_was_moved_since_it_was_planned_is_refused(world: ComputeWorld) -> None:
    as_planned = world.server("h1")
    world.move(as_planned, "h3")
    with pytest.raises(Conflict, match="was moved from h1 to h3 meanwhile; try again"):
        world.begin(as_planned, "h2")
    assert len(world.tools.migrations.all()) == 1
    world.check(as_planned, "h3")


def test_what_can_not_be_is_refused_before_anything_is_made(world: ComputeWorld) -> None:
    server = world.server("h1")
    world["h1"].holds[server.id].state = DomainState.PAUSED
    with pytest.raises(CannotMigrate, match="only a running one can move live"):
        world.conductor(world.tools).migrate(server, ["h3"], MigrationOptions())
    assert world.tools.migrations.all() == []
    assert world.tools.servers.find(server.id).status == "ACTIVE"


def test_a_conductor_that_is_started_again_goes_on(world: ComputeWorld, start: Start) -> None:
    server = world.server("h1")
    stopped = start()
    world.fabric.on_step(Step.COPYING, stopped._stopping.set)
    migration = world.begin(server, "h4")
    assert stopped._stopping.wait(30)
    stopped.stop()
    assert world.found(migration).finished_at is None
    assert completed(wait_for(start(), migration))
    world.check(server, "h4")


def test_another_conductor_takes_over_as_soon_as_the_first_one_lets_go(
    world: ComputeWorld, start: Start
) -> None:
    server = world.server("h1")
    first = start()
    world.fabric.on_step(Step.COPYING, first._stopping.set)
    migration = world.begin(server, "h4")
    assert first._stopping.wait(30)
    second = start()
    time.sleep(0.2)
    assert second._threads == {}
    first.stop()
    assert completed(wait_for(second, migration))
    world.check(server, "h4")
