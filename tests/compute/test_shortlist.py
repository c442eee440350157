"""A part of a large fleet is looked at first, and all of it before it is said that there is no place."""

from random import Random

import pytest

from kedge.compute.migrations import conductor
from kedge.compute.migrations.conductor import Conductor
from kedge.compute.operations.operations import OperationRequest, Operations
from kedge.compute.operations.records import OperationRecords
from kedge.compute.placement import places
from kedge.compute.placement.shortlist import Shortlist
from kedge.core.operation import Prediction
from kedge.model.operation import OperationKind, OperationLimits
from kedge.model.placement import HostLimits
from kedge.model.server import MigrationOptions, Server

from .compute_world import ComputeWorld

LIMITS = OperationLimits(in_all=1)
DRAIN = OperationRequest(OperationKind.DRAIN, "h1")


@pytest.fixture
def narrow(world: ComputeWorld, monkeypatch: pytest.MonkeyPatch) -> Conductor:
    """Five hosts are a large fleet."""
    monkeypatch.setattr(places, "FIRST", 1)
    return world.conductor(world.tools)


@pytest.fixture
def server(world: ComputeWorld) -> Server:
    for host in ("h2", "h4", "h5"):
        world.server(host, name=f"on-{host}")
    return world.server("h1")


def simulated(world: ComputeWorld, conductor: Conductor) -> Prediction:
    operations = Operations(world.tools, OperationRecords(world.engine), conductor.places)
    return operations.simulate(DRAIN)


def test_the_hosts_with_the_fewest_servers_come_first(world: ComputeWorld, server: Server) -> None:
    world.tools.settings.disable("h2", "new disks")
    shortlist = Shortlist(world.engine)
    assert (shortlist.first(2), shortlist.hosts()) == (["h3", "h1"], 5)
    assert shortlist.first(9) == ["h3", "h1", "h4", "h5"]


def test_each_part_is_larger_and_the_last_is_the_whole(
    world: ComputeWorld, narrow: Conductor, server: Server
) -> None:
    seen = list(narrow.places.fleets([server], LIMITS))
    assert [sorted(fleet.hosts) for fleet in seen] == [["h1", "h3"], ["h1", "h2", "h3", "h4", "h5"]]
    assert {each.host for each in seen[0].servers.values()} == {"h1"}
    assert {each.host for each in seen[1].servers.values()} == {"h1", "h2", "h4", "h5"}
    (fleet,) = narrow.places.fleets([server], LIMITS, ["h5"])
    assert sorted(fleet.hosts) == ["h1", "h5"]


def test_a_part_has_the_loads_that_the_whole_has(
    world: ComputeWorld, narrow: Conductor, server: Server
) -> None:
    world.begin(world.server("h5", name="arriving"), "h3")
    part, whole = narrow.places.fleets([server], LIMITS)
    assert [part.load(host) for host in part.hosts] == [whole.load(host) for host in part.hosts]
    assert part.load("h3").servers == 1


def test_hosts_that_are_not_needed_are_not_asked(
    world: ComputeWorld, narrow: Conductor, server: Server
) -> None:
    before = len(world["h5"].agent.calls)
    prediction = simulated(world, narrow)
    assert [leg.destination for leg in prediction.legs] == ["h3"]
    assert world["h5"].agent.calls[before:] == []


def test_nor_are_they_for_a_single_migration(
    world: ComputeWorld, narrow: Conductor, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conductor, "TRIED", 1)
    before = len(world["h5"].agent.calls)
    assert narrow.migrate(server, (), MigrationOptions()).destination == "h3"
    assert world["h5"].agent.calls[before:] == []


def test_there_is_a_place_in_parts_if_there_is_one_in_the_whole(
    world: ComputeWorld, narrow: Conductor, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.server("h1", name="other")
    roll = Random(4711)
    unmoved = set()
    for _ in range(12):
        for host in ("h2", "h3", "h4", "h5"):
            world.tools.settings.limit(host, HostLimits(vcpus=roll.choice([1, 1, 2])))
            if roll.random() < 0.5:
                world.tools.settings.disable(host, "drawn")
            else:
                world.tools.settings.enable(host)
        monkeypatch.setattr(places, "FIRST", 1)
        in_parts = simulated(world, world.conductor(world.tools))
        monkeypatch.setattr(places, "FIRST", 100)
        in_whole = simulated(world, world.conductor(world.tools))
        assert in_parts.unmoved == in_whole.unmoved or not in_parts.unmoved
        assert bool(in_parts.unmoved) == bool(in_whole.unmoved)
        unmoved.add(len(in_whole.unmoved))
    assert len(unmoved) > 1, "not all that was drawn was alike"


def test_the_hosts_of_its_affinity_group_are_in_every_part(
    world: ComputeWorld, narrow: Conductor, server: Server
) -> None:
    (other,) = world.tools.servers.on("h5")
    for each in (server, other):
        world.tools.servers.label(each.id, {"affinity": "web"})
    prediction = simulated(world, narrow)
    assert [leg.destination for leg in prediction.legs] == ["h5"]
