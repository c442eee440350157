"""A control plane over simulated hosts, conductors that die where a test says, and the check of how it all ends."""

import atexit
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from shutil import copy, rmtree
from tempfile import mkdtemp
from typing import Any, cast

from sqlalchemy import Engine

from kedge.compute.hosts.agents import Agent, Agents
from kedge.compute.migrations.actor import Tools
from kedge.compute.migrations.conductor import Conductor, Drive
from kedge.compute.migrations.planner import Planner
from kedge.compute.records.claims import claims_in
from kedge.compute.records.host_settings import HostSettingsRecords
from kedge.compute.records.migrations import MigrationRecords
from kedge.compute.records.rooms import Rooms
from kedge.compute.records.servers import ServerRecords
from kedge.compute.servers import NicRequest, ServerRequest, Servers
from kedge.core.domain_xml import attachments
from kedge.model.domain import DomainState, VifState
from kedge.model.network import BindingStatus, Network, NetworkType, Port, Segment, vif_of
from kedge.model.server import Migration, MigrationOptions, MigrationStatus, Server
from kedge.network.local import LocalNetworkService
from kedge.store import open_database, upgrade
from kedge.testing.simulated.fabric import FIVE_HOSTS, SimulatedFabric, SimulatedHost, Step

PAIRS = [(source, target) for source in FIVE_HOSTS for target in FIVE_HOSTS if source != target]
START = datetime(2026, 11, 23, 12, tzinfo=UTC)
SEGMENTS = {
    "flat": Segment(NetworkType.FLAT, "physnet1"),
    "tagged": Segment(NetworkType.VLAN, "physnet2", 101),
}

WRITES = {
    "servers": {"add", "change", "delete"},
    "migrations": {"take_over", "request_abort", "give_up", "write", "finish"},
    "network": {"bind", "bind_ahead", "switch", "unbind", "unbind_all"},
    "agent": {
        "create_domain",
        "delete_domain",
        "discard_domain",
        "resume_domain",
        "start_transfer",
        "tune_transfer",
        "abort_transfer",
        "plug",
        "unplug",
        "announce",
    },
}
"""Everything that a migration changes something with, but for what it shows to people: between two of
these, a conductor may die."""

UNGUARDED = {"servers", "network", "agent"}
"""Where a write is not made in the transaction that looks whether its conductor was replaced."""


class Killed(BaseException):
    """kill -9: nothing in the conductor may catch it."""


class Interrupter:
    """Counts the writes of these kinds, and calls `hook` at the chosen one, before its effect or after."""

    def __init__(
        self,
        at: int = -1,
        hook: Callable[[], None] | None = None,
        *,
        after: bool = True,
        kinds: Collection[str] = frozenset(WRITES),
    ) -> None:
        self.kinds = kinds
        self.count = 0
        self.names: list[str] = []
        self._at = at
        self._hook = hook
        self._after = after

    @property
    def struck(self) -> bool:
        """Whether the chosen write came."""
        return self.count > self._at

    def around(self, what: object, kind: str) -> Any:
        """`what`, with its writes counted."""
        return _Counted(what, kind, self)

    def write(self, name: str, call: Callable[[], Any]) -> Any:
        number, self.count = self.count, self.count + 1
        self.names.append(name)
        if number == self._at and self._hook is not None and not self._after:
            self._hook()
        answer = call()
        if number == self._at and self._hook is not None and self._after:
            self._hook()
        return answer


class _Counted:
    def __init__(self, what: object, kind: str, interrupter: Interrupter) -> None:
        self._what = what
        self._kind = kind
        self._interrupter = interrupter

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._what, name)
        if name not in WRITES[self._kind] or self._kind not in self._interrupter.kinds:
            return found
        return lambda *args, **kwargs: self._interrupter.write(
            f"{self._kind}.{name}", lambda: found(*args, **kwargs)
        )


