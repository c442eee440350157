"""Rebalances over simulated hosts, which say nothing of their memory: by the number of servers."""

import pytest

from kedge.compute.operations.operations import OperationRequest
from kedge.model.errors import BadRequest, Conflict
from kedge.model.operation import OperationKind, OperationLimits
from kedge.model.rebalance import Levelling, Measure
from kedge.model.server import Server

from .compute_world import ComputeWorld
from .test_operations import DRAIN, SERVERS, Fleet, states

REBALANCE = OperationKind.REBALANCE
BY_COUNT = Levelling(Measure.SERVERS)


@pytest.fixture
def fleet(world: ComputeWorld) -> Fleet:
    return Fleet(world)


@pytest.fixture
def servers(world: ComputeWorld) -> list[Server]:
    return [world.server(name=f"vm{number}") for number in range(4)]


def hosts(fleet: Fleet) -> list[str]:
    return sorted(each.host for each in fleet.world.tools.servers.all())


def test_hosts_are_level_afterwards_and_then_nothing_is_moved(fleet: Fleet, servers: list[Server]) -> None:
    operation = fleet.begin(REBALANCE, "", levelling=BY_COUNT)
    assert operation.levelling == BY_COUNT
    assert {each.source for each in operation.items} == {"h1"}
    planned = {each.server_id: each.hosts for each in operation.items}

    ended = fleet.to_end(operation)

    assert (ended.state, states(ended)) == ("completed", {"arrived"})
    assert len(set(hosts(fleet))) == len(servers)
    for server_id, (host,) in planned.items():
        assert fleet.world.tools.servers.find(server_id).host == host
    again = fleet.to_end(fleet.begin(REBALANCE, "", levelling=BY_COUNT))
    assert (again.state, again.items) == ("completed", ())


def test_only_between_the_hosts_named_and_so_many_at_most(fleet: Fleet, servers: list[Server]) -> None:
    wanted = {"to": ("h1", "h3"), "levelling": BY_COUNT}
    assert len(fleet.operations.simulate(OperationRequest(REBALANCE, **wanted)).legs) == 2  # type: ignore[arg-type]

    one = Levelling(Measure.SERVERS, moves=1)
    ended = fleet.to_end(fleet.begin(REBALANCE, "", to=("h1", "h3"), levelling=one))

    assert ended.state == "completed"
    assert hosts(fleet) == ["h1", "h1", "h1", "h3"]


def test_hosts_that_are_disabled_take_no_part(fleet: Fleet, servers: list[Server]) -> None:
    for host in ("h2", "h4", "h5"):
        fleet.world.tools.settings.disable(host, "new disks")

    prediction = fleet.operations.simulate(OperationRequest(REBALANCE, levelling=BY_COUNT))

    assert {each.destination for each in prediction.legs} == {"h3"}
    levels = {each.host: (each.before, each.after) for each in prediction.levels if not each.left_out}
    assert levels == {"h1": (4, 2), "h3": (0, 2)}
    assert all("new disks" in each.left_out for each in prediction.levels if each.left_out)


def test_servers_of_other_operations_and_migrations_stay(fleet: Fleet, servers: list[Server]) -> None:
    fleet.begin(SERVERS, "", servers=("vm0",), to=("h2",))
    fleet.world.begin(servers[1], "h3")

    operation = fleet.begin(REBALANCE, "", levelling=BY_COUNT)

    assert {each.name for each in operation.items} == {"vm2", "vm3"}
    assert ("h3",) not in {each.hosts for each in operation.items}  # vm1 is as good as there


def test_a_server_that_somebody_moves_meanwhile_is_left_there(fleet: Fleet, servers: list[Server]) -> None:
    operation = fleet.begin(REBALANCE, "", levelling=BY_COUNT, limits=OperationLimits(in_all=1))
    (first, *_) = operation.items
    elsewhere = next(each for each in ("h2", "h3", "h4") if (each,) != first.hosts)
    fleet.world.move(next(each for each in servers if each.id == first.server_id), elsewhere)

    ended = fleet.to_end(operation)

    assert ended.state == "completed"
    assert fleet.world.tools.servers.find(first.server_id).host == elsewhere


def test_what_can_not_be_is_refused(fleet: Fleet, servers: list[Server]) -> None:
    with pytest.raises(BadRequest, match="takes no host and no servers"):
        fleet.begin(REBALANCE, "h1")
    with pytest.raises(BadRequest, match="levels nothing; leave `levelling` out"):
        fleet.begin(DRAIN, levelling=BY_COUNT)
    first = fleet.begin(REBALANCE, "", levelling=BY_COUNT)
    with pytest.raises(Conflict, match=f"Operation {first.id} levels hosts already"):
        fleet.begin(REBALANCE, "")
