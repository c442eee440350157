"""Looking at everything for the doctor: the database, then all hosts at the same time, then the database again.

What changed in the database meanwhile is named in the census, so that nothing is said of it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from uuid import UUID

from sqlalchemy import func, select

from kedge.core.doctor import BoundPort, Census, DomainSeen, HostSeen, ServerSeen, Unfinished
from kedge.core.domain_xml import Attachment, attachments
from kedge.model.domain import DomainState, DomainSummary
from kedge.model.errors import KedgeError, NotFound, Unreachable
from kedge.model.host import Host
from kedge.model.network import Binding, Network, Port, Vif, VifType, vif_of
from kedge.model.server import Server
from kedge.network.local import LocalNetworkService
from kedge.network.service import HostRegistry, NetworkService
from kedge.store import now
from kedge.store.tables import EventRow, MigrationRow, PortRow, RewiringRow, ServerRow
from kedge.wire.messages import ObserveRequest

from ..hosts.agents import Agent, Agents
from ..hosts.clock import HostClock
from ..records.claims import driven
from ..records.migrations import newest_epoch

_NOBODY = str(UUID(int=0))
"""A host is asked for its clock by being asked about a server that there can't be."""

_CLOCK_SAMPLES = 3
_HOSTS_AT_ONCE = 16
_OWN_PORTS = "compute:kedge"

_FORGOTTEN = timedelta(minutes=10)
"""A server that is being made has ports before it has a record; nobody takes that long for it."""

_UNPLUGGABLE = {VifType.UNBOUND, VifType.BINDING_FAILED}


@dataclass(frozen=True)
class _Records:
    """What the database says of servers and migrations, at one moment."""

    servers: dict[str, tuple[Server, datetime]]
    unfinished: tuple[Unfinished, ...]
    rewired: frozenset[str]  # ids of servers whose rewiring has not ended
    finished: frozenset[str]
    strays: frozenset[str]  # ids of unknown servers that ports were made for
    unsent: int
    unsent_s: float  # how old the oldest of them is
    epoch: int


class CensusTaker:
    """Takes censuses.

    Args:
        own: Kedge's database.
        network: the network service, `own` or another.
        hosts: says which bindings are on a host.
        agents: whom to ask.
        told: whether there is a Nova that is told of events.
    """

    def __init__(
        self,
        own: LocalNetworkService,
        network: NetworkService,
        hosts: HostRegistry,
        agents: Agents,
        *,
        told: bool = False,
    ) -> None:
        self._own = own
        self._network = network
        self._hosts = hosts
        self._agents = agents
        self._told = told

    def take(self) -> Census:
        """One look. Raises KedgeError only if database or network service can't be asked."""
        before = self._records()
        networks: dict[str, Network] = {}

        def bound(device_id: str) -> tuple[BoundPort, ...]:
            return tuple(
                BoundPort(port, self._network_of(port, networks), tuple(bindings))
                for port, bindings in self._network.bound_ports(device_id)
            )

        ports = {server_id: bound(server_id) for server_id in before.servers}
        hosts = self._all_hosts(ports)
        strays = tuple(port for device_id in sorted(before.strays) for port in bound(device_id))
        after = self._records()
        at = now(self._own.engine)
        return Census(
            servers=tuple(
                ServerSeen(server, ports[server.id], (at - changed).total_seconds())
                for server, changed in before.servers.values()
            ),
            hosts=hosts,
            unfinished=after.unfinished,
            moving=frozenset(_changed(before, after)) | before.rewired | after.rewired,
            finished=after.finished,
            strays=tuple(port for port in strays if port.port.device_id in after.strays),
            unsent=after.unsent if self._told else 0,
            unsent_s=after.unsent_s,
            epoch=before.epoch,
            version=own_version(),
        )

    def _network_of(self, port: Port, known: dict[str, Network]) -> Network:
        if port.network_id not in known:
            known[port.network_id] = self._network.network(port.network_id)
        return known[port.network_id]

    # The database.

    def _records(self) -> _Records:
        with self._own.read() as work:
            session = work.session
            servers = {
                row.id: (Server(row.id, row.name, row.host, row.status), row.updated_at)
                for row in session.scalars(select(ServerRow).order_by(ServerRow.name, ServerRow.id))
            }
            migrations = session.execute(
                select(
                    MigrationRow.id,
                    MigrationRow.server_id,
                    MigrationRow.source,
                    MigrationRow.destination,
                    MigrationRow.finished_at,
                ).order_by(MigrationRow.number)
            ).all()
            claimed = driven(session, [row.id for row in migrations if row.finished_at is None])
            owned = select(PortRow.device_id).where(
                PortRow.device_owner == _OWN_PORTS,
                PortRow.device_id != "",
                PortRow.updated_at < work.now - _FORGOTTEN,
            )
            unsent, oldest = session.execute(
                select(func.count(), func.min(EventRow.number)).where(EventRow.sent_at.is_(None))
            ).one()
            since = session.scalar(select(EventRow.at).where(EventRow.number == oldest))
            return _Records(
                servers=servers,
                unfinished=tuple(
                    Unfinished(row.id, row.server_id, row.source, row.destination, row.id in claimed)
                    for row in migrations
                    if row.finished_at is None
                ),
                rewired=frozenset(
                    session.scalars(select(RewiringRow.server_id).where(RewiringRow.finished_at.is_(None)))
                ),
                finished=frozenset(row.id for row in migrations if row.finished_at is not None),
                strays=frozenset(session.scalars(owned)) - servers.keys(),
                unsent=unsent,
                unsent_s=(work.now - since).total_seconds() if since else 0.0,
                epoch=newest_epoch(session),
            )

    # The hosts.

    def _all_hosts(self, ports: dict[str, tuple[BoundPort, ...]]) -> tuple[HostSeen, ...]:
        hosts = self._agents.hosts()
        with ThreadPoolExecutor(min(len(hosts), _HOSTS_AT_ONCE) or 1) as pool:
            return tuple(pool.map(lambda host: self._host(host, ports), hosts))

    def _host(self, host: Host, ports: dict[str, tuple[BoundPort, ...]]) -> HostSeen:
        if host.forced_down:
            return HostSeen(host, explained=frozenset())
        try:
            return self._asked(host, ports)
        except KedgeError as error:
            return HostSeen(host, answers=False, silence=str(error), explained=None)

    def _asked(self, host: Host, ports: dict[str, tuple[BoundPort, ...]]) -> HostSeen:
        agent = self._agents.agent(host.name)
        report = agent.host()
        if report.host != host.name:
            raise Unreachable(f"what answers at {host.url} says that it is host {report.host}")
        # VIFs first: what is bound and used later explains them, what was bound earlier may be gone.
        plugged = tuple(agent.vifs())
        domains = tuple(_domains(agent, host.name, ports))
        duties = self._hosts.duties(host.name)
        ahead, error = _clock(agent)
        return HostSeen(
            host,
            domains=domains,
            plugged=plugged,
            explained=frozenset(vif.port_id for vif in duties.vifs) if duties.known else None,
            clock_ahead_s=ahead,
            clock_error_s=error,
            version=report.version,
        )


