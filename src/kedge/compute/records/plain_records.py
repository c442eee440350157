"""What is asked of and written to migrations many times in each, as plain statements.

With objects for rows each of these took five times the CPU, and a migration makes a hundred of them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from kedge.core.migration import Intent
from kedge.model.errors import StaleEpoch
from kedge.model.server import MigrationOptions, MigrationStatus, Phase, TimeoutAction
from kedge.store import now
from kedge.store.tables import EventRow, MigrationEventRow, MigrationRow, ServerRow

from . import timeline


@dataclass(frozen=True)
class Change:
    """When a migration was written to last, and whether it has ended."""

    at: datetime
    ended: bool


@dataclass(frozen=True)
class Noted:
    """A phase of the timeline. `at_ns` is in ns of this machine's clock, the present if None."""

    phase: Phase
    at_ns: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """How a migration ended. `figures` are the attributes of `Migration` that were measured, None if they were not."""

    status: MigrationStatus
    figures: Mapping[str, Any]


def _has(seq: str) -> Any:
    return exists().where(
        MigrationEventRow.migration_id == MigrationRow.id, MigrationEventRow.seq == bindparam(seq)
    )


_THIS = MigrationRow.id == bindparam("this")
_ALL = select(MigrationRow.__table__)
_WHOLE = _ALL.where(_THIS)
_TIMELINE = select(MigrationEventRow.phase, MigrationEventRow.at_ns, MigrationEventRow.detail).where(
    MigrationEventRow.migration_id == bindparam("this")
)
_UNFINISHED = select(MigrationRow.id).where(MigrationRow.finished_at.is_(None))
_CHANGES = select(MigrationRow.id, MigrationRow.updated_at, MigrationRow.finished_at).where(
    MigrationRow.id.in_(bindparam("ids", expanding=True))
)
_INTENT = select(
    MigrationRow.epoch,
    MigrationRow.abort_requested,
    MigrationRow.error,
    MigrationRow.attempts,
    MigrationRow.options,
    MigrationRow.created_at,
    _has("announced").label("announced"),
    _has("unwired").label("unwired"),
).where(_THIS)
_EPOCH = select(MigrationRow.epoch).where(_THIS)
_OWNED = (
    update(MigrationRow)
    .where(_THIS, MigrationRow.epoch == bindparam("own_epoch"))
    .returning(MigrationRow.server_id, MigrationRow.destination, MigrationRow.status, MigrationRow.created_at)
)
# A phase that is there keeps its first time.
_PHASE = {
    "sqlite": sqlite.insert(MigrationEventRow).on_conflict_do_nothing().returning(MigrationEventRow.seq),
    "postgresql": postgresql.insert(MigrationEventRow)
    .on_conflict_do_nothing()
    .returning(MigrationEventRow.seq),
}
_EVENT = insert(EventRow)
_TOTAL = update(MigrationRow).where(_THIS).values(total_ms=bindparam("total"))


def _now(connection: Connection) -> datetime:
    return now(connection)


def find(connection: Connection, migration_id: str) -> tuple[Row[Any], Sequence[Row[Any]]] | None:
    """The migration with this id, or the only one whose id begins so, with its timeline; None without."""
    rows = connection.execute(_WHOLE, {"this": migration_id}).all()
    if not rows:  # no index serves those who ask for the beginning of an id
        begins = MigrationRow.id.startswith(migration_id, autoescape=True)
        rows = connection.execute(_ALL.where(begins).limit(2)).all()
    if len(rows) != 1:
        return None
    return rows[0], connection.execute(_TIMELINE, {"this": rows[0].id}).all()


def unfinished(connection: Connection) -> list[str]:
    """The ids of the migrations that somebody must drive."""
    return list(connection.scalars(_UNFINISHED))


def changes(connection: Connection, migration_ids: Collection[str]) -> dict[str, Change]:
    """What was written to these last."""
    rows = connection.execute(_CHANGES, {"ids": list(migration_ids)})
    return {row.id: Change(row.updated_at, row.finished_at is not None) for row in rows}


