"""Operations in the database.

A row holds what is wanted. Whoever drives an operation has its newest epoch; writes with an older one raise StaleEpoch.
A server is in one unfinished operation at most: the database itself holds that.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kedge.core.operation import Outlook, Running, Tried
from kedge.model.errors import Conflict, NotFound, StaleEpoch
from kedge.model.operation import (
    Abort,
    Operation,
    OperationItem,
    OperationKind,
    OperationLimits,
    Outcome,
)
from kedge.model.server import MigrationStatus, Server
from kedge.store import now, outbox, reading, transaction
from kedge.store.tables import MigrationRow, OperationItemRow, OperationRow, ServerRow

_MOVED_ON = "somebody moved or paused it meanwhile"


@dataclass(frozen=True)
class Intents:
    """What people want of an operation; `left` has the servers that are left where they are, and why."""

    paused: bool
    abort: Abort | None
    left: Mapping[str, str]


class OperationRecords:
    """The operations: what is wanted, who drives them, and how their servers stand."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(
        self,
        kind: OperationKind,
        host: str,
        targets: Sequence[str],
        servers: Sequence[Server],
        *,
        limits: OperationLimits,
        prediction: Mapping[str, Any],
    ) -> Operation:
        """Store a new operation. Raises Conflict, which names the rival that has its host or one of its servers."""
        operation_id = str(uuid.uuid4())
        try:
            with transaction(self._engine) as session:
                _refuse_rivals(session, host, servers)
                at = now(self._engine)
                row = OperationRow(id=operation_id, kind=kind.value, host=host, targets=list(targets))
                row.limits, row.prediction = asdict(limits), dict(prediction)
                row.created_at = row.updated_at = at
                row.items = [_item(operation_id, each) for each in servers]
                session.add(row)
                _tell(session, row, "begun")
        except IntegrityError:
            raise Conflict("Another operation on this host or these servers has just begun.") from None
        return self.find(operation_id)

    def find(self, operation_id: str) -> Operation:
        """The operation with this id, or the only one whose id begins so. Raises NotFound."""
        with reading(self._engine) as session:
            return _operation(_row(session, operation_id))

    def under_way(self) -> list[tuple[Running, int, str]]:
        """Every migration under way, with its epoch and id; `ours` is for the caller to say."""
        wanted = select(MigrationRow).where(MigrationRow.finished_at.is_(None))
        with reading(self._engine) as session:
            return [
                (
                    Running(
                        row.server_id,
                        row.source,
                        row.destination,
                        ending=row.abort_requested,
                        bandwidth_mib=row.options.get("bandwidth_mib", 0),
                    ),
                    row.epoch,
                    row.id,
                )
                for row in session.scalars(wanted)
            ]

    def share(self, migration_id: str, bandwidth_mib: int) -> None:
        """Write down how much bandwidth a running migration has now."""
        with transaction(self._engine) as session:
            row = session.scalars(select(MigrationRow).where(MigrationRow.id == migration_id)).one_or_none()
            if row is not None:
                row.options = {**row.options, "bandwidth_mib": bandwidth_mib}

    def all(self, limit: int = 100) -> list[Operation]:
        """The operations, the newest first."""
        with reading(self._engine) as session:
            rows = session.scalars(select(OperationRow).order_by(OperationRow.number.desc()).limit(limit))
            return [_operation(row) for row in rows]

    def unfinished(self) -> list[str]:
        """The ids of those that somebody must drive."""
        with reading(self._engine) as session:
            return list(session.scalars(select(OperationRow.id).where(OperationRow.finished_at.is_(None))))

    def last_drain(self, host: str) -> Operation | None:
        """The drain of this host that began last."""
        wanted = select(OperationRow).where(
            OperationRow.host == host, OperationRow.kind == OperationKind.DRAIN.value
        )
        with reading(self._engine) as session:
            row = session.scalars(wanted.order_by(OperationRow.number.desc()).limit(1)).first()
            return None if row is None else _operation(row)

    # What people ask for.

    def pause(self, operation_id: str, *, paused: bool) -> Operation:
        """Begin nothing for now, or again. Raises Conflict if it has ended or is being aborted."""

        def change(row: OperationRow) -> None:
            if row.abort is not None:
                raise Conflict(f"Operation {row.id} is being aborted.")
            row.paused = paused

        return self._asked(operation_id, "paused" if paused else "resumed", change)

    def abort(self, operation_id: str, how: Abort) -> Operation:
        """Begin nothing any more, and end once no migration of it is under way."""

        def change(row: OperationRow) -> None:
            row.abort = how.value

        return self._asked(operation_id, "abort-asked", change)

    def limit(self, operation_id: str, limits: OperationLimits) -> Operation:
        """Change the limits; the next decision looks at them."""

        def change(row: OperationRow) -> None:
            row.limits = asdict(limits)

        return self._asked(operation_id, "limits-changed", change)

    def _asked(self, operation_id: str, what: str, change: Callable[[OperationRow], None]) -> Operation:
        with transaction(self._engine) as session:
            row = _row(session, operation_id)
            if row.finished_at is not None:
                raise Conflict(f"Operation {row.id} has ended already: {row.outcome}.")
            change(row)
            row.updated_at = now(self._engine)
            _tell(session, row, what)
            found = row.id
        return self.find(found)

    # For whoever drives it.

    def take_over(self, operation_id: str) -> int:
        """Begin to drive it: a new epoch. Raises StaleEpoch if it has ended."""
        with transaction(self._engine) as session:
            row = _row(session, operation_id)
            if row.finished_at is not None:
                raise StaleEpoch(f"Operation {row.id} has ended already: {row.outcome}.")
            row.epoch += 1
            return row.epoch

    def intents(self, operation_id: str) -> "Intents":
        """What is wanted now."""
        with reading(self._engine) as session:
            row = _row(session, operation_id)
            left = {item.server_id: item.left for item in row.items if item.left is not None}
            return Intents(row.paused, Abort(row.abort) if row.abort else None, left)

    def harvest(self, operation_id: str, epoch: int) -> None:
        """Write down what came of the migrations that have ended, and take in what came to a host that is drained."""
        with transaction(self._engine) as session:
            row = _owned(session, operation_id, epoch)
            for item in row.items:
                if item.migration_id is not None:
                    _look_at_end(session, item)
            if row.kind == OperationKind.DRAIN.value:
                _take_newcomers(session, row)

    def refuse(self, operation_id: str, epoch: int, server_id: str, tried: Tried) -> None:
        """Write down that a plan refused this destination."""
        with transaction(self._engine) as session:
            item = _item_of(_owned(session, operation_id, epoch), server_id)
            item.tried = [*item.tried, asdict(tried)]

    def claim(self, operation_id: str, epoch: int, server: Server) -> Callable[[Session, str], None]:
        """Makes a migration the operation's own, in the transaction that begins it, if it is still wanted then."""

        def within(session: Session, migration_id: str) -> None:
            row = _owned(session, operation_id, epoch)
            item, now_on = _item_of(row, server.id), session.get(ServerRow, server.id)
            moved = now_on is None or now_on.host != server.host
            if row.paused or row.abort or item.migration_id or moved:
                raise Conflict(f"Server {server.name} is not moved: {_MOVED_ON}.")
            item.migration_id, item.migrations = migration_id, [*item.migrations, migration_id]

        return within

    def show(
        self, seen: Operation, epoch: int, outlooks: Mapping[str, Outlook], outcome: Outcome | None
    ) -> bool:
        """Let people see how the servers stand; with an outcome, end the operation. Says whether it has ended.

        It does not end if something else is wanted than when it was `seen`.
        """
        with transaction(self._engine) as session:
            row = _owned(session, seen.id, epoch)
            for item in row.items:
                outlook = outlooks.get(item.server_id)
                if outlook and (item.state, item.why) != (outlook.state.value, list(outlook.why)):
                    item.state, item.why = outlook.state.value, list(outlook.why)
                    row.updated_at = now(self._engine)
            if outcome is None or _state(row) != seen.state or asdict(seen.limits) != row.limits:
                return False
            row.outcome, row.finished_at = outcome.value, now(self._engine)
            for item in row.items:
                item.open = False
            _tell(session, row, "ended")
            return True