def own_version() -> str:
    """The version of Kedge that this is; "" if it was not installed."""
    try:
        return version("kedge")
    except PackageNotFoundError:
        return ""


def _domains(agent: Agent, host: str, ports: dict[str, tuple[BoundPort, ...]]) -> Iterator[DomainSeen]:
    for summary in agent.domains():
        nics = _nics(agent, summary)
        if summary.uuid not in ports:
            yield DomainSeen(summary.uuid, summary.name, summary.state, nics=nics)
            continue
        vifs = tuple(_vifs_on(host, ports[summary.uuid]))
        view = agent.observe(summary.uuid, ObserveRequest(vifs=vifs))
        yield DomainSeen(summary.uuid, summary.name, view.domain, view.job, nics, dict(view.vifs))


def _nics(agent: Agent, domain: DomainSummary) -> tuple[Attachment, ...] | None:
    """The interfaces of a domain that is live; None if it went meanwhile, or its XML can't be read."""
    if domain.state in {DomainState.SHUTOFF, DomainState.CRASHED}:
        return ()
    try:
        return tuple(attachments(agent.domain_xml(domain.uuid)))
    except Unreachable:
        raise
    except KedgeError:
        return None


def _vifs_on(host: str, ports: Sequence[BoundPort]) -> Iterator[Vif]:
    for port in ports:
        binding: Binding | None = port.on(host)
        if binding is not None and binding.vif_type not in _UNPLUGGABLE:
            yield vif_of(port.port, port.network, binding)


def _clock(agent: Agent, now_ns: Callable[[], int] = time.time_ns) -> tuple[float, float]:
    """How far the host's clock is ahead, and by how much that may be wrong; both in s."""
    clock, quickest = HostClock(), float("inf")
    for _ in range(_CLOCK_SAMPLES):
        sent = now_ns()
        try:
            seen = agent.observe(_NOBODY, ObserveRequest(check_vifs=False)).now_ns
        except NotFound:
            break
        received = now_ns()
        clock.sample(sent, seen, received)
        quickest = min(quickest, (received - sent) / 2e9)
    return -clock.ours(0) / 1e9, quickest


def _changed(before: _Records, after: _Records) -> Iterator[str]:
    """The servers that were made, changed or deleted meanwhile. A migration changes its server at begin and end."""
    for server_id in before.servers.keys() | after.servers.keys():
        if before.servers.get(server_id) != after.servers.get(server_id):
            yield server_id


__all__ = ["CensusTaker", "own_version"]
