"""Migrations in the database.

A migration's row holds what is wanted, never a position in a script. Whoever drives it has its newest
epoch; writes with an older one raise StaleEpoch, so that a replaced conductor can't undo anything.
"""

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kedge.core.migration import Intent
from kedge.model.errors import BadRequest, CannotMigrate, Conflict, NotFound, StaleEpoch
from kedge.model.server import (
    Migration,
    MigrationOptions,
    MigrationStatus,
    Phase,
    Server,
    Sign,
)
from kedge.store import batched, now, one_statement, reading, statements, transaction
from kedge.store.tables import MigrationEventRow, MigrationRow, RewiringRow, ServerRow, ServerStatus

from . import plain_records, timeline
from .plain_records import Change, Ended, Noted
from .rooms import Room, demand_in, lock_promises, refusals


def _now(session: Session) -> datetime:
    return now(session.get_bind())


def newest_epoch(session: Session) -> int:
    """The largest epoch of all migrations and rewirings: agents compare them per server and per port."""
    return max(session.scalar(select(func.max(row.epoch))) or 0 for row in (MigrationRow, RewiringRow))


def next_epoch(session: Session) -> int:
    """An epoch larger than that of every migration and rewiring before."""
    return 1 + newest_epoch(session)


def refuse_second_migration(session: Session, server_id: str) -> None:
    """Raises Conflict, which names it, if a migration or a rewiring of this server is under way."""
    rewiring = session.scalars(
        select(RewiringRow).where(RewiringRow.server_id == server_id, RewiringRow.finished_at.is_(None))
    ).first()
    if rewiring is not None:
        raise Conflict(
            f"Rewiring {rewiring.id} of this server to {rewiring.backend} is under way;"
            f" wait for it, or end it with `kedge rewirings abort {rewiring.id}`."
        )
    under_way = session.scalars(
        select(MigrationRow).where(MigrationRow.server_id == server_id, MigrationRow.finished_at.is_(None))
    ).first()
    if under_way is not None:
        raise Conflict(
            f"Migration {under_way.id} of this server to {under_way.destination} is under way;"
            f" wait for it, or end it with `kedge migrations abort {under_way.id}`."
        )