def _refuse_rivals(session: Session, host: str, servers: Sequence[Server]) -> None:
    if host:
        rival = session.scalars(
            select(OperationRow).where(OperationRow.host == host, OperationRow.finished_at.is_(None))
        ).first()
        if rival is not None:
            raise Conflict(
                f"Host {host} has a {rival.kind} under way, operation {rival.id}; wait for it, or abort it."
            )
    ids = [each.id for each in servers]
    taken = session.scalars(
        select(OperationItemRow).where(OperationItemRow.open, OperationItemRow.server_id.in_(ids)).limit(1)
    ).first()
    if taken is not None:
        raise Conflict(
            f"Server {taken.name} belongs to operation {taken.operation_id}, which has not ended;"
            " wait for it, or abort it."
        )


def _look_at_end(session: Session, item: OperationItemRow) -> None:
    migration = session.scalars(select(MigrationRow).where(MigrationRow.id == item.migration_id)).first()
    if migration is not None and migration.finished_at is None:
        return
    item.migration_id = None
    if migration is None or migration.status == MigrationStatus.COMPLETED.value:
        return
    if migration.status == MigrationStatus.CANCELLED.value:
        item.left = f"its migration {migration.id} was aborted"
        return
    item.tried = [*item.tried, asdict(Tried(migration.destination, migration.error or "it failed"))]


