"""The outbox: what happened, written in the transaction that made it happen, and read by those who wait for it.

Numbers grow, but on PostgreSQL a transaction may commit after another one that took a higher number. Whoever reads
with a cursor must not step over it, so `tip` says how far it is safe to read.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from .tables import EventRow

SETTLED = timedelta(seconds=5)
"""A transaction that has not committed by then was rolled back: Kedge's take milliseconds."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a port or a server; an id that does not apply is ""."""

    number: int
    name: str
    server_id: str
    port_id: str
    host: str
    status: str
    at: datetime


def add(
    session: Session,
    name: str,
    at: datetime,
    *,
    server_id: str = "",
    port_id: str = "",
    host: str = "",
    status: str = "completed",
) -> None:
    """Note that something happens in this transaction."""
    session.add(EventRow(name=name, at=at, server_id=server_id, port_id=port_id, host=host, status=status))


def unsent(session: Session, limit: int) -> list[Event]:
    """Events that Nova has not taken yet, in their order."""
    query = select(EventRow).where(EventRow.sent_at.is_(None)).order_by(EventRow.number).limit(limit)
    return [_event(row) for row in session.scalars(query)]


def mark_sent(session: Session, numbers: Collection[int], at: datetime) -> None:
    """Note that Nova has taken these, or never will."""
    session.execute(update(EventRow).where(EventRow.number.in_(numbers)).values(sent_at=at))


def tip(session: Session, now: datetime) -> int:
    """The number up to which nothing can come in between any more; 0 if there was nothing yet."""
    if session.get_bind().dialect.name == "sqlite":  # where one transaction follows the other
        return session.scalar(select(func.max(EventRow.number))) or 0
    recent = EventRow.at > now - SETTLED
    settled = session.scalar(select(func.max(EventRow.number)).where(~recent)) or 0
    later = select(EventRow.number).where(EventRow.number > settled).order_by(EventRow.number)
    for number in session.scalars(later):
        if number != settled + 1:
            break
        settled = number
    return settled


def ends(session: Session) -> tuple[int, int]:
    """The numbers of the oldest event that is kept and of the newest; 0 and 0 if there is none."""
    first, last = session.execute(select(func.min(EventRow.number), func.max(EventRow.number))).one()
    return first or 0, last or 0


def between(
    session: Session,
    after: int,
    up_to: int,
    limit: int,
    *,
    server_ids: Sequence[str] = (),
    port_ids: Sequence[str] = (),
) -> list[Event]:
    """Events with higher numbers than `after`, in their order; with ids, only those of one of them."""
    query = select(EventRow).where(EventRow.number > after, EventRow.number <= up_to)
    if server_ids:
        query = query.where(EventRow.server_id.in_(server_ids))
    if port_ids:
        query = query.where(EventRow.port_id.in_(port_ids))
    return [_event(row) for row in session.scalars(query.order_by(EventRow.number).limit(limit))]


def prune(session: Session, before: datetime) -> tuple[int, int]:
    """Delete what is older, but the last one, after which the numbers go on.

    Returns how many went, and how many of them Nova never took.
    """
    old = EventRow.at < before
    old &= EventRow.number < ends(session)[1]
    lost = session.scalar(select(func.count()).where(old, EventRow.sent_at.is_(None))) or 0
    gone = session.scalar(select(func.count()).where(old)) or 0
    if gone:
        session.execute(delete(EventRow).where(old))
    return gone, lost


def _event(row: EventRow) -> Event:
    return Event(row.number, row.name, row.server_id, row.port_id, row.host, row.status, row.at)
