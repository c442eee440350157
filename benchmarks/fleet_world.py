"""A fleet of simulated hosts in a database of its own, and the parts of a control plane over it.

Servers are numbered through: those of host 0 first. A host is made when somebody asks its agent for more than its
memory, so that ten thousand of them cost nothing until they take part.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event, insert

from kedge.compute.api.operations import operations_router
from kedge.compute.hosts.agents import Agent, Agents
from kedge.compute.migrations.actor import Tools
from kedge.compute.migrations.conductor import Conductor, Drive
from kedge.compute.migrations.planner import Planner
from kedge.compute.operations.conductor import OperationConductor
from kedge.compute.operations.records import OperationRecords
from kedge.compute.records.claims import claims_in
from kedge.compute.records.host_settings import HostSettingsRecords
from kedge.compute.records.migrations import MigrationRecords
from kedge.compute.records.rooms import Rooms
from kedge.compute.records.servers import ServerRecords
from kedge.core.binding import bind_port
from kedge.core.domain_xml.build import DomainSpec, NicSpec, build
from kedge.model.domain import VifState
from kedge.model.host import Host, HostBackend
from kedge.model.host_facts import FactsRequest, HostFacts, MemoryFacts
from kedge.model.network import Binding, BindingStatus, Network, NetworkType, Port, Segment, vif_of
from kedge.model.placement import MIB
from kedge.network.api import install_error_handlers
from kedge.network.local import LocalNetworkService
from kedge.store import now, open_database, upgrade
from kedge.store.tables import AgentRow, BindingRow, HostRow, PortRow, ServerRow
from kedge.testing.simulated.agent import SimulatedAgent
from kedge.testing.simulated.fabric import SimulatedFabric

PER_HOST = 20
NETWORKS = 20
MEMORY_MIB = 4096
HOST_MEMORY_MIB = 256 * 1024
BACKENDS = (
    HostBackend("linuxbridge", {"physnet1": "eth1"}),
    HostBackend("openvswitch", {"physnet1": "br-physnet1"}),
)
"""Every other host has one of them."""

_AT_ONCE = 200
_UUID = "{kind:08x}-0000-4000-8000-{number:012x}"


class Meter:
    """CPU time of this process but for what simulated agents took, and SQL statements."""

    def __init__(self) -> None:
        self.agents_s = 0.0
        self.statements = 0

    def read(self) -> tuple[float, int]:
        """Both, since this object was made."""
        return time.process_time() - self.agents_s, self.statements

    def since(self, before: tuple[float, int]) -> dict[str, float]:
        """CPU in ms and statements since then."""
        cpu_s, statements = self.read()
        return {"cpu_ms": (cpu_s - before[0]) * 1000, "statements": statements - before[1]}


class Layout:
    """Which servers, ports and bindings each host has in the beginning."""

    def __init__(self, networks: Sequence[Network], per_host: int = PER_HOST) -> None:
        self.networks = networks
        self.per_host = per_host

    def on(self, host: int) -> Iterator[tuple[int, Network, Port, Binding]]:
        """The servers of this host, each by its number with its one port."""
        for server in range(host * self.per_host, (host + 1) * self.per_host):
            network = self.networks[server % len(self.networks)]
            device, port_id = _id(1, server), _id(server + 2, 0)
            mac = f"fa:16:3e:{server >> 16 & 255:02x}:{server >> 8 & 255:02x}:{server & 255:02x}"
            port = Port(port_id, network.id, mac, device_id=device)
            yield server, network, port, _binding(network, port, host)

    def agent(self, fabric: SimulatedFabric, name: str) -> SimulatedAgent:
        """The agent of this host, with its domains and VIFs; made if there is none yet."""
        if name not in fabric.hosts:
            number = int(name[1:])
            host = fabric.add(name, [_backend(number)])
            host.facts = _facts(name)
            for server, network, port, binding in self.on(number):
                host.place(_xml(server, network, port, binding))
                host.plug(vif_of(port, network, binding))
        return fabric[name].agent


class FleetWorld:
    """The database, its hosts, and a control plane whose rounds and migrations are driven by hand."""

    def __init__(self, directory: Path, hosts: int, per_host: int = PER_HOST) -> None:
        self.per_host = per_host
        self.meter = Meter()
        self.engine = open_database(f"sqlite:///{directory}/kedge.db")
        upgrade(self.engine)
        self.network = LocalNetworkService(self.engine, dead_after_s=timedelta(days=1).total_seconds())
        networks = [
            self.network.create_network(f"net{number}", Segment(NetworkType.VLAN, "physnet1", 100 + number))
            for number in range(NETWORKS)
        ]
        self.layout = Layout(networks, per_host)
        for first in range(0, hosts, _AT_ONCE):
            self._fill(range(first, min(first + _AT_ONCE, hosts)))
        with self.engine.connect() as connection:
            connection.exec_driver_sql("ANALYZE")
        self.fabric = SimulatedFabric(None, {})
        self.fabric.reporting = False
        agents = Agents(self.network, lambda name, _url: cast(Agent, _LazyAgent(self, name)))
        rooms = Rooms(self.engine)
        self.tools = Tools(
            servers=ServerRecords(self.engine),
            migrations=MigrationRecords(self.engine),
            network=self.network,
            agents=agents,
            planner=Planner(self.network, agents, rooms),
            settings=HostSettingsRecords(self.engine),
            rooms=rooms,
        )
        claims = claims_in(self.engine)
        self.operations = OperationRecords(self.engine)
        self._conductor = Conductor(self.tools, claims)
        self.driver = OperationConductor(self._conductor, self.operations, claims)
        app = FastAPI()
        app.include_router(operations_router(self._conductor))
        install_error_handlers(app)
        self.api = TestClient(app)
        event.listen(self.engine, "before_cursor_execute", self._count)

    def close(self) -> None:
        """Let go of the database."""
        self.api.close()
        self.engine.dispose()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """What the REST interface answers. Raises for what is none."""
        answer = self.api.post(f"/kedge/v1/operations{path}", json=body)
        if answer.status_code >= 300:
            raise RuntimeError(answer.text)
        return answer.json()

    def drive_migrations(self) -> int:
        """Drive all that are unfinished to their end, one after the other; how many."""
        unfinished = self.tools.migrations.unfinished()
        for migration_id in unfinished:
            Drive(migration_id, self.tools, threading.Event()).run()
        return len(unfinished)

    def made(self, name: str) -> SimulatedAgent:
        """The agent of this host."""
        return self.layout.agent(self.fabric, name)

    def _count(self, *_: object) -> None:
        self.meter.statements += 1

    def _fill(self, hosts: Sequence[int]) -> None:
        at = now(self.engine)
        made = {"created_at": at, "updated_at": at}
        rows: dict[type, list[dict[str, Any]]] = {
            each: [] for each in (HostRow, AgentRow, ServerRow, PortRow, BindingRow)
        }
        for number in hosts:
            name, backend = host_name(number), _backend(number)
            uris = {
                "libvirt_uri": f"qemu+tcp://{name}.example/system",
                "migrate_uri": f"tcp://{name}.example",
            }
            said = {"url": f"https://{name}.example:9797", "libvirt_version": 9_000_000, "running": []}
            rows[HostRow].append({"name": name, "created_at": at, "last_seen": at, **uris, **said})
            agent: dict[str, Any] = {
                "id": _id(0, number),
                "host": name,
                "driver": backend.driver,
                "position": 0,
            }
            agent |= {"backend": vars(backend), "created_at": at, "started_at": at}
            rows[AgentRow].append(agent)
            for server, network, port, binding in self.layout.on(number):
                whole: dict[str, Any] = {
                    "id": port.device_id,
                    "name": f"vm{server}",
                    "host": name,
                    "status": "ACTIVE",
                }
                whole |= {"xml": _xml(server, network, port, binding), "labels": {}}
                demand = {"memory": MEMORY_MIB * MIB, "vcpus": 2, "huge_page": None}
                rows[ServerRow].append(whole | {"demand": demand, **made})
                wanted = {"id": port.id, "network_id": network.id, "mac_address": port.mac_address}
                rows[PortRow].append(
                    wanted | {"device_id": port.device_id, "device_owner": "compute:kedge", **made}
                )
                bound: dict[str, Any] = {
                    "port_id": port.id,
                    "host": name,
                    "status": "ACTIVE",
                    "driver": backend.driver,
                }
                bound |= {"vif_type": binding.vif_type.value, "vif_details": dict(binding.vif_details)}
                rows[BindingRow].append(bound | {"vif_state": VifState.UP.value, **made})
        with self.engine.begin() as connection:
            for table, values in rows.items():
                connection.execute(insert(table), values)


class _LazyAgent:
    """A host's agent, whose CPU time is counted apart."""

    def __init__(self, world: FleetWorld, host: str) -> None:
        self._world, self._host = world, host

    def facts(self, request: FactsRequest) -> HostFacts:
        """Its memory; more from the whole agent."""
        if request == FactsRequest():
            return _facts(self._host)
        return cast(HostFacts, self.__getattr__("facts")(request))

    def __getattr__(self, name: str) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            meter, before = self._world.meter, time.thread_time()
            try:
                return getattr(self._world.made(self._host), name)(*args, **kwargs)
            finally:
                meter.agents_s += time.thread_time() - before

        return called