class MigrationRecords:
    """The migrations: their intent, who drives them, and what came of them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = self.engine = engine
        self._listeners: list[Callable[[str, bool], None]] = []

    def add(
        self,
        server: Server,
        destination: str,
        options: MigrationOptions,
        candidates: Sequence[str] = (),
        *,
        rooms: Mapping[str, Room] | None = None,
        within: Callable[[Session, str], None] = lambda _session, _id: None,
    ) -> Migration:
        """Store a new migration, and promise it room.

        Raises Conflict if the server has one under way, or is elsewhere by now.

        `candidates` are the hosts that are tried after this one, if it fails, or if it has no room left by now. `rooms`
        has what each of them had; of others only the records are known. `within` is called with its id in the same
        transaction, and stops everything by raising. Raises CannotMigrate if no host has room.
        """
        row = _new(server.id, server.host, destination, asdict(options), rooms or {})
        try:
            with transaction(self._engine) as session:
                lock_promises(session)
                refuse_second_migration(session, server.id)
                reasons = _take_room(session, row, [destination, *candidates])
                within(session, row.id)
                if reasons:
                    raise CannotMigrate(f"Server {server.name} can't move from {server.host}", reasons)
                _begin(session, row)
                _refuse_moved(session, row)
        except IntegrityError:
            raise Conflict(f"Another migration of server {server.name} has just begun.") from None
        return self.find(row.id)

    def add_settling(self, server_id: str, source: str, destination: str) -> Migration:
        """Store a migration that moves nothing, as its abort is asked for from the beginning.

        Whoever drives it leaves the VM on whichever of both hosts it is, brings its record and its ports there, and
        cleans the other. Raises Conflict if the server has a migration under way.
        """
        row = _new(server_id, source, destination, asdict(MigrationOptions()), {})
        row.abort_requested = True
        try:
            with transaction(self._engine) as session:
                lock_promises(session)  # as whoever begins a rewiring does
                refuse_second_migration(session, server_id)
                _begin(session, row)
                session.flush()
                timeline.note(session, row, Phase.ABORT_ASKED, detail={"by": "the doctor"})
        except IntegrityError:
            raise Conflict(f"A migration of server {server_id} has just begun.") from None
        return self.find(row.id)

    def last_from(self, host: str, server_ids: Iterable[str]) -> dict[str, str]:
        """By server, the migration that took it away from this host last; without those of whom none is known."""
        left = select(MigrationRow.server_id, MigrationRow.id).where(
            MigrationRow.source == host, MigrationRow.status == MigrationStatus.COMPLETED.value
        )
        found: dict[str, str] = {}
        with reading(self._engine) as session:
            for some in batched(server_ids):
                rows = session.execute(
                    left.where(MigrationRow.server_id.in_(some)).order_by(MigrationRow.number)
                )
                found.update((server_id, migration_id) for server_id, migration_id in rows)
        return found

    def find(self, migration_id: str) -> Migration:
        """The migration with this id, or the only one whose id begins so. Raises NotFound."""
        with statements(self._engine, read_only=True) as connection:
            found = plain_records.find(connection, migration_id)
        if found is not None:
            return _migration(*found)
        raise NotFound(f"There is no migration {migration_id!r}; `kedge migrations list` shows them.")

    def changes(self, migration_ids: Collection[str]) -> dict[str, Change]:
        """What was written to these last: cheap, for those who wait for news of them."""
        with one_statement(self._engine) as connection:
            return plain_records.changes(connection, migration_ids)

    def listen(self, told: Callable[[str, bool], None]) -> None:
        """Call `told` with the id of each migration that this object has written to, in the thread that did.

        And with whether that ended it.
        """
        self._listeners.append(told)

    def all(
        self, server_id: str | None = None, *, limit: int | None = None, marker: str | None = None
    ) -> list[Migration]:
        """The migrations, the newest first: at most `limit`, and those begun before the one named by `marker`.

        Raises NotFound for a marker that is no migration, or none any more.
        """
        wanted = select(MigrationRow).order_by(MigrationRow.number.desc()).limit(limit)
        if server_id is not None:
            wanted = wanted.where(MigrationRow.server_id == server_id)
        with reading(self._engine) as session:
            if marker is not None:
                wanted = wanted.where(MigrationRow.number < _row(session, marker).number)
            return [_migration(row, row.events) for row in session.scalars(wanted)]

    def unfinished(self) -> list[str]:
        """The ids of the migrations that somebody must drive."""
        with one_statement(self._engine) as connection:
            return plain_records.unfinished(connection)

    def take_over(self, migration_id: str) -> int:
        """Begin to drive a migration: a new epoch.

        Raises StaleEpoch if it has ended, as whoever drove it until then may have done in this instant, or is gone.
        """
        with transaction(self._engine) as session:
            row = _driven(session, migration_id)
            if row.finished_at is not None:
                raise StaleEpoch(f"Migration {migration_id} has ended already: {row.status}.")
            row.epoch = next_epoch(session)
            return row.epoch

    def intent(self, migration_id: str, epoch: int) -> Intent:
        """What is wanted now."""
        with one_statement(self._engine) as connection:
            return plain_records.intent(connection, migration_id, epoch)

    def request_abort(self, migration_id: str) -> Migration:
        """Ask for an abort. Raises Conflict if the migration has ended."""
        with self._written(migration_id) as session:
            row = _row(session, migration_id)
            if row.finished_at is not None:
                raise Conflict(f"Migration {migration_id} has ended already: {row.status}.")
            row.abort_requested = True
            timeline.note(session, row, Phase.ABORT_ASKED)
        return self.find(migration_id)

    def change(self, migration_id: str, change: Callable[[MigrationOptions], MigrationOptions]) -> Migration:
        """Change the options; whoever drives it heeds them at its next look. Raises Conflict if it has ended."""
        with self._written(migration_id) as session:
            row = _row(session, migration_id)
            if row.finished_at is not None:
                raise Conflict(f"Migration {migration_id} has ended already: {row.status}.")
            try:
                row.options = asdict(change(MigrationOptions(**row.options)))
            except ValueError as error:
                raise BadRequest(f"{error}.") from None
            row.updated_at = _now(session)
        return self.find(migration_id)

    def give_up(self, migration_id: str, epoch: int, why: str) -> None:
        """Write down why the migration can't go on; the first reason stays."""
        with self._written(migration_id) as session:
            row = _owned(session, migration_id, epoch)
            row.error = row.error or why
            row.updated_at = _now(session)

    def add_reason(self, migration_id: str, epoch: int, phase: Phase, why: str) -> None:
        """Write down a phase that is a failure by itself, behind the reason that there may be already."""
        with self._written(migration_id) as session:
            row = _owned(session, migration_id, epoch)
            if not timeline.noted(session, migration_id, phase):
                row.error = f"{row.error}; {why}" if row.error else why
                timeline.note(session, row, phase)

    def write(
        self,
        migration_id: str,
        epoch: int,
        *phases: Noted,
        status: MigrationStatus | None = None,
        progress: Mapping[str, Any] | None = None,
        ordered: bool = False,
        server: Mapping[str, str] | None = None,
        ended: Ended | None = None,
    ) -> None:
        """Write down what a step came to, all of it in one transaction; raises StaleEpoch for an older epoch.

        `phases` go to the timeline, where one that is there already keeps its first time. `status` and `progress` are
        for people; `ordered` counts a transfer order, before it is sent; `server` is what changes of the server, if it
        is still there; `ended` ends the migration.
        """
        with statements(self._engine) as connection:
            plain_records.write(
                connection,
                migration_id,
                epoch,
                phases,
                status=status,
                progress=progress,
                ordered=ordered,
                server=server,
                ended=ended,
            )
        self._tell(migration_id, ended=ended is not None)

    def finish(
        self,
        migration_id: str,
        epoch: int,
        status: MigrationStatus,
        figures: Mapping[str, Any],
        *,
        retry: bool = False,
    ) -> None:
        """End a migration. `figures` are the attributes of `Migration` that were measured, None if they were not.

        With `retry`, it is followed by a migration to the next candidate that still has room, if there is one.
        """
        ended = Ended(status, figures)
        if not retry:
            self.write(migration_id, epoch, ended=ended)
            return
        with self._written(migration_id, ended=True) as session:
            lock_promises(session)
            plain_records.write(session.connection(), migration_id, epoch, ended=ended)
            row = _owned(session, migration_id, epoch)
            if row.candidates:
                rooms = {host: Room.of(room) for host, room in row.rooms.items()}
                following = _new(row.server_id, row.source, "", {**row.options, "complete_now": False}, rooms)
                reasons = _take_room(session, following, row.candidates)
                if reasons:
                    why = f"no other host could be tried: {'; '.join(reasons)}"
                    row.error = f"{row.error}; {why}" if row.error else why
                else:
                    _begin(session, following)
                    row.next_id = following.id

    @contextmanager
    def _written(self, migration_id: str, *, ended: bool = False) -> Iterator[Session]:
        """A transaction of which those who listen are told once it is committed."""
        with transaction(self._engine) as session:
            yield session
        self._tell(migration_id, ended=ended)

    def _tell(self, migration_id: str, *, ended: bool = False) -> None:
        for told in self._listeners:
            told(migration_id, ended)