def intent(connection: Connection, migration_id: str, epoch: int) -> Intent:
    """What is wanted now. Raises StaleEpoch."""
    phases = {"announced": timeline.SEQ[Phase.ANNOUNCED], "unwired": timeline.SEQ[Phase.UNWIRED]}
    row = _owned(
        connection.execute(_INTENT, {"this": migration_id, **phases}).one_or_none(), migration_id, epoch
    )
    options = MigrationOptions(**row.options)
    return Intent(
        abort=row.abort_requested,
        failure=row.error,
        orders=row.attempts,
        announced=row.announced,
        overdue=_overdue(row.created_at, options, _now(connection)),
        hurry=options.timeout_action is not TimeoutAction.ABORT or options.complete_now,
        unwired=row.unwired,
        options=options,
    )


def write(
    connection: Connection,
    migration_id: str,
    epoch: int,
    phases: Sequence[Noted] = (),
    *,
    status: MigrationStatus | None = None,
    progress: Mapping[str, Any] | None = None,
    ordered: bool = False,
    server: Mapping[str, str] | None = None,
    ended: Ended | None = None,
) -> None:
    """Write down a step, as `MigrationRecords.write` says. Raises StaleEpoch."""
    at = _now(connection)
    values: dict[str, Any] = {"updated_at": at}
    if ended is not None:
        values |= {**ended.figures, "status": ended.status.value, "finished_at": at}
    elif status is not None:
        values["status"] = status.value
    if progress is not None:
        values["progress"] = dict(progress)
    if ordered:
        values["attempts"] = MigrationRow.attempts + 1
    written = connection.execute(_OWNED.values(**values), {"this": migration_id, "own_epoch": epoch})
    row = written.one_or_none()
    if row is None:
        _owned(connection.execute(_EPOCH, {"this": migration_id}).one_or_none(), migration_id, epoch)
        raise StaleEpoch(deleted(migration_id))
    told = [timeline.event_of(each.phase) for each in phases if _is_new(connection, migration_id, each, at)]
    if ended is not None:
        total_ms = (at - row.created_at).total_seconds() * 1000
        connection.execute(_TOTAL, {"this": migration_id, "total": total_ms})
        told.append(timeline.event_of("ended"))
    of_it = {"server_id": row.server_id, "host": row.destination, "status": row.status, "at": at}
    for name in told:
        connection.execute(_EVENT, {"name": name, **of_it})
    if server:
        changed = update(ServerRow).where(ServerRow.id == bindparam("server")).values(**server, updated_at=at)
        connection.execute(changed, {"server": row.server_id})


def _is_new(connection: Connection, migration_id: str, noted: Noted, at: datetime) -> bool:
    """Add a phase to the timeline; whether it was not there."""
    entry = {
        "migration_id": migration_id,
        "seq": timeline.SEQ[noted.phase],
        "phase": noted.phase.value,
        "at_ns": timeline.at_ns_of(connection, at, noted.at_ns),
        "detail": dict(noted.detail),
    }
    return connection.execute(_PHASE[connection.dialect.name], entry).first() is not None


def _owned(row: Row[Any] | None, migration_id: str, epoch: int) -> Row[Any]:
    if row is None:
        raise StaleEpoch(deleted(migration_id))
    if row.epoch != epoch:
        raise StaleEpoch(replaced(migration_id, row.epoch))
    return row


def deleted(migration_id: str) -> str:
    """What whoever drives it is told when there is nothing left to drive."""
    return f"There is no migration {migration_id!r}. Somebody deleted it while it was under way."


def replaced(migration_id: str, epoch: int) -> str:
    """What a conductor is told that was replaced."""
    return f"Migration {migration_id} is driven by another conductor now (epoch {epoch})."


def _overdue(created_at: datetime, options: MigrationOptions, at: datetime) -> str | None:
    limit = options.completion_timeout_s
    if limit is None or (at - created_at).total_seconds() < limit:
        return None
    return f"the completion time-out of {limit:g} s passed"
