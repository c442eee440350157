"""Transitions over simulated hosts whose servers stay, and are rewired to another switch of their host."""

from contextlib import suppress
from pathlib import Path

import pytest

from kedge.compute.operations.operations import OperationRequest
from kedge.compute.operations.transition.records import TransitionRecords
from kedge.compute.rewirings.records import RewiringRecords
from kedge.core.operation import TransferModel
from kedge.model.domain import DomainState
from kedge.model.errors import CannotMigrate, HostFailure
from kedge.model.host import HostBackend
from kedge.model.network import VifType
from kedge.model.operation import Abort, Operation, OperationKind
from kedge.model.server import Server
from kedge.model.transition import Stage, Transition, Way

from .compute_world import ComputeWorld, Killed, die
from .transition_fleet import OVS, Hosts, of

BRIDGES = HostBackend("linuxbridge", {"physnet1": "eth1", "physnet2": "eth2"})
BOTH = (OVS, BRIDGES)


@pytest.fixture
def hosts(world: ComputeWorld, tmp_path: Path) -> Hosts:
    return Hosts(world, tmp_path)


@pytest.fixture
def servers(world: ComputeWorld) -> list[Server]:
    return [world.server("h5", name=f"vm{number}") for number in range(3)]


def begin(
    hosts: Hosts, *names: str, run: str = "", way: Way = Way.AUTO, rewired_at_once: int = 4
) -> Operation:
    return hosts.begin(*(names or ("h5",)), run=run, way=way, rewired_at_once=rewired_at_once)


def reaches_rewiring(hosts: Hosts, operation: Operation) -> Operation:
    hosts.until_stage(operation, Stage.CONVERTING)
    hosts.report("h5", *BOTH)
    return hosts.until_stage(operation, Stage.REWIRING)


def check_stayed(hosts: Hosts, servers: list[Server], vif_type: VifType = VifType.OVS) -> None:
    for each in servers:
        hosts.world.check(each, "h5")
        for port in hosts.world.ports(each):
            (binding,) = hosts.world.network.bindings(port.id)
            assert binding.vif_type is vif_type
            assert hosts.world["h5"].plugged[port.id].vif_type is vif_type
    assert hosts.probes() == []
    assert hosts.rewirings.unfinished() == []


def test_servers_stay_and_their_ports_go_over(hosts: Hosts, servers: list[Server]) -> None:
    operation = begin(hosts)
    assert [each.in_place for each in operation.hosts] == [True]
    assert operation.prediction is not None
    (turn,) = operation.prediction["turns"]
    assert (turn["in_place"], turn["rewired"], operation.prediction["legs"]) == (True, 3, [])

    waits = hosts.round(hosts.until_stage(operation, Stage.CONVERTING))
    assert of(waits).why.startswith(
        "waits for openvswitch: stop its agent, add it to the configuration, above the"
    )
    assert "changed by operation" in (hosts.tools.settings.of("h5").disabled or "")
    hosts.report("h5", *BOTH)
    ended = hosts.to_end(operation)

    assert (ended.state, {each.state for each in ended.items}) == ("completed", {"arrived"})
    assert hosts.tools.settings.of("h5").disabled is None
    assert hosts.tools.migrations.all() == []
    assert len(hosts.rewirings.all()) == 3
    assert {each.rewiring for each in ended.items} == {each.id for each in hosts.rewirings.all()}
    check_stayed(hosts, servers)
    said = " | ".join(line.what for line in of(ended).log)
    assert "rewiring: openvswitch (physnet1: br-physnet1, physnet2: br-physnet2) and linuxbridge" in said
    assert "a port worked on network flat, tagged" in said
    assert said.endswith(
        "done: its servers are in the new switch, so its agent needs the other backend no longer"
    )


def test_no_spare_capacity_is_needed(hosts: Hosts, servers: list[Server]) -> None:
    for name in ("h1", "h2", "h3", "h4"):
        hosts.tools.settings.disable(name, "new disks")
    with pytest.raises(CannotMigrate, match="vm0 fits nowhere else"):
        hosts.begin("h5")
    operation = begin(hosts)
    reaches_rewiring(hosts, operation)
    assert hosts.to_end(operation).state == "completed"
    check_stayed(hosts, servers)


