"""Operations in the database, for whoever drives one.

A row holds what is wanted. Whoever drives an operation has its newest epoch; writes with an older one raise StaleEpoch.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, bindparam, func, select
from sqlalchemy.orm import Session

from kedge.core.operation import Ahead, Outlook, State, Tried
from kedge.model.errors import Conflict, StaleEpoch
from kedge.model.operation import Abort, Operation, OperationKind, OperationLimits, Outcome
from kedge.model.server import MigrationStatus, Server
from kedge.model.transition import Stage
from kedge.store import now, reading, statements, transaction
from kedge.store.tables import MigrationRow, OperationItemRow, OperationRow, ServerRow

from .rows import item_for, owned, row_of, state_of, tell

Pulse = tuple[Any, ...]
"""Of an operation: as long as it is the same, nothing that it is made of has changed."""

_OF_IT = OperationItemRow.operation_id == OperationRow.id
_PULSE = select(
    OperationRow.epoch,
    OperationRow.updated_at,
    select(func.count())
    .select_from(OperationItemRow)
    .join(MigrationRow, MigrationRow.id == OperationItemRow.migration_id)
    .where(_OF_IT, MigrationRow.finished_at.is_(None))
    .scalar_subquery(),
    select(func.count()).select_from(OperationItemRow).where(_OF_IT).scalar_subquery(),
    select(func.count())
    .where(OperationRow.host != "", ServerRow.host == OperationRow.host)
    .scalar_subquery(),
).where(OperationRow.id == bindparam("this"))

_NEEDS_NO_ROOM = {State.ARRIVED, State.GONE, State.STUCK}
_MOVED_ON = "somebody moved or paused it meanwhile"


@dataclass(frozen=True)
class Intents:
    """What people want of an operation; `left` has the servers that are left where they are, and why."""

    paused: bool
    abort: Abort | None
    left: Mapping[str, str]


class DrivenOperations:
    """What a conductor writes down of the operations that it drives."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take_over(self, operation_id: str) -> int:
        """Begin to drive it: a new epoch. Raises StaleEpoch if it has ended."""
        with transaction(self._engine) as session:
            row = row_of(session, operation_id)
            if row.finished_at is not None:
                raise StaleEpoch(f"Operation {row.id} has ended already: {row.outcome}.")
            row.epoch += 1
            return row.epoch

    def intents(self, operation_id: str) -> Intents:
        """What is wanted now."""
        with reading(self._engine) as session:
            row = row_of(session, operation_id)
            left = {item.server_id: item.left for item in row.items if item.left is not None}
            return Intents(row.paused, Abort(row.abort) if row.abort else None, left)

    def ahead(self, operation: Operation) -> tuple[Ahead, ...]:
        """The servers of operations of higher priority that wait for nothing but a place in somebody's limits."""
        others = select(OperationRow.id, OperationRow.targets, OperationRow.limits).where(
            OperationRow.finished_at.is_(None),
            OperationRow.abort.is_(None),
            ~OperationRow.paused,
            OperationRow.id != operation.id,
        )
        with reading(self._engine) as session:
            targets = {
                row.id: row.targets
                for row in session.execute(others)
                if row.limits.get("priority", 0) > operation.limits.priority
            }
            if not targets:
                return ()
            items = select(OperationItemRow).where(
                OperationItemRow.open,
                OperationItemRow.operation_id.in_(targets),
                OperationItemRow.state == State.WAITING.value,
            )
            return tuple(
                Ahead(item.source, tuple(item.hosts or targets[item.operation_id]))
                for item in session.scalars(items)
                if not item.why
            )

    def pulse(self, operation_id: str) -> Pulse | None:
        """What tells that there is something to do, in one statement; None if it is gone."""
        with statements(self._engine, read_only=True) as connection:
            row = connection.execute(_PULSE, {"this": operation_id}).one_or_none()
        return None if row is None else tuple(row)

    def harvest(self, operation_id: str, epoch: int) -> None:
        """Write down what came of the migrations that have ended, and take in what came to hosts looked after."""
        with transaction(self._engine) as session:
            row = owned(session, operation_id, epoch)
            for item in row.items:
                if item.migration_id is not None:
                    _look_at_end(session, item)
            for host in _watched(row):
                _take_newcomers(session, row, host)

    def refuse(self, operation_id: str, epoch: int, server_id: str, tried: Tried) -> None:
        """Write down that a plan refused this destination."""
        with transaction(self._engine) as session:
            item = _item_of(owned(session, operation_id, epoch), server_id)
            item.tried = [*item.tried, asdict(tried)]
            if item.planned == tried.host:
                item.planned = None

    def claim(self, operation_id: str, epoch: int, server: Server) -> Callable[[Session, str], None]:
        """Makes a migration the operation's own, in the transaction that begins it, if it is still wanted then."""

        def within(session: Session, migration_id: str) -> None:
            row = owned(session, operation_id, epoch)
            item, now_on = _item_of(row, server.id), session.get(ServerRow, server.id)
            moved = now_on is None or now_on.host != server.host
            if row.paused or row.abort or item.migration_id or moved:
                raise Conflict(f"Server {server.name} is not moved: {_MOVED_ON}.")
            item.migration_id, item.migrations = migration_id, [*item.migrations, migration_id]
            # What was planned is now the migration's. A server of a transition is to come back.
            leaves = row.transition is not None and server.host == item.source
            item.planned = item.source if leaves else None

        return within

    def show(
        self, seen: Operation, epoch: int, outlooks: Mapping[str, Outlook], outcome: Outcome | None
    ) -> bool:
        """Let people see how the servers stand; with an outcome, end the operation. Says whether it has ended.

        It does not end if something else is wanted than when it was `seen`.
        """
        with transaction(self._engine) as session:
            row = owned(session, seen.id, epoch)
            for item in row.items:
                outlook = outlooks.get(item.server_id)
                if outlook and (item.state, item.why) != (outlook.state.value, list(outlook.why)):
                    item.state, item.why = outlook.state.value, list(outlook.why)
                    row.updated_at = now(self._engine)
                if outlook and outlook.state in _NEEDS_NO_ROOM and item.planned != item.source:
                    item.planned = None
            if outcome is None or state_of(row) != seen.state or seen.limits != OperationLimits(**row.limits):
                return False
            row.outcome, row.finished_at = outcome.value, now(self._engine)
            for item in row.items:
                item.open, item.planned = False, None
            for its in row.hosts:
                its.open = False
            tell(session, row, "ended")
            return True


