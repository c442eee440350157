"""What the adapter makes of a Neutron that fails, and what hosts are told meanwhile."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from kedge.compute.records.migrations import MigrationRecords
from kedge.compute.records.servers import ServerRecords
from kedge.model.errors import BadRequest, CannotBind, Conflict, KedgeError, NotFound, Unreachable
from kedge.model.network import BindingStatus, NetworkType, Port, Segment
from kedge.model.server import MigrationOptions, Server
from kedge.network.neutron import Neutron, NeutronHosts, NeutronNetworkService
from kedge.network.neutron.calls import NeutronFailure
from kedge.network.neutron.hosts import REST_S
from kedge.store import transaction
from kedge.store.tables import ServerRow
from kedge.wire.messages import HostDuties

from ..network.network_world import World, make_world
from .settings import Strategy, adapter, answering, served

ACTIVE, INACTIVE = BindingStatus.ACTIVE, BindingStatus.INACTIVE
MIGRATION = "5a3ed8a3-2ab0-4d6b-a1b4-b9e9f2f3a111"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with make_world(tmp_path) as made:
        yield made


@pytest.fixture(params=["parallel", "rebind-early"])
def service(world: World, request: pytest.FixtureRequest) -> Iterator[NeutronNetworkService]:
    strategy: Strategy = request.param
    with served(world.service) as url, adapter(url, strategy) as made:
        yield made


def two_ports(service: NeutronNetworkService) -> tuple[str, list[Port]]:
    network = service.create_network("net", Segment(NetworkType.VLAN, "physnet1", 100))
    server = str(uuid4())
    ports = [service.create_port(network.id, device_id=server) for _ in range(2)]
    for port in ports:
        service.bind(port.id, "h1")
        service.bind(port.id, "h3", migration_id=MIGRATION)
    return server, ports


def where(service: NeutronNetworkService, port: Port) -> dict[str, BindingStatus]:
    return {binding.host: binding.status for binding in service.bindings(port.id)}


def neutron_of(service: NeutronNetworkService) -> Neutron:
    return service._neutron


class Failing:
    """Stands before one port's changes, as long as it is armed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, port: Port, error: KedgeError) -> None:
        self.armed = True
        put = Neutron.put

        def guarded(neutron: Neutron, path: str, body: Mapping[str, Any] | None = None) -> Any:
            if self.armed and port.id in path:
                raise error
            return put(neutron, path, body)

        monkeypatch.setattr(Neutron, "put", guarded)


def test_a_switch_that_fails_for_one_port_is_put_back_for_the_others(
    service: NeutronNetworkService, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, ports = two_ports(service)
    failing = Failing(monkeypatch, ports[1], NeutronFailure("it broke"))
    with pytest.raises(NeutronFailure, match="it broke"):
        service.switch(server, "h3")
    for port in ports:
        assert where(service, port) == {"h1": ACTIVE, "h3": INACTIVE}
    failing.armed = False
    service.switch(server, "h3")
    for port in ports:
        assert where(service, port) == {"h3": ACTIVE, "h1": INACTIVE}


def test_a_neutron_that_is_away_is_named_with_the_call() -> None:
    said = r"GET /ports of the Neutron of cloud 'test' got no answer"
    with adapter("http://127.0.0.1:9", "parallel") as service, pytest.raises(Unreachable, match=said):
        service.ports_of("server")


def test_a_cloud_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    with pytest.raises(BadRequest, match="Cloud 'nowhere' can't be used"):
        Neutron.of_cloud("nowhere")


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (
            400,
            {"NeutronError": {"type": "HTTPBadRequest", "message": "no such attribute"}},
            BadRequest,
            "no such",
        ),
        (404, {"NeutronError": {"type": "PortNotFound", "message": "gone"}}, NotFound, "gone"),
        (409, {"NeutronError": {"type": "PortBindingAlreadyExists", "message": "twice"}}, Conflict, "twice"),
        (
            500,
            {"NeutronError": {"type": "PortBindingError", "message": "not bound"}},
            CannotBind,
            "not bound",
        ),
        (500, {"NeutronError": {"type": "HTTPInternalServerError", "message": "oh"}}, NeutronFailure, "oh"),
        (503, {}, Unreachable, "503"),
        (418, {}, NeutronFailure, "418"),
    ],
)
def test_errors_keep_their_meaning(status: int, body: Any, kind: type[KedgeError], text: str) -> None:
    with (
        answering(lambda: (status, body)) as url,
        adapter(url, "parallel") as service,
        pytest.raises(kind, match=text) as caught,
    ):
        neutron_of(service).get("/ports")
    assert "cloud 'test'" in str(caught.value)


