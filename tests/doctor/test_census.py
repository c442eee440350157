"""What is asked, on either database, and what is not believed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Engine

from kedge.compute.doctor.census import CensusTaker, own_version
from kedge.compute.hosts.agents import Agent, Agents
from kedge.compute.records.claims import claims_in
from kedge.compute.records.migrations import MigrationRecords
from kedge.compute.records.servers import ServerRecords
from kedge.compute.rewirings.records import RewiringRecords
from kedge.core.doctor import Census
from kedge.model.errors import HostFailure
from kedge.model.server import MigrationOptions, Server
from kedge.network.local import LocalNetworkService
from kedge.store import open_database, transaction
from kedge.store.tables import EventRow
from kedge.testing.simulated.fabric import SimulatedFabric
from kedge.wire.messages import HostReport

from ..databases import BOTH, copy_of
from .doctor_world import UNKNOWN, DoctorWorld

VM = Server(UNKNOWN, "vm", "h1", "ACTIVE")


def with_a_server(engine: Engine) -> None:
    ServerRecords(engine).add(VM, "<domain/>")


@pytest.fixture(params=BOTH)
def engine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    with copy_of(request.param, with_a_server, tmp_path) as url:
        engine = open_database(url)
        yield engine
        engine.dispose()


def taken(engine: Engine, *, told: bool = False) -> Census:
    network = LocalNetworkService(engine)
    fabric = SimulatedFabric(network)
    agents = Agents(network, lambda _, url: cast(Agent, fabric.connect(url)))
    return CensusTaker(network, network, network, agents, told=told).take()


def test_who_drives_a_migration(engine: Engine) -> None:
    migration = MigrationRecords(engine).add(VM, "h2", MigrationOptions())
    (alone,) = taken(engine).unfinished
    assert (alone.id, alone.server_id, alone.source, alone.destination) == (migration.id, VM.id, "h1", "h2")
    assert not alone.driven
    claims = claims_in(engine)
    assert claims.claim([migration.id])
    assert [each.driven for each in taken(engine).unfinished] == [True]
    claims.close()
    assert [each.driven for each in taken(engine).unfinished] == [False]


def test_an_ended_migration_and_the_newest_epoch(engine: Engine) -> None:
    records = MigrationRecords(engine)
    migration = records.add(VM, "h2", MigrationOptions())
    epoch = records.take_over(migration.id)
    ended = records.find(migration.id)
    records.finish(migration.id, epoch, ended.status, {})
    census = taken(engine)
    assert (census.unfinished, census.finished, census.epoch) == ((), frozenset({migration.id}), epoch)


def test_a_server_that_is_rewired_is_busy_and_its_epoch_counts(engine: Engine) -> None:
    records = RewiringRecords(engine)
    rewiring = records.add(VM, "openvswitch", ())
    assert taken(engine).moving == {VM.id}
    epoch = records.take_over(rewiring.id)
    records.finish(rewiring.id, epoch)
    census = taken(engine)
    assert (census.moving, census.epoch) == (frozenset(), epoch)


def test_events_are_nobodys_business_where_there_is_no_nova(engine: Engine) -> None:
    with transaction(engine) as session:
        session.add(EventRow(name="network-vif-plugged", at=datetime.now(UTC)))
        session.add(EventRow(name="network-vif-plugged", at=datetime.now(UTC)))
    assert taken(engine).unsent == 0
    assert taken(engine, told=True).unsent == 2


def test_what_changes_while_it_looks_is_named(world: DoctorWorld) -> None:
    """The migration begins and ends between the database's first word and its second."""
    server, other = world.server("h1"), world.server("h1", name="other")
    taker = CensusTaker(world.network, world.network, world.network, world.agents)
    assert taker.take().moving == frozenset()

    def move() -> None:
        world.move(server, "h2")

    world["h5"].agent.faults.on("domains", move)
    assert taker.take().moving == frozenset({server.id})
    world["h5"].agent.faults.on("domains", lambda: world.servers.delete(other.id))
    assert taker.take().moving == frozenset({other.id})


def test_an_agent_that_fails_in_the_middle_is_not_half_believed(world: DoctorWorld) -> None:
    server = world.server("h1")
    world["h1"].agent.faults.fail("domains", HostFailure("libvirtd does not answer"), times=None)
    h1 = next(host for host in taken_of(world).hosts if host.name == "h1")
    assert (h1.answers, h1.domains, h1.plugged) == (False, (), ())
    assert world.kinds() == {"agent-silent", "whereabouts-unknown"}
    assert world.repair()["done"] == []
    world["h1"].agent.faults.clear()
    world.check(server, "h1")


def taken_of(world: DoctorWorld) -> Census:
    return CensusTaker(world.network, world.network, world.network, world.agents).take()


def test_an_agent_that_is_another_hosts_is_not_believed(world: DoctorWorld) -> None:
    """Two hosts with one URL: its domains must not count twice."""
    world.server("h5")
    world.sql("UPDATE hosts SET url = (SELECT url FROM hosts WHERE name = 'h5') WHERE name = 'h4'")
    findings = world.findings()
    assert {(each["kind"], each["host"]) for each in findings} == {
        ("agent-silent", "h4"),
        ("host-renamed", "h4"),
        ("host-renamed", "h5"),
    }
    assert any("says that it is host h5" in each["words"] for each in findings)


def test_an_agent_of_another_version(world: DoctorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = world["h2"].agent

    def said(report: HostReport) -> HostReport:
        return replace(report, version="0.0.1")

    told = agent.host
    monkeypatch.setattr(agent, "host", lambda: said(told()))
    (finding,) = world.findings()
    assert (finding["kind"], finding["host"]) == ("version-differs", "h2")
    assert f"Kedge 0.0.1, the control plane of {own_version()}" in finding["words"]