def _look_at_end(session: Session, item: OperationItemRow) -> None:
    migration = session.scalars(select(MigrationRow).where(MigrationRow.id == item.migration_id)).first()
    if migration is None or migration.finished_at is None:
        item.migration_id = None if migration is None else item.migration_id
        return
    item.migration_id = None
    if migration.status == MigrationStatus.COMPLETED.value:
        return
    if migration.status == MigrationStatus.CANCELLED.value:
        item.left = f"its migration {migration.id} was aborted"
        return
    tried = Tried(
        migration.destination, migration.error or "it failed", at_s=migration.finished_at.timestamp()
    )
    item.tried = [*item.tried, asdict(tried)]


def _watched(row: OperationRow) -> list[str]:
    if row.kind == OperationKind.DRAIN.value:
        return [row.host]
    return [each.host for each in row.hosts if each.stage in {Stage.EMPTYING.value, Stage.REWIRING.value}]


def _take_newcomers(session: Session, row: OperationRow, host: str) -> None:
    done = {each.host for each in row.hosts if each.stage == Stage.DONE.value}
    known = {item.server_id: item for item in row.items}
    there = session.scalars(select(ServerRow).where(ServerRow.host == host)).all()
    for server in there:
        if server.id in known and known[server.id].source in done:
            known[server.id].source = host
    new = [each for each in there if each.id not in known]
    taken = set(
        session.scalars(
            select(OperationItemRow.server_id).where(
                OperationItemRow.open, OperationItemRow.server_id.in_([each.id for each in new])
            )
        )
    )
    row.items.extend(
        item_for(row.id, Server(each.id, each.name, each.host, each.status))
        for each in new
        if each.id not in taken
    )


def _item_of(row: OperationRow, server_id: str) -> OperationItemRow:
    return next(item for item in row.items if item.server_id == server_id)