def test_credentials_that_are_refused_say_which_roles_it_takes() -> None:
    body = {"NeutronError": {"type": "PolicyNotAuthorized", "message": "no"}}
    with (
        answering(lambda: (403, body)) as url,
        adapter(url, "parallel") as service,
        pytest.raises(KedgeError, match="roles admin and service") as caught,
    ):
        service.ports_of("server")
    assert caught.value.status == 403


def test_the_strategy_follows_what_neutron_offers(world: World) -> None:
    found: dict[str, Any] = {"extensions": [], "ports": [], "port": {"id": "p"}}
    with answering(lambda: (200, found)) as url:
        with adapter(url, "auto") as service:  # type: ignore[arg-type]
            assert service.bindings("p") == []  # asked of the port alone
        with adapter(url, "parallel") as service, pytest.raises(BadRequest, match="rebind-early"):
            service.bindings("p")


# What hosts are told.


class Fleet:
    """Servers and migrations in Kedge's database, and hosts that ask for their duties."""

    def __init__(self, world: World, service: NeutronNetworkService) -> None:
        self.seconds = 1000.0
        self.servers = ServerRecords(world.engine)
        self.migrations = MigrationRecords(world.engine)
        self.hosts = NeutronHosts(world.service, service, world.engine, clock=lambda: self.seconds)

    def add(self, server: str) -> Server:
        """Make a server known, on h1."""
        self.servers.add(Server(server, f"vm-{server[:8]}", "h1", "ACTIVE"), "<domain/>")
        return self.servers.find(server)

    def ports(self, host: str) -> set[str]:
        """The ports that the duties of a host name."""
        duties = self.hosts.duties(host)
        assert duties.known
        return {vif.port_id for vif in duties.vifs}


@pytest.fixture
def fleet(world: World, service: NeutronNetworkService) -> Fleet:
    return Fleet(world, service)


def test_a_hosts_duties_are_the_bindings_of_the_servers_on_it_and_on_their_way_to_it(
    service: NeutronNetworkService, fleet: Fleet
) -> None:
    server, ports = two_ports(service)
    ids = {port.id for port in ports}
    assert fleet.ports("h1") == set()  # somebody else's server
    known = fleet.add(server)
    assert fleet.ports("h1") == ids
    assert fleet.ports("h3") == set()  # a leftover that no migration explains
    fleet.migrations.add(known, "h3", MigrationOptions())
    assert (fleet.ports("h1"), fleet.ports("h3")) == (ids, ids)
    service.switch(server, "h3")
    assert (fleet.ports("h1"), fleet.ports("h3")) == (ids, ids)
    for vif in fleet.hosts.duties("h1").vifs:
        assert vif.vif_type == "macvtap"


def test_without_neutron_the_duties_are_not_known(
    service: NeutronNetworkService, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = two_ports(service)
    fleet.add(server)
    assert fleet.hosts.duties("h1").known

    def away(*_: Any, **__: Any) -> Any:
        raise Unreachable("Neutron is away")

    monkeypatch.setattr(Neutron, "get", away)
    told = fleet.hosts.duties("h1")
    assert told == HostDuties((), told.report_every_s, known=False)
    monkeypatch.undo()
    assert fleet.hosts.duties("h1").known


def test_a_slow_neutron_leaves_them_unknown_too(
    service: NeutronNetworkService, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        fleet.add(str(uuid4()))
    read = NeutronNetworkService.bound_ports

    def slowly(self: NeutronNetworkService, device_id: str) -> Any:
        fleet.seconds += 5
        return read(self, device_id)

    monkeypatch.setattr(NeutronNetworkService, "bound_ports", slowly)
    assert not fleet.hosts.duties("h1").known


def grown_old(world: World, server: str) -> None:
    with transaction(world.engine) as session:
        session.get_one(ServerRow, server).updated_at = datetime.now(UTC) - timedelta(hours=1)


def test_a_server_at_rest_is_read_once_a_minute(
    world: World, service: NeutronNetworkService, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = two_ports(service)
    known = fleet.add(server)
    calls: list[str] = []
    read = NeutronNetworkService.bound_ports

    def counted(self: NeutronNetworkService, device_id: str) -> Any:
        calls.append(device_id)
        return read(self, device_id)

    monkeypatch.setattr(NeutronNetworkService, "bound_ports", counted)
    fleet.hosts.duties("h1")
    fleet.hosts.duties("h1")
    assert len(calls) == 2  # it was made just now
    grown_old(world, server)
    fleet.hosts.duties("h1")
    assert len(calls) == 2
    fleet.seconds += REST_S + 1
    fleet.hosts.duties("h1")
    assert len(calls) == 3
    fleet.migrations.add(replace(known, host="h1"), "h3", MigrationOptions())
    fleet.hosts.duties("h1")
    fleet.hosts.duties("h3")
    assert len(calls) == 5
