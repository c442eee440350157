"""The room on a host: what is promised there by the records, and promising more in the transaction that takes it.

A plan looks at what a host has (`look`, then its agent's facts) before a migration is begun. The transaction that
begins it counts again all that was promised since (`refusals`), one such transaction after the other, so that the same
memory is never promised twice. An operation promises room for what it plans in the same way (`refuse_plan`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Engine, Row, Select, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from kedge.core.placement import Fleet, HostState, Nics, PlacedServer, Promise, stands_against
from kedge.core.placement.filters import RECORDED, capacity, enabled, groups
from kedge.core.placement.groups import AFFINITY
from kedge.model.errors import Conflict
from kedge.model.host import Host
from kedge.model.host_facts import MemoryFacts
from kedge.model.obstacle import Obstacle
from kedge.model.placement import Demand, HostLimits, HostSettings
from kedge.model.server import Server
from kedge.store import batched, lock_name, now, reading
from kedge.store.tables import HostSettingsRow, MigrationRow, OperationItemRow, ServerRow, ServerStatus

_TAKES_NOTHING = (ServerStatus.SHUTOFF.value, ServerStatus.ERROR.value)
_SERVERS = select(
    ServerRow.id, ServerRow.name, ServerRow.host, ServerRow.status, ServerRow.labels, ServerRow.demand
)
_SETTINGS = select(
    HostSettingsRow.host, HostSettingsRow.labels, HostSettingsRow.disabled, HostSettingsRow.limits
)
_PROMISED = select(
    MigrationRow.id, MigrationRow.server_id, MigrationRow.destination, MigrationRow.demand, ServerRow.labels
).join(ServerRow, ServerRow.id == MigrationRow.server_id)
_ARRIVING = _PROMISED.add_columns(MigrationRow.progress)
_PLANNED = (
    select(
        OperationItemRow.server_id,
        OperationItemRow.planned,
        ServerRow.status,
        ServerRow.demand,
        ServerRow.labels,
    )
    .join(ServerRow, ServerRow.id == OperationItemRow.server_id)
    .where(OperationItemRow.planned.is_not(None))
)
_USUAL, _UNKNOWN = HostSettings(), MemoryFacts()
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class RoomTaken(Conflict):
    """What was planned does not fit any more, as somebody else was promised the room meanwhile."""


@dataclass(frozen=True)
class Room:
    """What a server takes, and what a host had when it was asked for a plan.

    Attributes:
        demand: None for what the server's record says.
        memory: as the host's agent said; a total of 0 if it did not.
        at: the database's time before it was asked; what was promised since is not in `memory`.
        copying: the migrations whose memory had begun to arrive by then, so it is.
    """

    demand: Demand | None = None
    memory: MemoryFacts = field(default_factory=MemoryFacts)
    at: datetime = _LONG_AGO
    copying: tuple[str, ...] = ()

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"at": self.at.isoformat()}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Room":
        """From JSON, which has no numbers as keys."""
        memory = {**stored["memory"]}
        memory["huge_pages"] = {int(size): free for size, free in memory["huge_pages"].items()}
        demand = stored["demand"]
        return cls(
            Demand(**demand) if demand else None,
            MemoryFacts(**memory),
            datetime.fromisoformat(stored["at"]),
            tuple(stored["copying"]),
        )


@dataclass(frozen=True)
class Records:
    """What the records say of a server and of a host that it may go to."""

    server: PlacedServer
    state: HostState
    fleet: Fleet
    room: Room

    def against(self) -> tuple[Obstacle, ...]:
        """What they have against it, but for memory and CPUs."""
        return stands_against(self.server, self.state, self.fleet, (enabled, groups))


class Rooms:
    """What records say of hosts, for plans and for placement."""

    def __init__(self, engine: Engine) -> None:
        self._engine = self.engine = engine

    def look(self, server_id: str, host: str) -> Records:
        """The records as they are now, before the host is asked what it has; an unknown server takes nothing."""
        with reading(self._engine) as session:
            at = now(session.get_bind())
            arriving = select(MigrationRow.id, MigrationRow.progress).where(
                MigrationRow.destination == host, MigrationRow.finished_at.is_(None)
            )
            copying = tuple(row.id for row in session.execute(arriving) if _arrives(row.progress))
            return _records(session, server_id, host, Room(at=at, copying=copying))

    def hosts_of_groups(self, servers: Iterable[Server]) -> set[str]:
        """Where the others are that these servers wish to be beside."""
        names = {each.labels[AFFINITY] for each in servers if AFFINITY in each.labels}
        if not names:
            return set()
        members = select(ServerRow.host).where(ServerRow.labels[AFFINITY].as_string().in_(names))
        with reading(self._engine) as session:
            return set(session.scalars(members.distinct()))

    def copying(self) -> frozenset[str]:
        """The migrations whose memory has begun to arrive: what hosts say that are asked after this counts it."""
        query = select(MigrationRow.id, MigrationRow.progress).where(MigrationRow.finished_at.is_(None))
        with reading(self._engine) as session:
            return frozenset(row.id for row in session.execute(query) if _arrives(row.progress))

    def fleet(
        self,
        hosts: Sequence[Host],
        memory: Mapping[str, MemoryFacts] = MappingProxyType({}),
        nics: Mapping[str, Nics] = MappingProxyType({}),
        copying: Collection[str] = (),
        *,
        besides: Collection[str] | None = None,
        with_migrations: bool = True,
    ) -> Fleet:
        """These hosts with all servers, with what operations plan and, if asked for, what migrations under way take.

        With `besides`, only with the servers on these hosts and those whose ids it has. `memory` is what hosts said, by
        name; `copying` the migrations that were, before they said it. `nics` has the NICs of those servers that are to
        be placed, by id.
        """
        with reading(self._engine) as session:
            names = [host.name for host in hosts]
            all_of_them = besides is None
            settings = {
                row.host: settings_of(row)
                for row in _within(session, _SETTINGS, HostSettingsRow.host, names, all_of_them)
            }
            rows = _within(session, _SERVERS, ServerRow.host, names, all_of_them)
            if besides:
                rows += _within(session, _SERVERS, ServerRow.id, besides)
            servers = [_placed(row, nics.get(row.id, ())) for row in {row.id: row for row in rows}.values()]
            under_way = _PROMISED.where(MigrationRow.finished_at.is_(None))
            migrations = session.execute(under_way) if with_migrations else ()
            here = set(names)
            promised = [_promise(row, row.id in copying) for row in migrations if row.destination in here]
            promised += planned(session, None if all_of_them else names)
        states = [
            HostState(host, settings.get(host.name, _USUAL), memory.get(host.name, _UNKNOWN))
            for host in hosts
        ]
        return Fleet(states, servers, promised)


def lock_promises(session: Session) -> None:
    """Let whoever promises room on a host do so one after the other, until the end of this transaction."""
    lock_name(session, "kedge: room on hosts")


def planned(session: Session, hosts: Collection[str] | None = None) -> list[Promise]:
    """What is promised on these hosts, or all, to servers of operations whose migrations have not begun."""
    rows = _within(session, _PLANNED, OperationItemRow.planned, hosts or (), all_of_them=hosts is None)
    return [
        Promise(row.server_id, row.planned, _demand(row), row.labels, planned=True)
        for row in rows
        if row.planned is not None
    ]


def refusals(session: Session, server_id: str, host: str, room: Room) -> tuple[Obstacle, ...]:
    """What stands against a promise now; ask it after `lock_promises`, and promise in the same transaction."""
    records = _records(session, server_id, host, room)
    return stands_against(records.server, records.state, records.fleet, RECORDED)


def refuse_plan(session: Session, moves: Mapping[str, str], memory: Mapping[str, MemoryFacts]) -> None:
    """Raises RoomTaken if these moves, a host for each server, don't fit one after the other beside what is promised.

    Ask it after `lock_promises`, and promise in the same transaction. `memory` is what hosts said, by name.
    """
    servers = {row.id: _placed(row) for row in _within(session, _SERVERS, ServerRow.id, moves)}
    names = {each.host for each in servers.values()}.union(moves.values())
    servers |= {row.id: _placed(row) for row in _within(session, _SERVERS, ServerRow.host, names)}
    settings = {
        row.host: settings_of(row) for row in _within(session, _SETTINGS, HostSettingsRow.host, names)
    }
    under_way = _within(
        session, _ARRIVING.where(MigrationRow.finished_at.is_(None)), MigrationRow.destination, names
    )
    promised = [_promise(row, _arrives(row.progress)) for row in under_way] + planned(session, names)
    states = [HostState(Host(each), settings.get(each, _USUAL), memory.get(each, _UNKNOWN)) for each in names]
    fleet = Fleet(states, servers.values(), [each for each in promised if each.server_id not in moves])
    for server_id, host in moves.items():
        if server_id in servers:
            against = stands_against(servers[server_id], fleet.hosts[host], fleet, (groups, capacity))
            if against:
                raise RoomTaken(
                    f"{servers[server_id].name} can't go to {host}: {'; '.join(map(str, against))}"
                )
            fleet = fleet.moved(server_id, host)


def demand_in(session: Session, server_id: str, room: Room) -> Demand:
    """What a promise to this server is of."""
    if room.demand is not None:
        return room.demand
    return Demand(**(session.scalar(select(ServerRow.demand).where(ServerRow.id == server_id)) or {}))


def _within(
    session: Session,
    query: Select[Any],
    column: InstrumentedAttribute[str] | InstrumentedAttribute[str | None],
    values: Collection[str],
    all_of_them: bool = False,
) -> list[Row[Any]]:
    """The rows in which the column has one of these values, or all rows."""
    if all_of_them:
        return list(session.execute(query))
    return [row for some in batched(values) for row in session.execute(query.where(column.in_(some)))]


def settings_of(row: HostSettingsRow | Row[Any] | None) -> HostSettings:
    """The settings in a row; the usual ones without one."""
    return HostSettings() if row is None else HostSettings(row.labels, row.disabled, HostLimits(**row.limits))


def _records(session: Session, server_id: str, host: str, room: Room) -> Records:
    rows = session.execute(_SERVERS.where(or_(ServerRow.host == host, ServerRow.id == server_id)))
    servers = {row.id: _placed(row) for row in rows}
    server = servers.get(server_id) or PlacedServer(server_id, server_id, "")
    if room.demand is not None:
        server = replace(server, demand=room.demand)
    others = [each for each in servers.values() if each.id != server_id and each.host == host]
    state = HostState(Host(host), settings_of(session.get(HostSettingsRow, host)), room.memory)
    under_way = _promises(session, server_id, host, room)
    ahead = [each for each in planned(session, (host,)) if each.server_id != server_id]
    return Records(server, state, Fleet([state], others, [*under_way, *ahead]), room)


def _promises(session: Session, server_id: str, host: str, room: Room) -> list[Promise]:
    """To others than this server, as of now: what is under way, and what has arrived since the host was asked."""
    arrived_since = (MigrationRow.finished_at >= room.at) & (ServerRow.host == host)
    rows = session.execute(
        _PROMISED.where(
            MigrationRow.destination == host,
            MigrationRow.server_id != server_id,
            or_(MigrationRow.finished_at.is_(None), arrived_since),
        )
    )
    return [_promise(row, row.id in room.copying) for row in rows]


def _placed(row: Row[Any], nics: Nics = ()) -> PlacedServer:
    return PlacedServer(row.id, row.name, row.host, _demand(row), row.labels, nics)


def _demand(row: Row[Any]) -> Demand:
    return Demand() if row.status in _TAKES_NOTHING else Demand(**row.demand)


def _promise(row: Row[Any], in_facts: bool) -> Promise:
    return Promise(row.server_id, row.destination, Demand(**row.demand), row.labels, in_facts)


def _arrives(progress: Mapping[str, Any] | None) -> bool:
    return bool(progress and progress.get("memory_processed"))
