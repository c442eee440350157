"""Hosts and their agents: what they report of themselves, and whether they live."""

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import selectinload

from kedge.model.errors import BadRequest
from kedge.model.host import Host, HostBackend
from kedge.store.tables import AgentRow, HostRow, ServerRow, ServerStatus
from kedge.wire.messages import HostReport

from ..errors import AgentNotFound, HostNotFound
from .work import Work, new_id

_RUNNING = (ServerStatus.ACTIVE, ServerStatus.PAUSED, ServerStatus.MIGRATING)

# Built once, and executed without the ORM: every binding asks the first, and every report the others.
_ONE = (
    select(
        HostRow.url,
        HostRow.libvirt_uri,
        HostRow.migrate_uri,
        HostRow.migration_network,
        HostRow.libvirt_version,
        HostRow.forced_down,
        HostRow.last_seen,
        AgentRow.driver,
        AgentRow.backend,
        AgentRow.admin_state_up,
    )
    .select_from(HostRow)
    .outerjoin(AgentRow, AgentRow.host == HostRow.name)
    .where(HostRow.name == bindparam("name"))
    .order_by(AgentRow.position)
)
_SAID = (
    update(HostRow)
    .where(HostRow.name == bindparam("host"))
    .values(
        {
            name: bindparam(name)
            for name in (
                "url",
                "libvirt_uri",
                "migrate_uri",
                "migration_network",
                "libvirt_version",
                "running",
                "last_seen",
            )
        }
    )
)
_BACKENDS = select(AgentRow.backend).where(AgentRow.host == bindparam("host")).order_by(AgentRow.position)


def record(work: Work, report: HostReport) -> None:
    """Keep what an agent says of its host. Raises BadRequest for two backends of one driver."""
    drivers = [backend.driver for backend in report.backends]
    if len(drivers) != len(set(drivers)):
        raise BadRequest(
            f"Host {report.host} reports two backends of one driver ({', '.join(drivers)}); merge them."
        )
    said = {
        "url": report.url,
        "libvirt_uri": report.libvirt_uri,
        "migrate_uri": report.migrate_uri,
        "migration_network": report.migration_network,
        "libvirt_version": report.libvirt_version,
        "running": list(report.running),
        "last_seen": work.now,
    }
    connection = work.session.connection()
    if connection.execute(_SAID, {"host": report.host, **said}).rowcount == 0:
        row = HostRow(name=report.host, created_at=work.now, agents=[], **said)
        work.session.add(row)
        _record_backends(work, row, report)
        return
    known = connection.execute(_BACKENDS, {"host": report.host})
    if [each.backend for each in known] != [asdict(backend) for backend in report.backends]:
        _record_backends(work, work.session.get_one(HostRow, report.host), report)


def _record_backends(work: Work, row: HostRow, report: HostReport) -> None:
    known = {agent.driver: agent for agent in row.agents}
    for position, backend in enumerate(report.backends):
        agent = known.pop(backend.driver, None)
        if agent is None:
            agent = AgentRow(id=new_id(), driver=backend.driver, created_at=work.now, started_at=work.now)
            row.agents.append(agent)
        agent.position = position
        agent.backend = asdict(backend)
    for gone in known.values():
        row.agents.remove(gone)


def all_hosts(work: Work, names: Collection[str] | None = None) -> list[Host]:
    """All hosts by name, or these of them."""
    return [_host(work, row) for row in _rows(work, names)]


def host(work: Work, name: str) -> Host:
    """The host of this name. Raises HostNotFound."""
    rows = work.session.connection().execute(_ONE, {"name": name}).all()
    if not rows:
        raise HostNotFound(name, [each.name for each in all_hosts(work)])
    row, agents = rows[0], [each for each in rows if each.driver is not None]
    return Host(
        name=name,
        url=row.url,
        alive=_alive(work, row.forced_down, row.last_seen),
        backends=tuple(HostBackend(**agent.backend) for agent in agents),
        libvirt_uri=row.libvirt_uri,
        migrate_uri=row.migrate_uri,
        libvirt_version=row.libvirt_version,
        disabled=tuple(agent.driver for agent in agents if not agent.admin_state_up),
        forced_down=row.forced_down,
        migration_network=row.migration_network,
    )


def force_down(work: Work, name: str, forced_down: bool) -> Host:
    """Note that a host is off, or take that back. Raises HostNotFound."""
    host(work, name)
    row = work.session.get_one(HostRow, name)
    row.forced_down = forced_down
    if forced_down:
        row.running = []
    work.session.flush()
    return _host(work, row)


def alive(work: Work, row: HostRow) -> bool:
    """Whether the host's agent reported lately, and nobody said that the host is off."""
    return _alive(work, row.forced_down, row.last_seen)


def _alive(work: Work, forced_down: bool, last_seen: datetime) -> bool:
    return not forced_down and work.now - last_seen <= work.dead_after


def agents(work: Work) -> list[tuple[AgentRow, HostRow]]:
    """All agents with their hosts, in the hosts' order."""
    return [(agent, row) for row in _rows(work) for agent in row.agents]


def agent(work: Work, agent_id: str) -> tuple[AgentRow, HostRow]:
    """The agent with this id, and its host. Raises AgentNotFound."""
    row = work.session.get(AgentRow, agent_id)
    if row is None:
        raise AgentNotFound(agent_id)
    return row, work.session.get_one(HostRow, row.host)


def delete_agent(work: Work, agent_id: str) -> None:
    """Forget an agent; if it still lives, its next report brings it back under a new id. Raises AgentNotFound."""
    row, _ = agent(work, agent_id)
    work.session.delete(row)


def server_runs(work: Work, server_id: str) -> bool:
    """Whether a server is known that runs, or may run, somewhere."""
    server = work.session.get(ServerRow, server_id)
    if server is None:
        return False
    if server.status in _RUNNING:
        return True
    return any(server_id in running for running in work.session.scalars(select(HostRow.running)))


def _rows(work: Work, names: Collection[str] | None = None) -> list[HostRow]:
    query = select(HostRow).options(selectinload(HostRow.agents)).order_by(HostRow.name)
    if names is not None:
        query = query.where(HostRow.name.in_(names))
    return list(work.session.scalars(query))


def _host(work: Work, row: HostRow) -> Host:
    return Host(
        name=row.name,
        url=row.url,
        alive=alive(work, row),
        backends=tuple(HostBackend(**agent.backend) for agent in row.agents),
        libvirt_uri=row.libvirt_uri,
        migrate_uri=row.migrate_uri,
        libvirt_version=row.libvirt_version,
        disabled=tuple(agent.driver for agent in row.agents if not agent.admin_state_up),
        forced_down=row.forced_down,
        migration_network=row.migration_network,
    )
