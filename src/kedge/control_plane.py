"""The control plane as one process: network service, conductor and their REST interfaces.

It listens in up to three places. The Unix socket is for root on this machine and trusts whoever may open
it; the TCP address is for OpenStack's and Kedge's clients; the address for agents speaks mutual TLS and serves
nothing but their reports, so that a stolen agent's key opens nothing else.
"""

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from kedge.agent_client import AgentClient
from kedge.compute.actor import Tools
from kedge.compute.agents import Agent, Agents
from kedge.compute.api import compute_router
from kedge.compute.conductor import Conductor
from kedge.compute.planner import Planner
from kedge.compute.records import MigrationRecords, ServerRecords
from kedge.compute.servers import Servers
from kedge.model.errors import BadRequest
from kedge.network.api import agent_router, install_error_handlers, network_router
from kedge.network.local import LocalNetworkService
from kedge.pki import CertificateAuthority, Credentials, Role, client_context, server_context
from kedge.store import open_database, upgrade
from kedge.tls_server import Listener, serve

AGENTS = "agents"


@dataclass(frozen=True)
class ControlPlaneConfig:
    """Where the control plane keeps its state and where it listens.

    Attributes:
        state_dir: for the SQLite database and, unless `pki` says otherwise, the certificates.
        database: SQLAlchemy URL; a SQLite file in `state_dir` if None.
        socket: Unix socket for root on this machine; None for none.
        listen: `ADDRESS:PORT` for clients, plain HTTP; None for none.
        agents: `ADDRESS:PORT` for agents, mutual TLS; None for none.
        pki: directory of the certificate authority and of the control plane's own certificate.
    """

    state_dir: Path = Path("/var/lib/kedge")
    database: str | None = None
    socket: Path | None = Path("/run/kedge/kedge.sock")
    listen: str | None = "127.0.0.1:9696"
    agents: str | None = None
    pki: Path | None = None

    @property
    def pki_dir(self) -> Path:
        """Where the certificates are."""
        return self.pki or self.state_dir / "pki"


def run(config: ControlPlaneConfig) -> None:
    """Serve until SIGTERM or SIGINT. Migrations that are under way go on when it is started again."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    config.state_dir.mkdir(parents=True, exist_ok=True)
    own = _own_certificate(config)
    with control_plane(config, client_context(own)) as app:
        serve(app, _listeners(config, own))


@contextmanager
def control_plane(config: ControlPlaneConfig, to_agents: ssl.SSLContext | None) -> Iterator[ASGIApp]:
    """The application, with its conductor at work as long as the block runs."""
    url = config.database or f"sqlite:///{config.state_dir / 'kedge.db'}"
    engine = open_database(url)
    upgrade(engine)
    network = LocalNetworkService(engine)
    agents = Agents(network, lambda url: cast(Agent, AgentClient(url, to_agents)))
    records = ServerRecords(engine)
    tools = Tools(records, MigrationRecords(engine), network, agents, Planner(network, agents))
    conductor = Conductor(tools)
    app = build_app(network, conductor, Servers(records, network, agents))
    conductor.start()
    try:
        yield app
    finally:
        conductor.stop()
        engine.dispose()


def build_app(network: LocalNetworkService, conductor: Conductor, servers: Servers) -> ASGIApp:
    """All interfaces as one application, with the ones for agents apart."""
    app = FastAPI(title="Kedge", description="Live migration that carries the network with it.")
    app.include_router(network_router(network))
    app.include_router(compute_router(conductor, servers))
    install_error_handlers(app)
    for_agents = FastAPI(title="Kedge, for its agents")
    for_agents.include_router(agent_router(network))
    install_error_handlers(for_agents)

    async def by_listener(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = for_agents if scope.get("kedge.listener") == AGENTS else app
        await chosen(scope, receive, send)

    return by_listener


def _own_certificate(config: ControlPlaneConfig) -> Credentials:
    """The control plane's certificate; the authority and it are made at the first start."""
    address = _split(config.agents)[0] if config.agents else "127.0.0.1"
    if not (config.pki_dir / "ca.pem").exists():
        CertificateAuthority.create(config.pki_dir)
    authority = CertificateAuthority.open(config.pki_dir)
    return authority.issue("control", Role.CONTROL, [address], config.pki_dir)


def _listeners(config: ControlPlaneConfig, own: Credentials) -> list[Listener]:
    """Everything is checked before the first socket is made."""
    clients = _split(config.listen) if config.listen else None
    for_agents = _split(config.agents) if config.agents else None
    if clients and clients[0] not in {"127.0.0.1", "::1", "localhost"}:
        raise BadRequest(
            f"--listen {config.listen} is not on loopback, and this interface does not ask who calls; "
            "listen on 127.0.0.1 and put an authenticating proxy before it"
        )
    if not (clients or for_agents or config.socket):
        raise BadRequest("The control plane listens nowhere; give it a socket or an address.")
    listeners = []
    if clients:
        listeners.append(Listener.tcp(*clients))
    if for_agents:
        listeners.append(Listener.tcp(*for_agents, tls=server_context(own), name=AGENTS))
    if config.socket is not None:
        listeners.append(Listener.unix(config.socket))
    return listeners


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise BadRequest(f"{address!r} is not of the form ADDRESS:PORT, for example 127.0.0.1:9696.")
    return host.strip("[]"), int(port)
