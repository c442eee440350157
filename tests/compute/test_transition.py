"""Transitions over simulated hosts: by a command and by hand, with everything that may be in the way."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from kedge.compute.operations.driving import DrivenOperations
from kedge.compute.operations.operations import OperationRequest
from kedge.compute.operations.transition.records import TransitionRecords
from kedge.compute.records.migrations import MigrationRecords
from kedge.core.operation import COMMAND_S, TransferModel
from kedge.model.errors import BadRequest, CannotMigrate, Conflict, NotFound
from kedge.model.host import HostBackend
from kedge.model.operation import Abort, OperationKind
from kedge.model.placement import HostLimits
from kedge.model.server import Server
from kedge.model.transition import Stage, Transition
from kedge.store import transaction
from kedge.store.tables import OperationHostRow

from .compute_world import ComputeWorld, Killed, die
from .transition_fleet import OTHER_PARENT, OVS, Hosts, of


@pytest.fixture
def hosts(world: ComputeWorld, tmp_path: Path) -> Hosts:
    return Hosts(world, tmp_path)


@pytest.fixture
def servers(world: ComputeWorld) -> list[Server]:
    return [world.server("h5", name="vm0")]


def test_a_person_changes_a_host_and_its_servers_come_back(hosts: Hosts, servers: list[Server]) -> None:
    operation = hosts.begin("h5")
    assert operation.prediction is not None
    assert len(operation.prediction["legs"]) == 2

    waits = hosts.until_stage(operation, Stage.CONVERTING)
    waits = hosts.round(waits)
    assert of(waits).why.startswith(
        "waits for openvswitch: stop its agent, put it into the configuration, and start the agent; its agent"
    )
    assert "changed by operation" in (hosts.tools.settings.of("h5").disabled or "")
    assert {hosts.tools.servers.find(each.id).host for each in servers}.isdisjoint({"h5"})

    hosts.report("h5", OVS)
    ended = hosts.to_end(operation)

    assert (ended.state, {each.state for each in ended.items}) == ("completed", {"arrived"})
    assert hosts.tools.settings.of("h5").disabled is None
    for each in servers:
        hosts.world.check(each, "h5")
    said = " | ".join(line.what for line in of(ended).log)
    assert "a port worked on network flat, tagged" in said
    assert hosts.probes() == []


def test_how_long_a_change_takes_is_learned_of_the_last_ones(hosts: Hosts, servers: list[Server]) -> None:
    next_one = OperationRequest(OperationKind.TRANSITION, transition=Transition(("h1",), "openvswitch"))
    assert hosts.operations.simulate(next_one).basis["convert_s"] == TransferModel().convert_s
    operation = hosts.begin("h5")
    hosts.until_stage(operation, Stage.CONVERTING)
    hosts.report("h5", OVS)
    hosts.to_end(operation)
    with transaction(hosts.world.engine) as session:
        (row,) = session.scalars(select(OperationHostRow))
        began = datetime.fromisoformat(next(each["at"] for each in row.log if "converting" in each["what"]))
        ended = (began + timedelta(seconds=42)).isoformat()
        tried = (began + timedelta(seconds=45)).isoformat()
        moved = {"verifying": ended, "returning": tried}
        row.log = [{**each, "at": moved.get(each["what"].partition(":")[0], each["at"])} for each in row.log]

    basis = hosts.operations.simulate(next_one).basis
    assert (basis["convert_s"], basis["try_s"]) == (42, 3)
    to_macvtap = Transition(("h5",), "macvtap")
    of_another = hosts.operations.simulate(replace(next_one, transition=to_macvtap))
    assert of_another.basis["convert_s"] == 42


def test_who_wants_a_transition_may_say_how_long_a_change_takes(hosts: Hosts, servers: list[Server]) -> None:
    def assumed(run: str = "", change_s: float | None = None) -> float:
        wanted = Transition(("h5",), "openvswitch", run=run, change_s=change_s)
        return hosts.operations.simulate(OperationRequest(OperationKind.TRANSITION, transition=wanted)).basis[
            "convert_s"
        ]

    assert (assumed(), assumed(run="convert"), assumed(run="convert", change_s=7)) == (60, COMMAND_S, 7)
    with pytest.raises(BadRequest, match="change_s is -1"):
        assumed(change_s=-1)


def test_a_command_changes_hosts_one_after_the_other(hosts: Hosts, servers: list[Server]) -> None:
    hosts.world.server("h1", name="vm9")
    operation = hosts.begin("h5", "h1", run="convert")

    waits = hosts.until(operation, lambda _: (hosts.directory / "ran-h5").exists())
    assert of(waits, "h1").stage is Stage.QUEUED
    hosts.report("h5", OVS)
    hosts.until(operation, lambda _: (hosts.directory / "ran-h1").exists())
    hosts.report("h1", OVS)
    ended = hosts.to_end(operation)

    assert ended.state == "completed"
    command = of(ended).command
    assert command is not None
    assert (command.state, command.output) == ("succeeded", "changing h5")
    assert {hosts.tools.servers.find(each.id).host for each in servers} == {"h5"}


def test_a_macvtap_host_gets_another_parent_device(hosts: Hosts) -> None:
    server = hosts.world.server("h1")
    operation = hosts.begin("h1", to=OTHER_PARENT)
    hosts.until_stage(operation, Stage.CONVERTING, "h1")
    assert (
        "waits for macvtap (physnet1: eth3, physnet2: eth4): stop its agent, put it"
        in of(hosts.round(operation), "h1").why
    )

    hosts.report("h1", OTHER_PARENT)

    assert hosts.to_end(operation).state == "completed"
    hosts.world.check(server, "h1")


def test_a_host_that_comes_back_otherwise_is_stopped_and_resumed(hosts: Hosts, servers: list[Server]) -> None:
    operation = hosts.begin("h5")
    hosts.until_stage(operation, Stage.CONVERTING)
    hosts.report("h5", HostBackend("macvtap", {"physnet1": "eth1"}))

    trouble = of(hosts.until_trouble(operation)).trouble or ""
    assert trouble.startswith(
        "its agent reports macvtap (physnet1: eth1), and not openvswitch. So h5 is disabled"
    )
    assert "1 of 1 servers are elsewhere" in trouble
    assert f"`kedge operations resume {operation.id[:8]}`" in trouble

    hosts.report("h5", OVS)
    hosts.records.pause(operation.id, paused=False)
    assert hosts.to_end(operation).state == "completed"


def test_a_command_that_fails_stops_its_host(hosts: Hosts, servers: list[Server]) -> None:
    operation = hosts.begin("h5", run="fail")
    stopped = of(hosts.until_trouble(operation))
    assert (stopped.trouble or "").startswith("`fail` exited with 3. So h5 is disabled")
    assert stopped.command is not None
    assert stopped.command.output == "no such bridge"
    hosts.round(operation)
    assert of(hosts.round(operation)).command == stopped.command

    hosts.records.abort(operation.id, Abort.FINISH_RUNNING)
    assert hosts.to_end(operation).state == "aborted"
    assert hosts.tools.settings.of("h5").disabled is not None

    hosts.to_end(hosts.operations.begin(OperationRequest(OperationKind.RESTORE, "h5")))
    assert hosts.tools.settings.of("h5").disabled is None
    hosts.world.check(servers[0], "h5")


def test_a_port_that_does_not_work_stops_its_host(hosts: Hosts, servers: list[Server]) -> None:
    operation = hosts.begin("h5")
    hosts.until_stage(operation, Stage.CONVERTING)
    hosts.report("h5", HostBackend("openvswitch", {"physnet1": "br-physnet1"}))

    trouble = of(hosts.until_trouble(operation)).trouble or ""
    assert "no mapping for physnet2" in trouble or "physnet2" in trouble
    assert hosts.probes() == []

    hosts.report("h5", OVS)
    hosts.records.pause(operation.id, paused=False)
    assert hosts.to_end(operation).state == "completed"


def test_the_old_backend_beside_the_new_one_is_found_by_the_port(hosts: Hosts, servers: list[Server]) -> None:
    operation = hosts.begin("h5")
    hosts.until_stage(operation, Stage.CONVERTING)
    hosts.report("h5", hosts.world["h5"].backends[0], OVS)

    trouble = of(hosts.until_trouble(operation)).trouble or ""
    assert "is bound as bridge, which is not openvswitch: name that first" in trouble


@pytest.mark.parametrize(
    ("records", "method"),
    [
        (MigrationRecords, "add"),
        (TransitionRecords, "enter"),
        (TransitionRecords, "command_begins"),
        (DrivenOperations, "show"),
    ],
)
def test_a_conductor_may_die_anywhere(
    hosts: Hosts, servers: list[Server], records: type, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = hosts.begin("h5", run="convert")
    deaths = iter(range(2))
    whole: Callable[..., object] = getattr(records, method)

    def dying(*arguments: object, **named: object) -> object:
        answer = whole(*arguments, **named)
        if next(deaths, None) is not None:
            die()
        return answer

    monkeypatch.setattr(records, method, dying)
    resumed = 0
    for _ in range(60):
        try:
            found = hosts.round(operation)
        except Killed:
            found = hosts.records.find(operation.id)
        if found.state == "paused":  # it died between writing that the command runs and running it
            assert method == "command_begins"
            assert "how it ended is not known" in (of(found).trouble or "")
            hosts.records.pause(operation.id, paused=False)
            resumed += 1
        for migration_id in hosts.tools.migrations.unfinished():
            hosts.world.drive(hosts.tools.migrations.find(migration_id))
        if (hosts.directory / "ran-h5").exists() and hosts.world["h5"].backends != (OVS,):
            hosts.report("h5", OVS)
        if found.finished_at is not None:
            break
    assert (found.state, hosts.probes()) == ("completed", [])
    assert resumed == (2 if method == "command_begins" else 0)
    assert len(hosts.tools.migrations.all()) == 2
    for each in servers:
        hosts.world.check(each, "h5")


def test_a_try_that_broke_off_leaves_no_port(
    hosts: Hosts, servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = hosts.begin("h5")
    hosts.until_stage(operation, Stage.CONVERTING)
    hosts.report("h5", OVS)
    hosts.until_stage(operation, Stage.VERIFYING)
    agent = hosts.world["h5"].agent
    monkeypatch.setattr(agent, "plug", lambda _order: die())
    with pytest.raises(Killed):
        hosts.round(operation)
    assert len(hosts.probes()) == 1
    monkeypatch.undo()

    assert hosts.to_end(operation).state == "completed"
    assert hosts.probes() == []


def test_servers_that_are_deleted_moved_or_new_meanwhile(hosts: Hosts, servers: list[Server]) -> None:
    other = hosts.world.server("h5", name="vm1")
    operation = hosts.begin("h5")
    hosts.world.servers.delete(servers[0].id)
    hosts.world.move(other, "h3")
    hosts.until_stage(operation, Stage.CONVERTING)
    hosts.report("h5", OVS)

    ended = hosts.to_end(operation)

    assert ended.state == "completed"
    assert {each.name: each.state for each in ended.items} == {"vm0": "gone", "vm1": "arrived"}
    hosts.world.check(other, "h5")


def test_nothing_begins_while_it_is_paused(hosts: Hosts, servers: list[Server]) -> None:
    operation = hosts.begin("h5")
    hosts.records.pause(operation.id, paused=True)
    assert of(hosts.round(operation)).stage is Stage.QUEUED
    hosts.records.pause(operation.id, paused=False)
    assert of(hosts.round(operation)).stage is Stage.EMPTYING


def test_capacity_that_is_too_small_is_refused_with_the_arithmetic(
    hosts: Hosts, servers: list[Server]
) -> None:
    hosts.world.server("h5", name="vm9")
    hosts.tools.settings.limit("h1", HostLimits(vcpus=1))
    for name in ("h2", "h3", "h4"):
        hosts.tools.settings.disable(name, "new disks")
    with pytest.raises(
        CannotMigrate, match=r"h5: vm9 fits nowhere else: h1: CPUs: .*h1 have 1 of the 1 .* h2: "
    ):
        hosts.begin("h5")
    assert hosts.records.all() == []
    assert hosts.tools.settings.of("h5").disabled is None


def test_what_can_not_be_is_refused_before_anything_is_touched(hosts: Hosts, servers: list[Server]) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        hosts.begin("h5", "nowhere")
    with pytest.raises(BadRequest, match="Name each host once; h5"):
        hosts.begin("h5", "h5")
    with pytest.raises(BadRequest, match="Name the hosts"):
        hosts.begin()
    with pytest.raises(BadRequest, match=r"reports openvswitch .* already; leave it out"):
        hosts.begin("h3")
    with pytest.raises(BadRequest, match=r"no command 'rm'; configured are: convert, fail, told"):
        hosts.begin("h5", run="rm")
    with pytest.raises(BadRequest, match="and nothing else, has `transition`"):
        hosts.operations.begin(OperationRequest(OperationKind.TRANSITION))
    with pytest.raises(ValueError, match="hosts_at_once is 0"):
        hosts.begin("h5", hosts_at_once=0)
    hosts.tools.settings.disable("h5", "new disks")
    with pytest.raises(Conflict, match=r"h5 is disabled \(new disks\)"):
        hosts.begin("h5")
    hosts.tools.settings.enable("h5")
    assert hosts.records.all() == []

    operation = hosts.begin("h5")
    with pytest.raises(Conflict, match=f"Host h5 has a transition under way, operation {operation.id}"):
        hosts.operations.begin(OperationRequest(OperationKind.DRAIN, "h5"))
    with pytest.raises(Conflict, match="Host h5 has a transition under way"):
        hosts.begin("h5")
