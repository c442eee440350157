"""Operations over simulated hosts: drained, restored, taken over by another conductor, and refused."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from kedge.compute.api.operations import operations_router
from kedge.compute.migrations.conductor import Conductor
from kedge.compute.operations import conductor as operation_conductor
from kedge.compute.operations.conductor import OperationConductor
from kedge.compute.operations.dirty_rates import measured
from kedge.compute.operations.driving import DrivenOperations
from kedge.compute.operations.forecasts import forecast_of
from kedge.compute.operations.operations import OperationRequest, Operations
from kedge.compute.operations.past_migrations import RECENT, past_migrations
from kedge.compute.operations.records import OperationRecords
from kedge.compute.records.claims import claims_in
from kedge.compute.records.migrations import MigrationRecords
from kedge.model.errors import BadRequest, Conflict, NotFound
from kedge.model.host_facts import FactsRequest
from kedge.model.operation import Abort, Operation, OperationKind, OperationLimits
from kedge.model.placement import MIB
from kedge.model.server import MigrationOptions, Phase, Server
from kedge.network.api import install_error_handlers
from kedge.store import transaction
from kedge.store.tables import MigrationEventRow, MigrationRow, ServerRow

from .compute_world import ComputeWorld, Killed, die

DRAIN, RESTORE, SERVERS = OperationKind.DRAIN, OperationKind.RESTORE, OperationKind.SERVERS


class Fleet:
    """A world with operations, whose rounds and migrations are driven by hand."""

    def __init__(self, world: ComputeWorld) -> None:
        self.world = world
        self.records = OperationRecords(world.engine)
        self.driven = DrivenOperations(world.engine)
        self.conductor = world.conductor(world.tools)
        self.operations = Operations(world.tools, self.records, self.conductor.places)

    def begin(self, kind: OperationKind = DRAIN, host: str = "h1", **wanted: object) -> Operation:
        return self.operations.begin(OperationRequest(kind, host, **wanted))  # type: ignore[arg-type]

    def round(self, operation: Operation) -> Operation:
        """As a conductor that was started just now, which knows nothing."""
        OperationConductor(self.conductor, self.records, claims_in(self.world.engine)).round(operation.id)
        return self.records.find(operation.id)

    def drive_migrations(self) -> None:
        for migration_id in self.world.tools.migrations.unfinished():
            self.world.drive(self.world.tools.migrations.find(migration_id))

    def to_end(self, operation: Operation) -> Operation:
        for _ in range(50):
            operation = self.round(operation)
            if operation.finished_at is not None:
                return operation
            self.drive_migrations()
        raise AssertionError(f"it does not end: {operation}")

    def migrations(self) -> list[str]:
        return [each.server_id for each in self.world.tools.migrations.all()]


@pytest.fixture
def fleet(world: ComputeWorld) -> Fleet:
    return Fleet(world)


@pytest.fixture
def servers(world: ComputeWorld) -> list[Server]:
    return [world.server(name=f"vm{number}") for number in range(2)]


def states(operation: Operation) -> set[str]:
    return {each.state for each in operation.items}


def test_a_drain_empties_its_host_and_a_restore_brings_all_back(fleet: Fleet, servers: list[Server]) -> None:
    drained = fleet.to_end(fleet.begin())

    assert (drained.state, states(drained)) == ("completed", {"arrived"})
    assert drained.prediction is not None
    assert len(drained.prediction["legs"]) == 2
    assert all(fleet.world.tools.servers.find(each.id).host != "h1" for each in servers)
    assert "drained by operation" in (fleet.world.tools.settings.of("h1").disabled or "")

    restored = fleet.to_end(fleet.begin(RESTORE))

    assert (restored.state, states(restored)) == ("completed", {"arrived"})
    assert fleet.world.tools.settings.of("h1").disabled is None
    for each in servers:
        fleet.world.check(each, "h1")


def test_a_restore_brings_back_only_whom_an_operation_took_away(
    fleet: Fleet, servers: list[Server], world: ComputeWorld
) -> None:
    by_hand, before, back_and_forth = *servers, world.server(name="vm2")
    operation = fleet.begin(to=("h2",))
    world.move(by_hand, "h3")
    fleet.to_end(operation)
    world.move(world.tools.servers.find(before.id), "h4")  # It is still away, as the drain wanted.
    world.tools.settings.enable("h1")
    for host in ("h1", "h3"):
        world.move(world.tools.servers.find(back_and_forth.id), host)

    restored = fleet.to_end(fleet.begin(RESTORE))

    assert [each.name for each in restored.items] == ["vm1"]
    world.check(before, "h1")
    for each in (by_hand, back_and_forth):
        world.check(each, "h3")


def test_limits_are_looked_at_in_every_round(fleet: Fleet, servers: list[Server]) -> None:
    operation = fleet.round(fleet.begin(limits=OperationLimits(in_all=1)))
    assert len(fleet.migrations()) == 1

    fleet.records.limit(operation.id, OperationLimits(per_source=3, per_destination=3))
    fleet.round(operation)

    assert len(fleet.migrations()) == len(servers)


@pytest.mark.parametrize(
    ("records", "method"),
    [(DrivenOperations, "harvest"), (MigrationRecords, "add"), (DrivenOperations, "show")],
)
def test_a_conductor_may_die_anywhere_and_nothing_is_moved_twice(
    fleet: Fleet, servers: list[Server], records: type, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = fleet.begin(limits=OperationLimits(in_all=2))
    deaths = iter(range(3))
    whole: Callable[..., object] = getattr(records, method)

    def dying(*arguments: object, **named: object) -> object:
        answer = whole(*arguments, **named)
        if next(deaths, None) is not None:
            die()
        return answer

    monkeypatch.setattr(records, method, dying)
    for _ in range(3):
        try:
            fleet.round(operation)
        except Killed:
            fleet.drive_migrations()

    assert fleet.to_end(operation).state == "completed"
    assert sorted(fleet.migrations()) == sorted(each.id for each in servers)


def test_a_conductor_that_was_replaced_begins_nothing(fleet: Fleet, servers: list[Server]) -> None:
    operation = fleet.begin()
    old = fleet.driven.take_over(operation.id)
    fleet.driven.take_over(operation.id)

    with pytest.raises(Conflict, match="another conductor drives it now"):
        fleet.conductor.tools.migrations.add(
            servers[0],
            "h2",
            MigrationOptions(),
            within=fleet.driven.claim(operation.id, old, servers[0]),
        )


def test_a_pause_begins_nothing(fleet: Fleet, servers: list[Server]) -> None:
    operation = fleet.begin()
    fleet.records.pause(operation.id, paused=True)
    assert fleet.round(operation).state == "paused"
    assert fleet.migrations() == []

    fleet.records.pause(operation.id, paused=False)

    assert fleet.to_end(operation).state == "completed"


@pytest.mark.parametrize("how", list(Abort))
def test_an_abort_ends_it(fleet: Fleet, servers: list[Server], how: Abort) -> None:
    operation = fleet.round(fleet.begin(limits=OperationLimits(in_all=1)))
    fleet.records.abort(operation.id, how)

    ended = fleet.to_end(operation)

    assert ended.state == "aborted"
    assert len(fleet.migrations()) == 1
    moved = [each for each in servers if fleet.world.tools.servers.find(each.id).host != "h1"]
    assert len(moved) == (how is Abort.FINISH_RUNNING)


def test_another_destination_is_tried(fleet: Fleet, world: ComputeWorld) -> None:
    server = world.server()
    operation = fleet.round(fleet.begin(limits=OperationLimits(retry_s=0)))
    with transaction(world.engine) as session:
        row = session.query(MigrationRow).one()
        first = row.destination
        row.status, row.error, row.finished_at = "failed", "the link went down", row.created_at

    ended = fleet.to_end(operation)

    (item,) = ended.items
    assert ended.state == "completed"
    assert [(each["host"], each["why"]) for each in item.tried] == [(first, "the link went down")]
    assert world.tools.servers.find(server.id).host not in {"h1", first}
    assert len(item.migrations) == 2


def test_what_a_person_aborts_is_left_alone(fleet: Fleet, world: ComputeWorld) -> None:
    world.server()
    operation = fleet.round(fleet.begin())
    world.tools.migrations.request_abort(world.tools.migrations.unfinished()[0])

    ended = fleet.to_end(operation)

    assert (ended.state, states(ended)) == ("failed", {"stuck"})
    assert "was aborted" in ended.items[0].why[0]


def test_a_server_that_is_deleted_or_moved_by_hand_is_none_of_its_business(
    fleet: Fleet, servers: list[Server]
) -> None:
    operation = fleet.begin()
    fleet.world.servers.delete(servers[0].id)
    fleet.world.move(servers[1], "h3")

    ended = fleet.to_end(operation)

    assert ended.state == "completed"
    assert {each.name: each.state for each in ended.items} == {"vm0": "gone", "vm1": "arrived"}
    assert fleet.migrations() == [servers[1].id]


def test_a_list_of_servers_goes_where_it_may(fleet: Fleet, servers: list[Server]) -> None:
    ended = fleet.to_end(fleet.begin(SERVERS, "", servers=("vm0", servers[1].id), to=("h4",)))

    assert ended.state == "completed"
    for each, host in zip(servers, ["h4", "h4"], strict=True):
        fleet.world.check(each, host)


def test_two_operations_never_want_the_same_server(fleet: Fleet, servers: list[Server]) -> None:
    first = fleet.begin(SERVERS, "", servers=("vm0",), to=("h2",))

    with pytest.raises(Conflict, match=f"Server vm0 belongs to operation {first.id}"):
        fleet.begin()
    assert fleet.world.tools.settings.of("h1").disabled is None


def test_what_can_not_be_is_refused_before_anything_is_touched(fleet: Fleet, servers: list[Server]) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        fleet.begin(DRAIN, "nowhere")
    with pytest.raises(NotFound, match="nowhere"):
        fleet.begin(to=("nowhere",))
    with pytest.raises(BadRequest, match="can't bring servers to h1"):
        fleet.begin(to=("h1", "h2"))
    with pytest.raises(BadRequest, match="Say which host"):
        fleet.begin(DRAIN, "")
    with pytest.raises(BadRequest, match="Name the servers"):
        fleet.begin(SERVERS, "")
    with pytest.raises(NotFound, match="no server 'vm9'"):
        fleet.begin(SERVERS, "", servers=("vm9",))
    with pytest.raises(Conflict, match="never drained"):
        fleet.begin(RESTORE)
    assert fleet.records.all() == []

    operation = fleet.begin()
    with pytest.raises(Conflict, match=f"Host h1 has a drain under way, operation {operation.id}"):
        fleet.begin()
    with pytest.raises(Conflict, match=f"being emptied by operation {operation.id}"):
        fleet.begin(RESTORE)
    fleet.to_end(operation)
    with pytest.raises(Conflict, match="has ended already: completed"):
        fleet.records.pause(operation.id, paused=True)


def test_a_dead_host_can_not_be_drained(fleet: Fleet, world: ComputeWorld) -> None:
    world["h1"].agent.reachable = False
    world.pass_time(3600)

    with pytest.raises(Conflict, match="h1 has a dead agent"):
        fleet.begin()


@pytest.mark.parametrize("host", ["h1", "h2"])
def test_an_agent_that_is_away_for_a_moment_refuses_nothing_for_good(
    fleet: Fleet, servers: list[Server], world: ComputeWorld, host: str
) -> None:
    operation = fleet.begin(to=("h2",))
    world[host].agent.reachable = False
    waiting = fleet.round(operation)
    assert fleet.migrations() == []
    assert states(waiting) == {"waiting"}
    assert all(host in each.why[0] for each in waiting.items)

    world[host].agent.reachable = True

    assert fleet.to_end(operation).state == "completed"


def test_a_simulation_stores_nothing(fleet: Fleet, servers: list[Server]) -> None:
    prediction = fleet.operations.simulate(OperationRequest(DRAIN, "h1"))

    assert sorted(each.server_id for each in prediction.legs) == sorted(each.id for each in servers)
    assert fleet.records.all() == []
    assert fleet.world.tools.settings.of("h1").disabled is None


def test_a_restore_is_predicted_although_its_host_is_disabled(fleet: Fleet, servers: list[Server]) -> None:
    fleet.to_end(fleet.begin())

    prediction = fleet.operations.simulate(OperationRequest(RESTORE, "h1"))

    assert {each.destination for each in prediction.legs} == {"h1"}
    assert sorted(each.server_id for each in prediction.legs) == sorted(each.id for each in servers)
    assert not prediction.unmoved


def writing(fleet: Fleet, rates: Mapping[str, float]) -> None:
    host = fleet.world["h1"]
    host.facts = replace(host.facts, dirty_mib=dict(rates))


def test_a_simulation_measures_how_fast_servers_write(fleet: Fleet, servers: list[Server]) -> None:
    busy, idle = servers
    writing(fleet, {busy.id: 1500.0})

    assumed = fleet.operations.simulate(OperationRequest(DRAIN, "h1"))
    measured = fleet.operations.simulate(OperationRequest(DRAIN, "h1"), {"copy_mib": 100}, measure_s=2)

    assert not assumed.unmoved and not assumed.dirty_mib
    assert measured.dirty_mib == {busy.id: 1500}
    failed = {leg.server_id: leg.failed or "" for leg in measured.legs if leg.failed}
    assert "1500 MiB/s at 100 MiB/s; it would arrive with auto-converge or post-copy or" in failed[busy.id]
    assert idle.id not in failed


def test_what_is_measured_for_too_long_is_refused(fleet: Fleet, servers: list[Server]) -> None:
    assert measured(fleet.world.tools.agents, servers, 60) == {}
    many = [replace(servers[0], id=str(number), host=f"h{number}") for number in range(33 * 4)]
    with pytest.raises(BadRequest, match=r"on 132 hosts takes 300 s, and nobody waits longer than 240 s"):
        measured(fleet.world.tools.agents, many, 60)
    with pytest.raises(ValueError, match="measure_s is 61; give a number of seconds up to 60"):
        FactsRequest(measure_s=61)


def test_one_servers_copying_is_thought_through(fleet: Fleet, servers: list[Server]) -> None:
    server = fleet.world.tools.servers.find(servers[0].id)
    writing(fleet, {server.id: 1500.0})
    tools, slow = fleet.world.tools, MigrationOptions(bandwidth_mib=10, downtime_ceiling_ms=10)

    quick = forecast_of(tools, server, MigrationOptions(), 1)
    endless = forecast_of(tools, server, slow, 1)

    assert (quick.dirty_mib, quick.rate_mib) == (1500, 1000)
    assert forecast_of(tools, server, slow, 0).dirty_mib is None
    assert (endless.copy_s, endless.rate_mib) == (None, 10)
    over, bandwidth = endless.remedies  # no throttle makes 1500 MiB/s less than 10
    assert (over, bandwidth[-5:]) == ("post-copy", "MiB/s")


def test_a_prediction_learns_of_the_migrations_that_have_ended(fleet: Fleet, servers: list[Server]) -> None:
    assumed = fleet.operations.simulate(OperationRequest(DRAIN, "h1")).basis
    fleet.to_end(fleet.begin())
    fleet.to_end(fleet.begin(RESTORE))
    with transaction(fleet.world.engine) as session:
        for row in session.scalars(select(MigrationRow)):
            row.demand = {"memory": 1024 * MIB, "vcpus": 1}
            row.finished_at = row.created_at + timedelta(seconds=50)
            for event in session.scalars(select(MigrationEventRow).filter_by(migration_id=row.id)):
                if event.phase == Phase.PAUSED:
                    event.at_ns = int(row.created_at.timestamp() * 1e9) + 40 * 10**9
                if event.phase == Phase.TRANSFER:
                    event.at_ns = int(row.created_at.timestamp() * 1e9) + 8 * 10**9

    learned = fleet.operations.simulate(OperationRequest(DRAIN, "h1")).basis
    told = fleet.operations.simulate(OperationRequest(DRAIN, "h1"), {"fixed_s": 5.0}).basis

    assert (assumed["learned_from"], learned["learned_from"]) == (0, 4)
    assert learned["copy_mib"] == pytest.approx(1024 / 32 + assumed["assumed_dirty_mib"])
    assert learned["fixed_s"] == pytest.approx(18, abs=0.01)
    assert told["fixed_s"] == 5
    assert all(each.lag_s is not None and each.lag_s >= 0 for each in past_migrations(fleet.world.engine))


def test_only_the_latest_migrations_are_looked_at(fleet: Fleet, servers: list[Server]) -> None:
    fleet.to_end(fleet.begin())
    with transaction(fleet.world.engine) as session:
        (first, *_) = session.scalars(select(MigrationRow))
        for number in range(RECENT + 5):
            session.add(
                MigrationRow(
                    id=f"{number:036}",
                    server_id=first.server_id,
                    source="h1",
                    destination="h2",
                    status="failed",
                    created_at=first.created_at,
                    updated_at=first.created_at,
                    finished_at=first.created_at,
                )
            )

    found = past_migrations(fleet.world.engine)

    assert len(found) == RECENT
    assert not any(each.completed for each in found)


def test_the_api_begins_shows_and_refuses(fleet: Fleet, servers: list[Server]) -> None:
    app = FastAPI()
    app.include_router(operations_router(fleet.conductor))
    install_error_handlers(app)
    api = TestClient(app)
    path = "/kedge/v1/operations"

    nonsense = {"operation": {"kind": "drain", "host": "h1"}, "assumptions": {"link_mib": 0}}
    assert "link_mib is 0; give a number from 1" in api.post(f"{path}/simulate", json=nonsense).text
    no_limit = api.post(path, json={"kind": "drain", "host": "h1", "limits": {"in_all": 0}})
    assert (no_limit.status_code, "in_all is 0; give a number" in no_limit.text) == (400, True)
    assert api.get(path).json() == []

    begun = api.post(path, json={"kind": "drain", "host": "h1"}).json()
    paused = api.post(f"{path}/{begun['id'][:8]}/pause").json()
    assert (begun["state"], paused["state"], len(paused["items"])) == ("running", "paused", 2)
    assert api.post(f"{path}/{begun['id']}/resume").json()["state"] == "running"
    assert api.put(f"{path}/{begun['id']}/limits", json={"in_all": 1}).json()["limits"]["in_all"] == 1
    assert api.post(f"{path}/{begun['id']}/abort", json={}).json()["state"] == "aborting"
    assert api.post(f"{path}/{begun['id']}/resume").status_code == 409
    assert api.get(f"{path}/nothing").status_code == 404


def test_one_that_is_begun_here_is_driven_at_once(
    fleet: Fleet, servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, found = threading.Event(), threading.Event()
    unfinished = fleet.records.unfinished

    def noted() -> list[str]:
        (found if (ids := unfinished()) else looked).set()
        return ids

    monkeypatch.setattr(fleet.records, "unfinished", noted)
    app = FastAPI()
    app.include_router(operations_router(fleet.conductor))
    claims = claims_in(fleet.world.engine)
    driver = OperationConductor(fleet.conductor, fleet.records, claims, poll_s=600)
    driver.start()
    try:
        assert looked.wait(60)
        body = {"kind": "drain", "host": "h1"}
        assert TestClient(app).post("/kedge/v1/operations", json=body).status_code == 202
        assert found.wait(60)
    finally:
        driver.stop()
        claims.close()


def test_it_is_driven_by_itself_and_hears_what_has_ended(fleet: Fleet, servers: list[Server]) -> None:
    claims = claims_in(fleet.world.engine)
    conductor = Conductor(fleet.world.tools, claims, poll_s=0.02)
    conductor.start()
    driver = OperationConductor(conductor, fleet.records, claims, poll_s=600)
    operation = fleet.begin()
    driver.start()
    try:
        deadline = time.monotonic() + 60
        while fleet.records.find(operation.id).finished_at is None and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        driver.stop()
        conductor.stop()

    assert fleet.records.find(operation.id).state == "completed"


def test_it_rests_only_where_none_is_under_way(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation_conductor, "REST", 1e6)
    often, looks = threading.Event(), iter(range(5))

    def unfinished() -> list[str]:
        if next(looks, None) is None:
            often.set()
        return ["another conductor drives it"]

    monkeypatch.setattr(fleet.records, "unfinished", unfinished)
    claims = claims_in(fleet.world.engine)
    monkeypatch.setattr(claims, "claim", lambda ids: ())
    driver = OperationConductor(fleet.conductor, fleet.records, claims, poll_s=0.01)
    driver.start()
    try:
        assert often.wait(60)
    finally:
        driver.stop()
        claims.close()


@pytest.fixture
def driver(fleet: Fleet) -> Iterator[OperationConductor]:
    claims = claims_in(fleet.world.engine)
    yield OperationConductor(fleet.conductor, fleet.records, claims)
    claims.close()


def test_a_round_is_made_when_something_has_changed(
    fleet: Fleet, driver: OperationConductor, servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[str] = []
    whole = driver.round

    def counted(operation_id: str) -> None:
        rounds.append(operation_id)
        whole(operation_id)

    monkeypatch.setattr(driver, "round", counted)
    monkeypatch.setattr(operation_conductor, "LOOK_S", 3600.0)
    operation = fleet.begin(limits=OperationLimits(in_all=1))

    def made() -> int:
        rounds.clear()
        for _ in range(4):
            driver.look_at_all()
        return len(rounds)

    assert made() == 2, "one begins a migration, one finds that there is nothing more to do"
    assert made() == 0
    fleet.records.limit(operation.id, OperationLimits(in_all=2))
    assert made() == 2
    fleet.drive_migrations()
    assert made() == 1
    assert fleet.records.find(operation.id).state == "completed"


def test_a_round_sees_who_came_to_a_host_that_is_drained(
    fleet: Fleet, driver: OperationConductor, servers: list[Server]
) -> None:
    operation = fleet.begin()
    for _ in range(3):
        driver.look_at_all()
    moved = fleet.world.server("h2", name="newcomer")
    with transaction(fleet.world.engine) as session:
        session.get_one(ServerRow, moved.id).host = "h1"

    driver.look_at_all()

    assert "newcomer" in {each.name for each in fleet.records.find(operation.id).items}
