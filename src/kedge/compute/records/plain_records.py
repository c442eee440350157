"""What is asked of and written to migrations many times in each, as plain statements.

With objects for rows each of these took five times the CPU, and a migration makes a hundred of them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, insert, select, update

from kedge.core.migration import Intent
from kedge.model.errors import StaleEpoch
from kedge.model.server import MigrationOptions, MigrationStatus, Phase, TimeoutAction
from kedge.store import now
from kedge.store.tables import EventRow, MigrationEventRow, MigrationRow

from . import timeline


@dataclass(frozen=True)
class Change:
    """When a migration was written to last, and whether it has ended."""

    at: datetime
    ended: bool


def _has(seq: str) -> Any:
    return exists().where(
        MigrationEventRow.migration_id == MigrationRow.id, MigrationEventRow.seq == bindparam(seq)
    )


_THIS = MigrationRow.id == bindparam("this")
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
_NOTED = select(
    MigrationRow.epoch,
    MigrationRow.server_id,
    MigrationRow.destination,
    MigrationRow.status,
    _has("seq").label("noted"),
).where(_THIS)
_EPOCH = select(MigrationRow.epoch).where(_THIS)
_OWNED = update(MigrationRow).where(_THIS, MigrationRow.epoch == bindparam("own_epoch"))


def _now(connection: Connection) -> datetime:
    return now(connection)


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


def show(
    connection: Connection,
    migration_id: str,
    epoch: int,
    status: MigrationStatus | None,
    progress: Mapping[str, Any] | None,
) -> None:
    """Let people see how far it is. Raises StaleEpoch."""
    values: dict[str, Any] = {"updated_at": _now(connection)}
    if status is not None:
        values["status"] = status.value
    if progress is not None:
        values["progress"] = dict(progress)
    _write(connection, migration_id, epoch, values)


def note(
    connection: Connection,
    migration_id: str,
    epoch: int,
    phase: Phase,
    *,
    at_ns: int | None,
    detail: Mapping[str, Any] | None,
) -> None:
    """As `timeline.note`. Raises StaleEpoch."""
    seq = timeline.SEQ[phase]
    found = connection.execute(_NOTED, {"this": migration_id, "seq": seq}).one_or_none()
    row = _owned(found, migration_id, epoch)
    if row.noted:
        return
    at = _now(connection)
    _write(connection, migration_id, epoch, {"updated_at": at})
    entry = {"migration_id": migration_id, "seq": seq, "phase": phase.value}
    entry |= {"at_ns": timeline.at_ns_of(connection, at, at_ns), "detail": dict(detail or {})}
    connection.execute(insert(MigrationEventRow), entry)
    told = {"name": timeline.event_of(phase), "server_id": row.server_id, "host": row.destination}
    connection.execute(insert(EventRow), told | {"status": row.status, "at": at})


def _write(connection: Connection, migration_id: str, epoch: int, values: Mapping[str, Any]) -> None:
    written = connection.execute(_OWNED.values(**values), {"this": migration_id, "own_epoch": epoch})
    if written.rowcount == 0:
        _owned(connection.execute(_EPOCH, {"this": migration_id}).one_or_none(), migration_id, epoch)


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