def _take_newcomers(session: Session, row: OperationRow) -> None:
    known = {item.server_id for item in row.items}
    there = session.scalars(select(ServerRow).where(ServerRow.host == row.host))
    new = [each for each in there if each.id not in known]
    taken = set(
        session.scalars(
            select(OperationItemRow.server_id).where(
                OperationItemRow.open, OperationItemRow.server_id.in_([each.id for each in new])
            )
        )
    )
    row.items.extend(
        _item(row.id, Server(each.id, each.name, each.host, each.status))
        for each in new
        if each.id not in taken
    )


def _item(operation_id: str, server: Server) -> OperationItemRow:
    return OperationItemRow(
        operation_id=operation_id, server_id=server.id, name=server.name, source=server.host
    )


def _item_of(row: OperationRow, server_id: str) -> OperationItemRow:
    return next(item for item in row.items if item.server_id == server_id)


def _row(session: Session, operation_id: str) -> OperationRow:
    rows = session.scalars(
        select(OperationRow).where(OperationRow.id.startswith(operation_id, autoescape=True)).limit(2)
    ).all()
    if len(rows) != 1:
        raise NotFound(f"There is no operation {operation_id!r}; `GET /kedge/v1/operations` lists them.")
    return rows[0]


def _owned(session: Session, operation_id: str, epoch: int) -> OperationRow:
    row = session.scalars(
        select(OperationRow).where(OperationRow.id == operation_id).with_for_update()
    ).one_or_none()
    if row is None or row.epoch != epoch or row.finished_at is not None:
        raise StaleEpoch(f"Operation {operation_id} has ended, or another conductor drives it now.")
    return row


def _tell(session: Session, row: OperationRow, what: str) -> None:
    state = _state(row)
    outbox.add(session, f"operation-{what}", now(session.get_bind()), host=row.host, status=state)


def _state(row: OperationRow) -> str:
    if row.outcome:
        return row.outcome
    return "aborting" if row.abort else "paused" if row.paused else "running"


def _operation(row: OperationRow) -> Operation:
    return Operation(
        row.id,
        OperationKind(row.kind),
        row.host,
        tuple(row.targets),
        _state(row),
        OperationLimits(**row.limits),
        tuple(
            OperationItem(
                item.server_id,
                item.name,
                item.source,
                item.state,
                tuple(item.why),
                tuple(item.tried),
                tuple(item.migrations),
            )
            for item in row.items
        ),
        row.prediction,
        row.created_at,
        row.finished_at,
    )


__all__ = ["OperationRecords"]
