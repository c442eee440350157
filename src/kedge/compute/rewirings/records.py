"""Rewirings in the database: what is wanted, who drives them, and what is known to be done.

Whoever drives one has its newest epoch; writes with an older one raise StaleEpoch. A server has one unfinished rewiring
or migration at most.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kedge.model.errors import Conflict, NotFound, StaleEpoch
from kedge.model.network import VifType
from kedge.model.rewiring import RewiredPort, Rewiring, RewiringOutcome, Wiring
from kedge.model.server import Server
from kedge.store import batched, now, outbox, reading, transaction
from kedge.store.tables import RewiringRow, ServerRow

from ..records.migrations import next_epoch, refuse_second_migration
from ..records.rooms import lock_promises


class RewiringRecords:
    """The rewirings."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(
        self,
        server: Server,
        backend: str,
        ports: Sequence[RewiredPort],
        claim: Callable[[Session, str], None] = lambda _session, _rewiring_id: None,
    ) -> Rewiring:
        """Store a new rewiring; `claim` is called in the transaction that does.

        Raises Conflict if the server is migrated or rewired already, or has left its host, and what `claim` raises.
        """
        row = RewiringRow(
            id=str(uuid.uuid4()), server_id=server.id, host=server.host, backend=backend, ports=_stored(ports)
        )
        try:
            with transaction(self._engine) as session:
                lock_promises(session)  # as whoever begins a migration does
                refuse_second_migration(session, server.id)
                there = session.get(ServerRow, server.id)
                if there is None or there.host != server.host:
                    raise Conflict(f"Server {server.name} has left {server.host}; look again.")
                row.created_at = row.updated_at = _now(session)
                session.add(row)
                claim(session, row.id)
                _tell(session, row, "begun")
        except IntegrityError:
            raise Conflict(f"Another rewiring of server {server.name} has just begun.") from None
        return self.find(row.id)

    def find(self, rewiring_id: str) -> Rewiring:
        """The rewiring with this id, or the only one whose id begins so. Raises NotFound."""
        with reading(self._engine) as session:
            rows = session.scalars(
                select(RewiringRow).where(RewiringRow.id.startswith(rewiring_id, autoescape=True)).limit(2)
            ).all()
            if len(rows) != 1:
                raise NotFound(f"There is no rewiring {rewiring_id!r}; `kedge rewirings list` shows them.")
            return _rewiring(rows[0])

    def all(self, server_id: str | None = None, limit: int = 100) -> list[Rewiring]:
        """The rewirings, of one server if it is named, the newest first."""
        wanted = select(RewiringRow).order_by(RewiringRow.number.desc()).limit(limit)
        if server_id is not None:
            wanted = wanted.where(RewiringRow.server_id == server_id)
        with reading(self._engine) as session:
            return [_rewiring(row) for row in session.scalars(wanted)]

    def latest(self, server_ids: Iterable[str]) -> dict[str, Rewiring]:
        """The last one of each of these servers that has had one."""
        found: dict[str, Rewiring] = {}
        with reading(self._engine) as session:
            for some in batched(server_ids):
                last = select(func.max(RewiringRow.number)).group_by(RewiringRow.server_id)
                wanted = select(RewiringRow).where(
                    RewiringRow.number.in_(last.where(RewiringRow.server_id.in_(some)))
                )
                found |= {row.server_id: _rewiring(row) for row in session.scalars(wanted)}
        return found

    def unfinished(self) -> list[str]:
        """The ids of those that somebody must drive."""
        with reading(self._engine) as session:
            return list(session.scalars(select(RewiringRow.id).where(RewiringRow.finished_at.is_(None))))

    def request_abort(self, rewiring_id: str) -> Rewiring:
        """Ask for an abort. Raises Conflict if it has ended, or nothing is taken back any more."""
        found = self.find(rewiring_id)
        with transaction(self._engine) as session:
            row = _row(session, found.id)
            if row.finished_at is not None:
                raise Conflict(f"Rewiring {row.id} has ended already: {row.outcome}.")
            if row.committed:
                raise Conflict(f"Rewiring {row.id} has moved every port already, and only cleans up.")
            row.abort_requested, row.updated_at = True, _now(session)
        return self.find(found.id)

    # For whoever drives it.

    def take_over(self, rewiring_id: str) -> int:
        """Begin to drive it: a new epoch. Raises StaleEpoch if it has ended."""
        with transaction(self._engine) as session:
            row = _row(session, rewiring_id)
            if row.finished_at is not None:
                raise StaleEpoch(f"Rewiring {rewiring_id} has ended already: {row.outcome}.")
            row.epoch = next_epoch(session)
            return row.epoch

    def known(self, rewiring_id: str, epoch: int) -> RewiringRow:
        """The row, as it is now, for looking only. Raises StaleEpoch."""
        with reading(self._engine) as session:
            row = _owned(session, rewiring_id, epoch)
            session.expunge(row)
            return row

    def give_up(self, rewiring_id: str, epoch: int, why: str) -> None:
        """Write down why it can't go on; the first reason stays, and nothing is given up after the commit."""
        with transaction(self._engine) as session:
            row = _owned(session, rewiring_id, epoch)
            if not row.committed:
                row.error, row.updated_at = row.error or why, _now(session)

    def note(
        self,
        rewiring_id: str,
        epoch: int,
        *,
        prepared: bool = False,
        left: bool = False,
        failed: bool = False,
        blackout_ms: Mapping[str, float] | None = None,
    ) -> None:
        """Write down what an agent has answered: what is done, what failed, and blackouts by port."""
        with transaction(self._engine) as session:
            row = _owned(session, rewiring_id, epoch)
            row.prepared, row.left = row.prepared or prepared, row.left or left
            row.tries += failed
            if blackout_ms:
                row.ports = [
                    port | {"blackout_ms": blackout_ms.get(port["port_id"], port["blackout_ms"])}
                    for port in row.ports
                ]
            row.updated_at = _now(session)

    def commit(self, session: Session, rewiring_id: str, epoch: int) -> None:
        """In the transaction that changes the bindings. Raises StaleEpoch; Conflict if it is not wanted any more."""
        row = _owned(session, rewiring_id, epoch)
        if row.abort_requested or row.error:
            raise Conflict(f"Rewiring {rewiring_id} is being taken back.")
        row.committed, row.updated_at = True, _now(session)

    def finish(self, rewiring_id: str, epoch: int, why: str = "") -> Rewiring:
        """End it. `why` says what of it is left to a person."""
        with transaction(self._engine) as session:
            row = _owned(session, rewiring_id, epoch)
            if why:
                row.error = f"{row.error}; {why}" if row.error else why
            outcome = RewiringOutcome.FAILED if row.error else RewiringOutcome.ABORTED
            row.outcome = (RewiringOutcome.COMPLETED if row.committed else outcome).value
            row.finished_at = row.updated_at = _now(session)
            _tell(session, row, "ended")
        return self.find(rewiring_id)


