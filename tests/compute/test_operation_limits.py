"""Windows, pauses after failures and priorities, as an operation's conductor sees them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from kedge.compute.operations.driving import DrivenOperations
from kedge.core.operation import Ahead
from kedge.model.operation import Operation, OperationLimits
from kedge.model.server import MigrationOptions, Server
from kedge.store import now, transaction
from kedge.store.tables import MigrationRow, OperationRow

from .compute_world import ComputeWorld
from .test_operations import DRAIN, SERVERS, Fleet


@pytest.fixture
def fleet(world: ComputeWorld) -> Fleet:
    return Fleet(world)


@pytest.fixture
def servers(world: ComputeWorld) -> list[Server]:
    return [world.server(name=f"vm{number}") for number in range(2)]


def window(fleet: Fleet, hours: int) -> str:
    """A window of an hour that opens in so many hours, less half of one."""
    begin = now(fleet.world.engine) + timedelta(hours=hours, minutes=-30)
    return f"{begin:%H:%M}-{begin + timedelta(hours=1):%H:%M}"


def why(operation: Operation) -> set[str]:
    return {reason for each in operation.items for reason in each.why}


def test_nothing_begins_outside_the_window(fleet: Fleet, servers: list[Server]) -> None:
    limits = OperationLimits(window=window(fleet, 6))
    operation = fleet.round(fleet.begin(limits=limits))
    assert fleet.migrations() == []
    assert operation.prediction and operation.prediction["total_s"] > 5 * 3600
    assert all(each.startswith("not before ") and limits.window in each for each in why(operation))

    fleet.records.limit(operation.id, replace(limits, window=window(fleet, 0)))

    assert fleet.to_end(operation).state == "completed"


def test_migrations_over_one_network_are_counted_whoever_began_them(
    fleet: Fleet, servers: list[Server], world: ComputeWorld
) -> None:
    other = world.server("h2", name="other")
    for name in ("h1", "h2"):
        world[name].migration_network = "fast"
        world[name].agent.report()
    assert world.network.host("h1").migration_network == "fast"
    world.tools.migrations.add(other, "h3", MigrationOptions())

    operation = fleet.round(fleet.begin(limits=OperationLimits(per_network=1)))
    assert fleet.migrations() == [other.id]

    fleet.records.limit(operation.id, OperationLimits(per_network=2))
    fleet.round(operation)
    assert len(fleet.migrations()) == 2


def test_a_failure_is_followed_by_a_pause(fleet: Fleet, world: ComputeWorld) -> None:
    world.server()
    operation = fleet.round(fleet.begin(limits=OperationLimits(retry_s=3600)))
    with transaction(world.engine) as session:
        row = session.query(MigrationRow).one()
        row.status, row.error, row.finished_at = "failed", "the link went down", now(world.engine)

    operation = fleet.round(operation)
    (reason,) = why(operation)
    assert reason.startswith("not before ") and "the link went down" in reason
    assert len(fleet.migrations()) == 1

    fleet.records.limit(operation.id, OperationLimits(retry_s=0))
    assert fleet.to_end(operation).state == "completed"


def test_an_operation_of_higher_priority_has_the_first_place(fleet: Fleet, servers: list[Server]) -> None:
    high = OperationLimits(per_source=1, priority=5)
    low = fleet.begin(SERVERS, "", servers=("vm0",), limits=OperationLimits(per_source=1))
    first = fleet.begin(SERVERS, "", servers=("vm1",), to=("h3",), limits=high)
    driven = DrivenOperations(fleet.world.engine)
    assert driven.ahead(low) == (Ahead("h1", ("h3",)),)
    assert driven.ahead(first) == ()

    fleet.round(low)
    assert fleet.migrations() == []

    fleet.records.pause(first.id, paused=True)
    assert driven.ahead(low) == ()
    fleet.records.pause(first.id, paused=False)
    assert fleet.to_end(first).state == "completed"
    assert fleet.to_end(low).state == "completed"


def test_an_operation_of_an_older_kedge_has_the_usual_limits(fleet: Fleet, servers: list[Server]) -> None:
    operation = fleet.begin(DRAIN)
    with transaction(fleet.world.engine) as session:
        row = session.query(OperationRow).one()
        row.limits = {"in_all": 4, "order": "quick-first"}

    ended = fleet.to_end(operation)

    assert (ended.state, ended.limits) == ("completed", OperationLimits(in_all=4))