def test_a_few_at_once(hosts: Hosts, servers: list[Server]) -> None:
    operation = reaches_rewiring(hosts, begin(hosts, rewired_at_once=2))
    shown = hosts.round(hosts.round(operation))
    assert len(hosts.rewirings.unfinished()) == 2
    assert sorted(each.state for each in shown.items) == ["rewiring", "rewiring", "waiting"]
    assert of(shown).why == "3 servers have to be rewired"
    assert hosts.to_end(operation).state == "completed"


def test_some_hosts_in_place_and_others_by_moves(hosts: Hosts, servers: list[Server]) -> None:
    other = hosts.world.server("h1", name="on-macvtap")
    operation = begin(hosts, "h5", "h1")
    assert [each.in_place for each in operation.hosts] == [True, False]
    (said,) = of(operation, "h1").log
    assert said.what.startswith("by moves: on-macvtap: port") and "is no tap in a switch" in said.what
    assert of(operation).log == ()
    reaches_rewiring(hosts, operation)
    hosts.until_stage(operation, Stage.CONVERTING, "h1")
    hosts.report("h1", OVS)

    ended = hosts.to_end(operation)

    assert ended.state == "completed"
    check_stayed(hosts, servers)
    hosts.world.check(other, "h1")
    assert {each.server_id for each in hosts.tools.migrations.all()} == {other.id}


def test_a_command_that_is_told_so_changes_a_host_in_place(hosts: Hosts, servers: list[Server]) -> None:
    operation = begin(hosts, run="told")
    hosts.until(operation, lambda _: (hosts.directory / "ran-h5").exists())
    hosts.report("h5", *BOTH)
    ended = hosts.to_end(operation)
    assert ended.state == "completed"
    command = of(ended).command
    assert command is not None
    assert command.output == "in-place"
    check_stayed(hosts, servers)


def test_a_command_that_is_not_told_so_is_not_run_below_servers(hosts: Hosts, servers: list[Server]) -> None:
    assert [each.in_place for each in begin(hosts, run="convert", way=Way.IN_PLACE).hosts] == [True]
    hosts.records.abort(hosts.records.unfinished()[0], Abort.FINISH_RUNNING)
    hosts.to_end(hosts.records.find(hosts.records.unfinished()[0]))
    operation = begin(hosts, run="convert")
    assert [each.in_place for each in operation.hosts] == [False]
    assert "`convert` is not told that servers stay on the host" in of(operation).log[0].what


def test_a_rewiring_that_fails_stops_its_host_and_is_resumed(hosts: Hosts, servers: list[Server]) -> None:
    operation = reaches_rewiring(hosts, begin(hosts, rewired_at_once=1))
    agent = hosts.world["h5"].agent
    agent.faults.fail("move one", HostFailure("the switch is full"), skip=2)  # of the second server

    stopped = hosts.until_trouble(operation)

    trouble = of(stopped).trouble or ""
    assert "the switch is full" in trouble and "failed" in trouble
    assert "1 of 3 servers on h5 are in the new switch" in trouble
    assert f"`kedge operations resume {operation.id[:8]}`" in trouble
    assert sorted(each.state for each in stopped.items) == ["arrived", "stuck", "waiting"]
    hosts.round(operation)
    assert len(hosts.rewirings.all()) == 2

    hosts.records.pause(operation.id, paused=False)
    assert hosts.to_end(operation).state == "completed"
    check_stayed(hosts, servers)
    assert len(hosts.rewirings.all()) == 4


def test_an_agent_without_the_old_backend_is_named(hosts: Hosts, servers: list[Server]) -> None:
    operation = begin(hosts)
    hosts.until_stage(operation, Stage.CONVERTING)
    hosts.report("h5", OVS)
    trouble = of(hosts.until_trouble(operation)).trouble or ""
    assert "vm0: the agent on h5 has no backend linuxbridge any more" in trouble
    hosts.report("h5", *BOTH)
    hosts.records.pause(operation.id, paused=False)
    assert hosts.to_end(operation).state == "completed"
    check_stayed(hosts, servers)


