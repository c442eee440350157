"""The control plane as one process: network service, conductor and their REST interfaces.

It listens in up to three places. The Unix socket is for root on this machine and trusts whoever may open
it; the TCP address is for OpenStack's and Kedge's clients; the address for agents speaks mutual TLS and serves
nothing but their reports, so that a stolen agent's key opens nothing else.
"""

import fcntl
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.types import ASGIApp, Receive, Scope, Send

from kedge.auth import Audited, Strategy, Trail, client_tls, guarded, open_strategy, warn_of_plain_text
from kedge.compute.api.doctor import doctor_router
from kedge.compute.api.migrations import compute_router
from kedge.compute.api.operations import operations_router
from kedge.compute.api.rewirings import rewirings_router
from kedge.compute.hosts.agents import Agent, Agents
from kedge.compute.hosts.commands import Commands
from kedge.compute.migrations.actor import Tools
from kedge.compute.migrations.conductor import Conductor
from kedge.compute.migrations.planner import Planner
from kedge.compute.migrations.policies import Policies
from kedge.compute.nova import Microversions, nova_router
from kedge.compute.operations.conductor import OperationConductor
from kedge.compute.operations.records import OperationRecords
from kedge.compute.records.claims import claims_in
from kedge.compute.records.host_settings import HostSettingsRecords
from kedge.compute.records.migrations import MigrationRecords
from kedge.compute.records.retention import Retention
from kedge.compute.records.rooms import Rooms
from kedge.compute.records.servers import ServerRecords
from kedge.compute.reports.discard_duties import HostsWithDiscards
from kedge.compute.reports.heartbeats import HostsWithHeartbeats, TakesHeartbeats
from kedge.compute.rewirings.conductor import RewiringConductor
from kedge.compute.rewirings.records import RewiringRecords
from kedge.compute.servers import Servers
from kedge.config import ControlPlaneConfig
from kedge.model.errors import BadRequest, Conflict
from kedge.network.api import agent_router, elsewhere_router, install_error_handlers, network_router
from kedge.network.api.events import events_router
from kedge.network.choice import Networking, networking
from kedge.network.local import LocalNetworkService
from kedge.network.nova_events import NovaEvents, nova_of
from kedge.network.service import HostRegistry
from kedge.openstack.nova import Nova
from kedge.serving import Limits, fitted
from kedge.serving.logs import log_to_stderr
from kedge.serving.request_ids import RequestIds
from kedge.serving.server import Listener, serve
from kedge.serving.workers import keep_working
from kedge.store import open_database, upgrade
from kedge.trust.certificates import CertificateAuthority, Credentials, Role, client_context, server_context
from kedge.trust.private_files import private_directory
from kedge.wire.agent_client import AgentClient
from kedge.wire.version import SameWire

AGENTS = "agents"

_STATE = ("kedge.db*", "audit.log*", "pki", "commands", "*.sock", "*.toml", "*.pem", "*.key", "users")
"""What people and Kedge keep in its state directory."""

_OUTBOX = "00000000-0000-0000-0000-000000000001"
"""Claimed like a migration, by the process that tells Nova of events."""


def run(config: ControlPlaneConfig) -> None:
    """Serve until SIGTERM or SIGINT. Migrations that are under way go on when it is started again."""
    log_to_stderr()
    private_directory(config.state_dir, _STATE)
    own = _own_certificate(config)
    strategy = open_strategy(config.auth, _split(config.listen)[0] if config.listen else None)
    nova = nova_of(config.events)
    listeners = _listeners(config, own)

    def work() -> None:
        with control_plane(config, client_context(own), strategy, nova) as app:
            serve(app, listeners)

    try:
        if config.workers == 1:
            work()
        else:
            _upgrade(config)
            keep_working(config.workers, work)
    finally:
        for listener in listeners:
            listener.remove()


def _upgrade(config: ControlPlaneConfig) -> None:
    """What is wrong with the database is said once, here, and not by every worker."""
    engine = open_database(config.database_url)
    upgrade(engine)
    engine.dispose()


@contextmanager
def control_plane(
    config: ControlPlaneConfig,
    to_agents: ssl.SSLContext | None,
    strategy: Strategy | None = None,
    nova: Nova | None = None,
) -> Iterator[ASGIApp]:
    """The application, with its conductor at work as long as the block runs.

    `strategy` is how clients are known, `nova` who is told of VIFs.
    """
    engine = open_database(config.database_url)
    upgrade(engine)
    trail = Trail(config.state_dir / "audit.log")
    network = networking(config.network, engine)
    agents = Agents(network.hosts, lambda host, url: cast(Agent, AgentClient(url, to_agents, host=host)))
    records = ServerRecords(engine)
    rooms, settings = Rooms(engine), HostSettingsRecords(engine)
    planner = Planner(network.service, agents, rooms)
    commands = Commands(
        config.transition.commands,
        timeout_s=config.transition.timeout_s,
        directory=config.state_dir / "commands",
    )
    tools = Tools(
        records,
        MigrationRecords(engine),
        network.service,
        agents,
        planner,
        settings,
        rooms,
        commands,
        Policies(config.policies),
    )
    claims = claims_in(engine)
    retention = Retention(engine, config.keep_migrations_days)
    conductor = Conductor(tools, claims, tidy=retention.prune_now_and_then)
    teller = NovaEvents(
        engine, nova, lambda: bool(claims.claim({_OUTBOX})), interval_s=config.events.interval_s
    )
    app = build_app(
        network.own,
        conductor,
        Servers(records, network.service, agents, settings),
        lambda app: Audited(guarded(app, strategy), trail),
        hosts=_hosts(network, engine, agents),
        cloud=network.cloud,
        nova=nova is not None,
    )
    operations = OperationConductor(conductor, OperationRecords(engine), claims)
    rewirings = RewiringConductor(tools, RewiringRecords(engine), claims)
    conductor.start()
    operations.start()
    rewirings.start()
    teller.start()
    try:
        yield app
    finally:
        teller.stop()
        rewirings.stop()
        operations.stop()
        conductor.stop()
        network.close()
        trail.close()
        engine.dispose()


