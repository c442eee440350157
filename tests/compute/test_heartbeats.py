"""Heartbeats: they keep a host alive, and hold only as long as its whole report would be answered in the same way."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import delete, update

from kedge.compute.reports.discard_duties import HostsWithDiscards
from kedge.compute.reports.heartbeats import HostsWithHeartbeats
from kedge.model.domain import DomainState, VifState
from kedge.model.server import Server
from kedge.store import transaction
from kedge.store.tables import AddressRow, BindingRow, HostRow, NetworkRow
from kedge.wire.messages import HostDuties, HostReport

from .compute_world import ComputeWorld


class Reporting:
    """The agent of h1, as the control plane hears it, and the server that is there."""

    def __init__(self, world: ComputeWorld) -> None:
        self.world = world
        self.server: Server = world.server("h1")
        self.hosts = self.control_plane()
        ports = {port.id: VifState.UP for port in world.ports(self.server)}
        self.said: HostReport = replace(world["h1"].agent.host(), vifs=ports, id="first", domains={})

    def control_plane(self) -> HostsWithHeartbeats:
        hosts = HostsWithDiscards(self.world.network, self.world.engine, self.world.agents)
        return HostsWithHeartbeats(hosts, self.world.engine, clock=self.clock)

    def clock(self) -> datetime:
        return self.world.now

    def report(self, **changes: object) -> HostDuties:
        self.said = replace(self.said, **changes)  # type: ignore[arg-type]
        self.hosts.record_host(self.said)
        return self.hosts.duties("h1")

    def beat(self) -> bool:
        return self.hosts.beat("h1", self.said.id)


@pytest.fixture
def h1(world: ComputeWorld) -> Reporting:
    return Reporting(world)


def test_a_heartbeat_confirms_the_last_report(h1: Reporting) -> None:
    assert h1.report().heartbeats
    assert [h1.beat() for _ in range(3)] == [True] * 3


def test_a_heartbeat_keeps_a_host_alive(h1: Reporting) -> None:
    h1.report()
    for _ in range(4):
        h1.world.now += h1.world.network._dead_after / 2
        assert h1.beat()
    assert h1.world.network.host("h1").alive
    assert not h1.world.network.host("h2").alive


def test_a_report_without_an_id_can_t_be_confirmed(h1: Reporting) -> None:
    assert not h1.report(id="").heartbeats
    assert not h1.beat()


def test_only_the_last_report_is_confirmed(h1: Reporting) -> None:
    h1.report()
    h1.report(id="second")
    assert h1.beat()
    assert not h1.hosts.beat("h1", "first")
    assert not h1.hosts.beat("h2", "second")


def test_a_control_plane_that_was_started_anew_asks_for_a_report(h1: Reporting) -> None:
    h1.report()
    h1.hosts = h1.control_plane()
    assert not h1.beat()
    h1.report()
    assert h1.beat()


def _bind_another(h1: Reporting) -> None:
    h1.world.server("h1", "another")


def _unbind(h1: Reporting) -> None:
    h1.world.servers.delete(h1.server.id)


def _bind_anew(h1: Reporting) -> None:
    """The same binding is made again, and what the agent said of its VIF is not in it."""
    port = h1.world.ports(h1.server)[0]
    h1.world.network.unbind(port.id, "h1", even_active=True)
    h1.world.network.bind(port.id, "h1")


def _force_down(h1: Reporting) -> None:
    h1.hosts.force_down("h1", True)
    h1.hosts.force_down("h1", False)


def _written(statement: object) -> Callable[[Reporting], None]:
    def write(h1: Reporting) -> None:
        with transaction(h1.world.engine) as session:
            session.execute(statement)  # type: ignore[call-overload]

    return write


@pytest.mark.parametrize(
    "change",
    [
        _bind_another,
        _unbind,
        _bind_anew,
        _force_down,
        _written(update(NetworkRow).values(mtu=1400)),
        _written(update(BindingRow).values(vif_details={"macvtap_source": "eth9"})),
        _written(update(HostRow).values(url="https://192.0.2.99")),
        _written(delete(AddressRow)),
        _written(delete(HostRow).where(HostRow.name == "h1")),
    ],
)
def test_what_makes_another_answer_asks_for_a_report(
    h1: Reporting, change: Callable[[Reporting], None]
) -> None:
    _add_address(h1)
    h1.report(running=(h1.server.id,))
    assert h1.beat()
    change(h1)
    assert not h1.beat()
    if change is not _unbind:
        h1.report(id="second")
        assert h1.beat()


def _add_address(h1: Reporting) -> None:
    port = h1.world.ports(h1.server)[0]
    with transaction(h1.world.engine) as session:
        session.add(AddressRow(port_id=port.id, network_id=port.network_id, ip_address="198.51.100.7"))


def test_what_happens_on_another_host_is_none_of_its_business(h1: Reporting) -> None:
    h1.report()
    h1.world.server("h2", "another")
    assert h1.beat()


def test_a_domain_that_becomes_a_leftover_asks_for_a_report(h1: Reporting) -> None:
    """Its migration ends, which changes no row of the host."""
    elsewhere = h1.world.server("h2", "another")
    migration = h1.world.begin(elsewhere, "h3")
    said = h1.report(domains={elsewhere.id: DomainState.SHUTOFF})
    assert (said.discard, h1.beat()) == ({}, True)
    h1.world.drive(migration)
    assert not h1.beat()
    said = h1.report(id="second")
    assert (list(said.discard), said.heartbeats) == ([elsewhere.id], False)