def host_name(number: int) -> str:
    """The name of a host."""
    return f"h{number:05}"


def _backend(host: int) -> HostBackend:
    return BACKENDS[host % len(BACKENDS)]


def _id(kind: int, number: int) -> str:
    return _UUID.format(kind=kind, number=number)


@cache
def _facts(host: str) -> HostFacts:
    total = HOST_MEMORY_MIB * MIB
    available = total - PER_HOST * MEMORY_MIB * MIB
    return HostFacts(machine=f"boot of {host}", memory=MemoryFacts(total=total, available=available))


@cache
def _details(network: Network, backend: int) -> tuple[Any, Mapping[str, Any]]:
    host = Host("any", backends=(BACKENDS[backend],))
    bound = bind_port(Port("any", network.id, "fa:16:3e:00:00:00"), network, host)
    return bound.vif_type, bound.vif_details


def _binding(network: Network, port: Port, host: int) -> Binding:
    vif_type, details = _details(network, host % len(BACKENDS))
    return Binding(port.id, host_name(host), BindingStatus.ACTIVE, vif_type, details)


@cache
def _template() -> str:
    network = Network(_id(9, 9), "any", Segment(NetworkType.FLAT, "physnet1"))
    port = Port("PORT-ID", network.id, "fa:16:3e:00:00:00")
    vif = vif_of(port, network, _binding(network, port, 0))
    nics = (NicSpec(vif),)
    return build(
        DomainSpec("SERVER-UUID", "SERVER-NAME", MEMORY_MIB, vcpus=2, kernel="/boot/vmlinuz", nics=nics)
    )


def _xml(server: int, network: Network, port: Port, binding: Binding) -> str:
    text = _template().replace("SERVER-UUID", port.device_id).replace("SERVER-NAME", f"vm{server}")
    text = text.replace("fa:16:3e:00:00:00", port.mac_address)
    return text.replace("tapPORT-ID", vif_of(port, network, binding).tap_name).replace("PORT-ID", port.id)