def _new(
    server_id: str,
    source: str,
    destination: str,
    options: Mapping[str, Any],
    rooms: Mapping[str, Room],
) -> MigrationRow:
    return MigrationRow(
        id=str(uuid.uuid4()),
        server_id=server_id,
        source=source,
        destination=destination,
        status=MigrationStatus.PREPARING.value,
        options=dict(options),
        candidates=[],
        demand={},
        rooms={host: room.stored() for host, room in rooms.items()},
    )


def _take_room(session: Session, row: MigrationRow, hosts: Sequence[str]) -> list[str]:
    """Promise it room on the first of these hosts that has some; the rest are tried later. Else why none has."""
    reasons: list[str] = []
    for number, host in enumerate(hosts, 1):
        room = Room.of(row.rooms[host]) if host in row.rooms else Room()
        against = refusals(session, row.server_id, host, room)
        if not against:
            row.destination, row.candidates = host, list(hosts[number:])
            row.demand = asdict(demand_in(session, row.server_id, room))
            row.rooms = {each: row.rooms[each] for each in row.candidates if each in row.rooms}
            return []
        reasons += [f"{host}: {each}" if len(hosts) > 1 else str(each) for each in against]
    return reasons


def _begin(session: Session, row: MigrationRow) -> None:
    row.created_at = row.updated_at = at = _now(session)
    session.add(row)
    server = session.get(ServerRow, row.server_id)
    if server is not None:
        server.status, server.updated_at = ServerStatus.MIGRATING.value, at
        server.demand = row.demand or server.demand


def _refuse_moved(session: Session, row: MigrationRow) -> None:
    """A whole migration may pass between the plan, which asks hosts, and this."""
    server = session.get(ServerRow, row.server_id)
    if server is not None and server.host != row.source:
        raise Conflict(
            f"Server {server.name} was moved from {row.source} to {server.host} meanwhile; try again."
        )


def _row(session: Session, migration_id: str) -> MigrationRow:
    row = session.scalars(select(MigrationRow).where(MigrationRow.id == migration_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no migration {migration_id!r}.")
    return row


def _driven(session: Session, migration_id: str) -> MigrationRow:
    """For whoever drives it: when somebody has deleted it, there is nothing left to drive."""
    try:
        return _row(session, migration_id)
    except NotFound:
        raise StaleEpoch(plain_records.deleted(migration_id)) from None


def _owned(session: Session, migration_id: str, epoch: int) -> MigrationRow:
    row = _driven(session, migration_id)
    if row.epoch != epoch:
        raise StaleEpoch(plain_records.replaced(migration_id, row.epoch))
    return row


def _migration(row: MigrationRow | Row[Any], events: Iterable[MigrationEventRow | Row[Any]]) -> Migration:
    return Migration(
        id=row.id,
        server_id=row.server_id,
        source=row.source,
        destination=row.destination,
        status=MigrationStatus(row.status),
        options=MigrationOptions(**row.options),
        abort_requested=row.abort_requested,
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
        total_ms=row.total_ms,
        guest_downtime_ms=row.guest_downtime_ms,
        network_blackout_ms=row.network_blackout_ms,
        network_blackout_between=_signs(row.network_blackout_between),
        progress=row.progress,
        timeline=timeline.entries(events),
        candidates=tuple(row.candidates),
        next_id=row.next_id,
    )


def _signs(stored: str | None) -> tuple[Sign, Sign] | None:
    if stored is None:
        return None
    last, first = stored.split()
    return Sign(last), Sign(first)