def test_the_new_backend_has_to_be_named_first(hosts: Hosts, servers: list[Server]) -> None:
    operation = begin(hosts)
    hosts.until_stage(operation, Stage.CONVERTING)
    hosts.report("h5", *reversed(BOTH))
    assert "name that first in its agent's configuration" in (
        of(hosts.until_trouble(operation)).trouble or ""
    )
    hosts.report("h5", *BOTH)
    hosts.records.pause(operation.id, paused=False)
    assert hosts.to_end(operation).state == "completed"


def test_servers_that_left_were_deleted_are_off_or_came_meanwhile(
    hosts: Hosts, servers: list[Server]
) -> None:
    left, deleted, off = servers
    operation = begin(hosts)
    hosts.world.move(left, "h3")
    hosts.world.servers.delete(deleted.id)
    hosts.world["h5"].holds[off.id].state = DomainState.SHUTOFF
    for port in hosts.world.ports(off):
        hosts.world["h5"].plugged.pop(port.id)
    came = hosts.world.server("h1", name="came")
    hosts.world.move(came, "h5")
    reaches_rewiring(hosts, operation)

    ended = hosts.to_end(operation)

    assert ended.state == "completed"
    stands = {each.name: each.state for each in ended.items}
    assert stands == {"vm0": "arrived", "vm1": "gone", "vm2": "arrived", "came": "arrived"}
    check_stayed(hosts, [came])
    hosts.world.check(left, "h3")
    assert of(ended).log[-1].what.endswith("Off, and bound as before: vm2")


def test_a_restore_afterwards_leaves_alone_who_was_moved_by_hand(hosts: Hosts, servers: list[Server]) -> None:
    operation = begin(hosts)
    hosts.world.move(servers[0], "h3")
    hosts.round(hosts.until_stage(operation, Stage.CONVERTING))
    hosts.records.abort(operation.id, Abort.FINISH_RUNNING)
    hosts.to_end(operation)
    assert hosts.tools.settings.of("h5").disabled is not None

    restored = hosts.to_end(hosts.operations.begin(OperationRequest(OperationKind.RESTORE, "h5")))

    assert (restored.state, restored.items) == ("completed", ())
    assert hosts.tools.settings.of("h5").disabled is None
    hosts.world.check(servers[0], "h3")


def test_a_server_that_is_migrated_is_waited_for(hosts: Hosts, servers: list[Server]) -> None:
    operation = reaches_rewiring(hosts, begin(hosts))
    migration = hosts.world.begin(servers[0], "h3")
    for _ in range(3):
        found = hosts.round(operation)
        hosts.drive_rewirings()
    assert of(found).why == "vm0: a migration of it is under way"
    assert found.finished_at is None
    hosts.world.drive(migration)
    ended = hosts.to_end(operation)
    assert ended.state == "completed"
    check_stayed(hosts, servers[1:])
    hosts.world.check(servers[0], "h3")


def test_a_silent_agent_is_waited_for(hosts: Hosts, servers: list[Server]) -> None:
    operation = reaches_rewiring(hosts, begin(hosts))
    hosts.world["h5"].agent.reachable = False
    found = hosts.round(operation)
    assert (of(found).stage, of(found).why, of(found).trouble) == (
        Stage.REWIRING,
        "its agent does not answer",
        None,
    )
    hosts.world["h5"].agent.reachable = True
    assert hosts.to_end(operation).state == "completed"


def test_an_operation_does_not_end_with_rewirings_under_way_on_a_silent_host(
    hosts: Hosts, servers: list[Server]
) -> None:
    operation = reaches_rewiring(hosts, begin(hosts))
    hosts.round(operation)
    hosts.world["h5"].agent.reachable = False
    hosts.records.abort(operation.id, Abort.FINISH_RUNNING)
    found = hosts.round(operation)
    assert (found.state, of(found).why) == ("aborting", "its agent does not answer")
    hosts.world["h5"].agent.reachable = True
    assert hosts.to_end(operation).state == "aborted"
    check_stayed(hosts, servers)


def test_nothing_is_rewired_while_it_is_paused(hosts: Hosts, servers: list[Server]) -> None:
    operation = reaches_rewiring(hosts, begin(hosts))
    hosts.records.pause(operation.id, paused=True)
    hosts.round(operation)
    assert hosts.rewirings.all() == []
    hosts.records.pause(operation.id, paused=False)
    assert hosts.to_end(operation).state == "completed"
    check_stayed(hosts, servers)