def _hosts(network: Networking, engine: Engine, agents: Agents) -> HostRegistry:
    """What takes the reports. Another network service has no rows that could tell that nothing changed."""
    hosts = HostsWithDiscards(network.hosts, engine, agents)
    return hosts if network.cloud else HostsWithHeartbeats(hosts, engine)


def build_app(
    network: LocalNetworkService,
    conductor: Conductor,
    servers: Servers,
    guard: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    *,
    hosts: HostRegistry | None = None,
    cloud: str | None = None,
    nova: bool = False,
) -> ASGIApp:
    """All interfaces as one application, with the ones for agents apart; those for clients behind `guard`.

    `hosts` takes the agents' reports, `network` without it. `cloud` names the one that keeps the networks instead.
    `nova`: there is one that is told of events.
    """
    app = RequestIds(guard(clients_app(network, conductor, servers, cloud, hosts=hosts, nova=nova)))
    for_agents = FastAPI(title="Kedge, for its agents")
    for_agents.include_router(agent_router(hosts or network))
    install_error_handlers(for_agents)
    reports = TakesHeartbeats(for_agents, hosts) if isinstance(hosts, HostsWithHeartbeats) else for_agents
    of_this_wire = SameWire(reports, own="the control plane", other="the agent of", error=Conflict)

    async def by_listener(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = of_this_wire if scope.get("kedge.listener") == AGENTS else app
        await chosen(scope, receive, send)

    return by_listener


def clients_app(
    network: LocalNetworkService,
    conductor: Conductor,
    servers: Servers,
    cloud: str | None = None,
    *,
    hosts: HostRegistry | None = None,
    nova: bool = False,
) -> FastAPI:
    """The interfaces for clients; who may call what is in `kedge.auth.rules`."""
    app = FastAPI(title="Kedge", description="Live migration that carries the network with it.")
    app.include_router(elsewhere_router(cloud) if cloud else network_router(network))
    app.include_router(compute_router(conductor, servers))
    app.include_router(operations_router(conductor))
    app.include_router(rewirings_router(conductor.tools))
    app.include_router(doctor_router(conductor.tools, network, hosts or network, nova=nova))
    app.include_router(events_router(network))
    app.include_router(nova_router(conductor))
    app.add_middleware(Microversions)
    install_error_handlers(app)
    return app


def _own_certificate(config: ControlPlaneConfig) -> Credentials:
    """The control plane's certificate; the authority and it are made at the first start."""
    address = _split(config.agents)[0] if config.agents else "127.0.0.1"
    config.pki_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (config.pki_dir / ".lock").open("ab") as turn:
        # Control planes that start at once over one directory take turns.
        fcntl.flock(turn, fcntl.LOCK_EX)
        authority = CertificateAuthority.open_or_create(config.pki_dir)
        return authority.kept_or_issued("control", Role.CONTROL, [address], config.pki_dir)


def _listeners(config: ControlPlaneConfig, own: Credentials) -> list[Listener]:
    """Everything is checked before the first socket is made."""
    clients = _split(config.listen) if config.listen else None
    for_agents = _split(config.agents) if config.agents else None
    if not (clients or for_agents or config.socket):
        raise BadRequest("The control plane listens nowhere; give it a socket or an address.")
    tls = client_tls(config.certificate, config.key)
    if clients and tls is None:
        warn_of_plain_text(clients[0])
    of_clients, of_agents, of_socket = _limits(config)
    listeners = []
    if clients:
        listeners.append(Listener.tcp(*clients, tls=tls, limits=of_clients))
    if for_agents:
        listeners.append(Listener.tcp(*for_agents, tls=server_context(own), name=AGENTS, limits=of_agents))
    if config.socket is not None:
        listeners.append(Listener.unix(config.socket, limits=of_socket))
    return listeners


def _limits(config: ControlPlaneConfig) -> list[Limits]:
    limits = config.limits
    return fitted([limits.clients, limits.agents, limits.socket])


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise BadRequest(f"{address!r} is not of the form ADDRESS:PORT, for example 127.0.0.1:9696.")
    return host.strip("[]"), int(port)