class ComputeWorld:
    """A database, five simulated hosts that report to it, and the parts of a control plane.

    `engines` may be used by one world after the other, which saves compiling the same statements for each.
    """

    def __init__(self, directory: Path, engines: tuple[Engine, Engine] | None = None) -> None:
        self.now = START
        self.url = f"sqlite:///{directory}/kedge.db"
        # The hosts report over connections of their own, so that what is done to the conductor's spares them.
        self.engine, self._of_hosts = engines or (open_database(self.url), open_database(self.url))
        # Their first reports are in the template. Of later ones only the status of ports depends: they cost time.
        self.fabric = SimulatedFabric(None)
        self.fabric.registry = self.service(self._of_hosts)
        self.fabric.reporting = False
        self.network = self.service(self.engine)
        self.agents = Agents(self.network, lambda _, url: cast(Agent, self.fabric.connect(url)))
        self.servers = Servers(
            ServerRecords(self.engine), self.network, self.agents, HostSettingsRecords(self.engine)
        )
        self.tools = self.new_tools()

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()
        self._of_hosts.dispose()

    def service(self, engine: Engine) -> LocalNetworkService:
        """A network service with this world's time."""
        return LocalNetworkService(engine, clock=lambda: self.now)

    def conductor(self, tools: Tools) -> Conductor:
        """A conductor that drives by itself once it is started."""
        return Conductor(tools, claims_in(self.engine), poll_s=0.02)

    def new_tools(self, interrupter: Interrupter | None = None) -> Tools:
        """What a conductor that has just been started works with."""
        around = (interrupter or Interrupter()).around
        network = cast(LocalNetworkService, around(self.network, "network"))
        agents = Agents(network, lambda _, url: cast(Agent, around(self.fabric.connect(url), "agent")))
        return Tools(
            servers=cast(ServerRecords, around(ServerRecords(self.engine), "servers")),
            migrations=cast(MigrationRecords, around(MigrationRecords(self.engine), "migrations")),
            network=network,
            agents=agents,
            planner=Planner(network, agents, Rooms(self.engine)),
            settings=HostSettingsRecords(self.engine),
            rooms=Rooms(self.engine),
        )

    def __getitem__(self, host: str) -> SimulatedHost:
        return self.fabric[host]

    def pass_time(self, seconds: float) -> None:
        """Let time pass; every agent that can be reached reports again."""
        self.now += timedelta(seconds=seconds)
        for host in self.fabric.hosts.values():
            host.agent.report()

    def networks(self) -> dict[str, Network]:
        """The flat and the tagged network."""
        return {network.name: network for network in self.network.networks()}

    def server(self, host: str = "h1", name: str = "vm", nics: Sequence[str] = ("flat", "tagged")) -> Server:
        """Make a server that runs on this host."""
        requested = tuple(NicRequest(network=network) for network in nics)
        return self.servers.create(ServerRequest(name, host, requested, kernel="/boot/vmlinuz"))

    def ports(self, server: Server) -> list[Port]:
        return self.network.ports_of(server.id)

    def begin(self, server: Server, to: str, options: MigrationOptions | None = None) -> Migration:
        """Store a migration that nobody drives yet."""
        return self.tools.migrations.add(server, to, options or MigrationOptions())

    def drive(self, migration: Migration, interrupter: Interrupter | None = None) -> Migration:
        """Drive it to its end in this thread, as a conductor that was started just now."""
        Drive(migration.id, self.new_tools(interrupter), threading.Event()).run()
        return self.found(migration)

    def move(self, server: Server, to: str, options: MigrationOptions | None = None) -> Migration:
        """Migrate from beginning to end."""
        return self.drive(self.begin(server, to, options))

    def found(self, migration: Migration) -> Migration:
        """The migration as it stands now."""
        return self.tools.migrations.find(migration.id)

    def abort(self, migration: Migration) -> Callable[[], None]:
        """A hook that asks for the migration's abort."""
        return lambda: self._abort(migration)

    def _abort(self, migration: Migration) -> None:
        self.tools.migrations.request_abort(migration.id)

    # What must be true at the end.

    def check(self, server: Server, host: str, *, unreachable: Sequence[str] = ()) -> None:
        """The server, its one ACTIVE binding and its VIFs are on `host`, and nothing of it is anywhere else."""
        assert self.fabric.violations == []
        assert self.tools.migrations.unfinished() == []
        self._check_record(server, host)
        self._check_bindings(server, host)
        self._check_domain(server, host)
        ports = {port.id for port in self.ports(server)}
        for other in self.fabric.others(self[host]):
            if other.name not in unreachable:
                assert server.id not in other.holds, f"{other.name} holds the domain"
                assert not ports & set(other.plugged), f"{other.name} has VIFs"
                assert server.id not in other.jobs

    def _check_record(self, server: Server, host: str) -> None:
        record = self.tools.servers.find(server.id)
        assert (record.host, record.status) == (host, "ACTIVE")

    def _check_bindings(self, server: Server, host: str) -> None:
        for port in self.ports(server):
            bindings = [(each.host, each.status) for each in self.network.bindings(port.id)]
            assert bindings == [(host, BindingStatus.ACTIVE)]

    def _check_domain(self, server: Server, host: str) -> None:
        domain = self[host].holds[server.id]
        assert (domain.state, domain.persistent) == (DomainState.RUNNING, True)
        nics = {nic.mac: nic for nic in attachments(domain.xml)}
        assert len(nics) == len(self.ports(server))
        for port in self.ports(server):
            (binding,) = self.network.bindings(port.id)
            vif = vif_of(port, self.network.network(port.network_id), binding)
            assert self[host].vif_state(vif) is VifState.UP
            nic = nics[port.mac_address]
            if port.id in self[host].plugged:
                assert (nic.kind, nic.target_dev) == ("ethernet", vif.tap_name)


def phases(migration: Migration) -> list[str]:
    """What its timeline says happened, in the order of the times."""
    return [entry.phase for entry in migration.timeline]


def completed(migration: Migration) -> bool:
    return migration.status is MigrationStatus.COMPLETED


def die() -> None:
    raise Killed


@cache
def _template() -> Path:
    """A database with networks and hosts, made once and copied for each test, which is quicker."""
    path = Path(mkdtemp()) / "template.db"
    engine = open_database(f"sqlite:///{path}")
    upgrade(engine)
    service = LocalNetworkService(engine, clock=lambda: START)
    SimulatedFabric(service)
    for name, segment in SEGMENTS.items():
        service.create_network(name, segment)
    engine.dispose()
    atexit.register(rmtree, path.parent)
    return path


def prepared(directory: Path) -> Path:
    """The directory, with a database in which all hosts have just reported."""
    copy(_template(), directory / "kedge.db")
    return directory


@contextmanager
def make_compute_world(
    directory: Path, engines: tuple[Engine, Engine] | None = None
) -> Iterator[ComputeWorld]:
    """A world in which all hosts have just reported."""
    world = ComputeWorld(prepared(directory), engines)
    try:
        yield world
    finally:
        world.close()


__all__ = ["Conductor", "Step"]