@pytest.mark.parametrize("how", Abort)
def test_an_abort_waits_for_rewirings_or_takes_them_back(
    hosts: Hosts, servers: list[Server], how: Abort
) -> None:
    operation = reaches_rewiring(hosts, begin(hosts))
    hosts.round(operation)
    assert len(hosts.rewirings.unfinished()) == 3
    hosts.records.abort(operation.id, how)
    assert hosts.round(operation).finished_at is None
    ended = hosts.to_end(operation)
    assert ended.state == "aborted"
    check_stayed(hosts, servers, VifType.OVS if how is Abort.FINISH_RUNNING else VifType.BRIDGE)


@pytest.mark.parametrize(
    ("records", "method"),
    [(RewiringRecords, "add"), (TransitionRecords, "enter"), (TransitionRecords, "stop")],
)
def test_a_conductor_may_die_anywhere(
    hosts: Hosts, servers: list[Server], records: type, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = begin(hosts)
    deaths = iter(range(2))
    whole = getattr(records, method)

    def dying(*arguments: object, **named: object) -> object:
        answer = whole(*arguments, **named)
        if next(deaths, None) is not None:
            die()
        return answer

    monkeypatch.setattr(records, method, dying)
    if method == "stop":
        hosts.world["h5"].agent.faults.fail("move one", HostFailure("the switch is full"))
    for _ in range(40):
        found = hosts.records.find(operation.id)
        with suppress(Killed):
            found = hosts.round(operation)
        if of(found).stage is Stage.CONVERTING:
            hosts.report("h5", *BOTH)
        if found.state == "paused":
            hosts.records.pause(operation.id, paused=False)
        hosts.drive_rewirings()
        if found.finished_at is not None:
            break
    assert found.state == "completed"
    assert len(hosts.rewirings.all()) == (4 if method == "stop" else 3)
    check_stayed(hosts, servers)


def test_where_it_can_not_be_in_place_is_said_before_anything_is_touched(
    hosts: Hosts, servers: list[Server]
) -> None:
    adopted = hosts.world["h5"].holds[servers[1].id]
    adopted.xml = adopted.xml.replace("dev='tap", "dev='vnet").replace('dev="tap', 'dev="vnet')
    hosts.world.server("h1", name="on-macvtap")
    with pytest.raises(CannotMigrate) as refused:
        begin(hosts, "h5", "h1", way=Way.IN_PLACE)
    said = str(refused.value)
    assert "can't be changed to openvswitch in place" in said
    assert "h5: vm1: the device vnet" in said and "was not made by Kedge" in said
    assert "h1: on-macvtap: port" in said and "no tap in a switch" in said
    wanted = Transition(("h5",), "macvtap", way=Way.IN_PLACE)
    with pytest.raises(CannotMigrate, match="h5: macvtap is no switch"):
        hosts.operations.begin(OperationRequest(OperationKind.TRANSITION, transition=wanted))
    assert hosts.records.all() == []
    operation = begin(hosts, "h5")
    assert [each.in_place for each in operation.hosts] == [False]


def test_hosts_are_changed_by_moves_where_that_is_asked_for_or_nobody_is_there(
    hosts: Hosts, servers: list[Server]
) -> None:
    assert not begin(hosts, way=Way.MOVES).hosts[0].in_place
    empty = hosts.operations.simulate(
        OperationRequest(OperationKind.TRANSITION, transition=Transition(("h1",), "openvswitch"))
    )
    assert [(each.in_place, each.why) for each in empty.turns] == [(False, "no server is on it")]


def test_how_long_rewiring_takes_is_learned(hosts: Hosts, servers: list[Server]) -> None:
    next_one = OperationRequest(OperationKind.TRANSITION, transition=Transition(("h1",), "openvswitch"))
    assert hosts.operations.simulate(next_one).basis["rewire_s"] == TransferModel().rewire_s
    operation = reaches_rewiring(hosts, begin(hosts))
    hosts.to_end(operation)
    assert hosts.operations.simulate(next_one).basis["rewire_s"] != TransferModel().rewire_s