def changes_of(row: RewiringRow) -> list[RewiredPort]:
    """The ports of a row."""
    return [_port(each) for each in row.ports]


def _now(session: Session) -> datetime:
    return now(session.get_bind())


def _row(session: Session, rewiring_id: str) -> RewiringRow:
    found = session.scalars(
        select(RewiringRow).where(RewiringRow.id == rewiring_id).with_for_update()
    ).one_or_none()
    if found is None:
        raise StaleEpoch(f"There is no rewiring {rewiring_id!r}. Somebody deleted it while it was under way.")
    return found


def _owned(session: Session, rewiring_id: str, epoch: int) -> RewiringRow:
    row = session.scalars(select(RewiringRow).where(RewiringRow.id == rewiring_id)).one_or_none()
    if row is None or row.epoch != epoch or row.finished_at is not None:
        raise StaleEpoch(f"Rewiring {rewiring_id} has ended, or another conductor drives it now.")
    return row


def _tell(session: Session, row: RewiringRow, what: str) -> None:
    status = row.outcome or "running"
    outbox.add(
        session, f"rewiring-{what}", _now(session), server_id=row.server_id, host=row.host, status=status
    )


def _state(row: RewiringRow) -> str:
    if row.outcome:
        return row.outcome
    if row.committed:
        return "settling"
    return "aborting" if row.abort_requested or row.error else "running"


def _rewiring(row: RewiringRow) -> Rewiring:
    return Rewiring(
        row.id,
        row.server_id,
        row.host,
        row.backend,
        _state(row),
        tuple(changes_of(row)),
        row.error,
        row.created_at,
        row.finished_at,
    )


def _stored(ports: Sequence[RewiredPort]) -> list[dict[str, Any]]:
    return [asdict(replace(port, before=_plain(port.before), after=_plain(port.after))) for port in ports]


def _plain(wiring: Wiring) -> Wiring:
    return replace(wiring, vif_details=dict(wiring.vif_details))


def _port(stored: Mapping[str, Any]) -> RewiredPort:
    return RewiredPort(**{**stored, "before": _wiring(stored["before"]), "after": _wiring(stored["after"])})


def _wiring(stored: Mapping[str, Any]) -> Wiring:
    return Wiring(VifType(stored["vif_type"]), stored["vif_details"], stored["driver"])


__all__ = ["RewiringRecords", "changes_of"]
