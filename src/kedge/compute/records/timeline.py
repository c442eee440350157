"""A migration's timeline in the database, and what those who listen are told of it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row
from sqlalchemy.orm import Session

from kedge.model.server import Phase, TimelineEntry
from kedge.store import ahead_ns, now, outbox
from kedge.store.tables import MigrationEventRow, MigrationRow

SEQ = {phase: number for number, phase in enumerate(Phase)}
"""A phase happens once in a migration, so its place in the order is its key."""


def noted(session: Session, migration_id: str, phase: Phase) -> bool:
    """Whether the timeline has this phase."""
    return session.get(MigrationEventRow, (migration_id, SEQ[phase])) is not None


def note(
    session: Session,
    row: MigrationRow,
    phase: Phase,
    at_ns: int | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add a phase; one that is there already keeps its first time.

    `at_ns` is in ns of this machine's clock, the present if None; what is kept is by the database's.
    """
    if noted(session, row.id, phase):
        return
    at = now(session.get_bind())
    event = MigrationEventRow(migration_id=row.id, seq=SEQ[phase], phase=phase.value)
    event.at_ns = at_ns_of(session.get_bind(), at, at_ns)
    event.detail = dict(detail or {})
    session.add(event)
    row.updated_at = at
    tell(session, row, phase)


def tell(session: Session, row: MigrationRow, what: str) -> None:
    """Those who listen to the stream of events."""
    at = now(session.get_bind())
    outbox.add(session, event_of(what), at, server_id=row.server_id, host=row.destination, status=row.status)


def entries(events: Iterable[MigrationEventRow | Row[Any]]) -> tuple[TimelineEntry, ...]:
    """The timeline that these rows are, in the order of its times."""
    found = (TimelineEntry(event.phase, event.at_ns, event.detail) for event in events)
    return tuple(sorted(found, key=lambda entry: entry.at_ns))


def event_of(what: str) -> str:
    """What the stream calls a phase, or another thing that happens to a migration."""
    return f"migration-{what.replace(' ', '-')}"


def at_ns_of(bind: Engine | Connection, at: datetime, at_ns: int | None) -> int:
    """The time that is kept of what happened at `at_ns` of this machine's clock, or if that is None at `at`."""
    return _ns(at) if at_ns is None else at_ns + ahead_ns(bind)


def _ns(at: datetime) -> int:
    return round(at.timestamp() * 1e9)
