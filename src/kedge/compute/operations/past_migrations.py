"""What migrations and changes of hosts have cost lately, for those who predict what the next ones will."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, select
from sqlalchemy.orm import Session

from kedge.core.operation import Changed, Finished
from kedge.model.operation import OperationKind
from kedge.model.placement import MIB
from kedge.model.rewiring import RewiringOutcome
from kedge.model.server import MigrationStatus, Phase
from kedge.model.transition import Stage, Transition
from kedge.store import reading
from kedge.store.tables import (
    MigrationEventRow,
    MigrationRow,
    OperationHostRow,
    OperationItemRow,
    OperationRow,
    RewiringRow,
)

RECENT = 24
"""So many are looked at: enough for a median, few enough that they are of today's network and hosts."""

RECENT_HOSTS = 8
"""So many hosts that were changed are looked at."""

_MOST_ITEMS = 500
"""Of operations: a server may have been a part of many."""

_LATEST = (
    select(
        MigrationRow.id,
        MigrationRow.server_id,
        MigrationRow.status,
        MigrationRow.demand,
        MigrationRow.guest_downtime_ms,
        MigrationRow.created_at,
        MigrationRow.finished_at,
    )
    .where(MigrationRow.finished_at.is_not(None))
    .order_by(MigrationRow.number.desc())
    .limit(RECENT)
)


def past_migrations(engine: Engine) -> list[Finished]:
    """Those that began last, of all that have ended."""
    with reading(engine) as session:
        rows = session.execute(_LATEST).all()
        copying = _copying(session, [row.id for row in rows])
        lags = _lags(session, rows)
    return [
        Finished(
            row.demand.get("memory", 0) / MIB,
            row.created_at.timestamp(),
            row.finished_at.timestamp(),
            row.status == MigrationStatus.COMPLETED.value,
            copying.get(row.id),
            row.guest_downtime_ms,
            lags.get(row.id),
        )
        for row in rows
    ]


def past_changes(engine: Engine, following: Transition) -> list[Changed]:
    """What changing the hosts took that transitions changed last, as seen from the one that follows."""
    query = (
        select(OperationHostRow.log, OperationRow.transition)
        .join(OperationRow, OperationRow.id == OperationHostRow.operation_id)
        .where(OperationHostRow.stage == Stage.DONE.value)
        .order_by(OperationRow.number.desc(), OperationHostRow.position.desc())
        .limit(RECENT_HOSTS)
    )
    with reading(engine) as session:
        rows = session.execute(query).all()
    alike = (following.to_backend, following.run)
    found = []
    for row in rows:
        entered = _last_entered(row.log)
        changing, trying, tried = (
            entered.get(Stage.CONVERTING),
            entered.get(Stage.VERIFYING),
            entered.get(Stage.RETURNING) or entered.get(Stage.REWIRING),
        )
        if changing and trying and tried and changing <= trying <= tried:
            change_s, try_s = (trying - changing).total_seconds(), (tried - trying).total_seconds()
            is_alike = (row.transition["to_backend"], row.transition.get("run", "")) == alike
            found.append(Changed(change_s, try_s, is_alike))
    return found


def past_rewirings(engine: Engine) -> list[float]:
    """What each of those that have ended well lately took, in s."""
    query = (
        select(RewiringRow.created_at, RewiringRow.finished_at)
        .where(RewiringRow.outcome == RewiringOutcome.COMPLETED.value)
        .order_by(RewiringRow.number.desc())
        .limit(RECENT)
    )
    with reading(engine) as session:
        return [(row.finished_at - row.created_at).total_seconds() for row in session.execute(query)]


def _last_entered(log: Sequence[Mapping[str, str]]) -> dict[str, datetime]:
    """When a host entered each stage last, as its log says."""
    return {line["what"].partition(":")[0]: datetime.fromisoformat(line["at"]) for line in log}


def _copying(session: Session, ids: Collection[str]) -> dict[str, float]:
    """For how many s the memory of each was copied: until its VM stood still."""
    events = session.execute(
        select(MigrationEventRow.migration_id, MigrationEventRow.phase, MigrationEventRow.at_ns).where(
            MigrationEventRow.migration_id.in_(ids),
            MigrationEventRow.phase.in_([Phase.TRANSFER.value, Phase.PAUSED.value]),
        )
    )
    at: Mapping[str, dict[str, int]] = defaultdict(dict)
    for event in events:
        at[event.migration_id][event.phase] = event.at_ns
    return {
        migration_id: max(0.0, (found[Phase.PAUSED] - found[Phase.TRANSFER]) / 1e9)
        for migration_id, found in at.items()
        if len(found) == 2
    }


def _lags(session: Session, rows: Sequence[Row[Any]]) -> dict[str, float]:
    """How many s passed from when an operation could begin each until it did, of those that one began.

    It could when the operation began, had begun the one before, or when another one of it ended, whichever came last.
    """
    if not rows:
        return {}
    of_operations = session.execute(
        select(OperationRow.id, OperationRow.created_at, OperationItemRow.migrations)
        .join(OperationItemRow, OperationItemRow.operation_id == OperationRow.id)
        .where(
            OperationItemRow.server_id.in_({row.server_id for row in rows}),
            OperationRow.kind != OperationKind.TRANSITION.value,  # in between, hosts are changed
        )
        .order_by(OperationRow.number.desc())
        .limit(_MOST_ITEMS)
    )
    known = {row.id: row for row in rows}
    began: dict[str, datetime] = {}
    members: Mapping[str, list[Row[Any]]] = defaultdict(list)
    for item in of_operations:
        began[item.id] = item.created_at
        members[item.id] += [known[each] for each in item.migrations if each in known]
    return {
        migration_id: lag
        for operation, of_it in members.items()
        for migration_id, lag in _lags_of(began[operation], sorted(of_it, key=lambda row: row.created_at))
    }


def _lags_of(free_at: datetime, migrations: Sequence[Row[Any]]) -> Iterator[tuple[str, float]]:
    for row in migrations:
        ended = [each.finished_at for each in migrations if each.finished_at < row.created_at]
        yield row.id, (row.created_at - max([free_at, *ended])).total_seconds()
        free_at = row.created_at
