"""What an unfinished operation means to move has room that no other operation, and no migration, is promised."""

from dataclasses import replace
from pathlib import Path

import pytest

from kedge.compute.operations.operations import OperationRequest
from kedge.compute.servers import NicRequest, ServerRequest
from kedge.model.errors import CannotMigrate
from kedge.model.host_facts import MemoryFacts
from kedge.model.operation import Abort, OperationKind, OperationLimits
from kedge.model.placement import MIB
from kedge.model.server import MigrationOptions
from kedge.model.transition import Stage

from .compute_world import ComputeWorld
from .transition_fleet import OVS, Hosts, of

SERVER_MIB = 1024
PLANNED = "2048 MiB of them for moves that operations plan, of the 2560 MiB"
ONE_BY_ONE = OperationLimits(in_all=1)


@pytest.fixture
def hosts(world: ComputeWorld, tmp_path: Path) -> Hosts:
    """Two servers each on h1, h2 and h4, room for two on h1 and h3, and none elsewhere."""
    for host in ("h1", "h2", "h4"):
        for number in range(2):
            name, nics = f"{host}-vm{number}", (NicRequest(network="flat"),)
            wanted = ServerRequest(name, host, nics, kernel="/boot/vmlinuz", memory_mib=SERVER_MIB)
            world.servers.create(wanted)
    for host, mib in (("h1", 2560), ("h2", 0), ("h3", 2560)):
        memory = MemoryFacts(2560 * MIB, mib * MIB)
        world[host].facts = replace(world[host].facts, memory=memory)
    for host in ("h4", "h5"):
        world.tools.settings.disable(host, "no room")
    return Hosts(world, tmp_path)


def drain(host: str) -> OperationRequest:
    return OperationRequest(OperationKind.DRAIN, host, to=("h3",), limits=ONE_BY_ONE)


def test_two_drains_do_not_count_on_the_same_memory(hosts: Hosts) -> None:
    first = hosts.operations.begin(drain("h1"))
    assert [each.planned for each in first.items] == ["h3", "h3"]

    foreseen = hosts.operations.simulate(drain("h2"))
    assert foreseen.legs == ()
    assert all(PLANNED in str(why) for why in foreseen.unmoved.values())
    second = hosts.round(hosts.operations.begin(drain("h2")))
    assert second.state == "failed"
    assert all(PLANNED in str(each.why) for each in second.items)

    hosts.records.abort(first.id, Abort.FINISH_RUNNING)
    assert len(hosts.operations.simulate(drain("h2")).legs) == 2


def test_a_migration_is_not_promised_what_an_operation_plans(hosts: Hosts) -> None:
    operation = hosts.operations.begin(drain("h1"))
    (server,) = hosts.tools.servers.named(["h2-vm0"])
    for chosen in ((), ("h3",)):
        with pytest.raises(CannotMigrate, match=PLANNED):
            hosts.conductor.migrate(server, chosen, MigrationOptions())

    ended = hosts.to_end(operation)

    assert ended.state == "completed"
    assert {hosts.tools.servers.find(each.server_id).host for each in ended.items} == {"h3"}
    assert [each.planned for each in ended.items] == [None, None]


def test_a_server_of_a_transition_is_promised_the_way_back(hosts: Hosts) -> None:
    operation = hosts.until_stage(hosts.begin("h1", in_all=1), Stage.CONVERTING, "h1")
    assert [each.planned for each in operation.items] == ["h1", "h1"]
    hosts.report("h1", OVS)
    operation = hosts.round(hosts.until_stage(operation, Stage.RETURNING, "h1"))
    assert sorted(each.planned or "" for each in operation.items) == ["", "h1"]

    (other,) = hosts.tools.servers.named(["h2-vm0"])
    with pytest.raises(CannotMigrate, match="promised 2048 MiB, 1024 MiB of them for moves that operations"):
        hosts.conductor.migrate(other, ("h1",), MigrationOptions())

    ended = hosts.to_end(operation)
    assert ended.state == "completed"
    assert {hosts.tools.servers.find(each.server_id).host for each in ended.items} == {"h1"}


def test_the_next_host_of_a_transition_has_no_room_that_others_plan(hosts: Hosts) -> None:
    transition = hosts.begin("h1", "h2", in_all=1)
    assert sorted(str(each.planned) for each in transition.items) == ["None", "None", "h3", "h3"]
    hosts.until_stage(transition, Stage.CONVERTING, "h1")
    hosts.report("h1", OVS)
    transition = hosts.until(
        transition,
        lambda found: {None, "h1"} == {each.planned for each in found.items if each.source == "h1"},
    )
    for migration_id in hosts.tools.migrations.unfinished():
        hosts.world.drive(hosts.tools.migrations.find(migration_id))
    wanted = OperationRequest(OperationKind.SERVERS, servers=("h4-vm0",), to=("h3",))
    rival = hosts.operations.begin(wanted)
    assert [each.planned for each in rival.items] == ["h3"]

    transition = hosts.until_trouble(transition)

    assert of(transition, "h1").stage is Stage.DONE
    assert "h2-vm1 fits nowhere else" in (of(transition, "h2").trouble or "")
    assert "1024 MiB of them for moves that operations plan" in (of(transition, "h2").trouble or "")
    hosts.records.abort(rival.id, Abort.FINISH_RUNNING)
    hosts.records.pause(transition.id, paused=False)
    transition = hosts.until_stage(transition, Stage.EMPTYING, "h2")
    assert {each.planned for each in transition.items if each.source == "h2"} >= {"h3"}


def test_what_is_planned_meanwhile_is_seen_when_an_operation_is_stored(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    rivals = iter([drain("h1")])
    predict = hosts.operations._predict

    def late(*wanted: object) -> object:
        found = predict(*wanted)  # type: ignore[arg-type]
        for rival in rivals:
            hosts.operations.begin(rival)
        return found

    monkeypatch.setattr(hosts.operations, "_predict", late)
    late_one = hosts.operations.begin(drain("h2"))
    assert [each.planned for each in late_one.items] == [None, None]
