"""The rows of operations: how one is found, what it says, and what is told of it."""

from collections.abc import Sequence

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from kedge.model.errors import NotFound, StaleEpoch
from kedge.model.operation import Operation, OperationItem, OperationKind, OperationLimits
from kedge.model.rebalance import Levelling
from kedge.model.server import Server
from kedge.model.transition import Transition, TransitionHost
from kedge.store import now, outbox
from kedge.store.tables import OperationHostRow, OperationItemRow, OperationRow

_HOST = TypeAdapter(TransitionHost)
_TRANSITION = TypeAdapter(Transition)


def row_of(session: Session, operation_id: str) -> OperationRow:
    """The operation with this id, or the only one whose id begins so. Raises NotFound."""
    # No index serves those who ask for the beginning of an id.
    for that in (OperationRow.id == operation_id, OperationRow.id.startswith(operation_id, autoescape=True)):
        rows = session.scalars(select(OperationRow).where(that).limit(2)).all()
        if len(rows) == 1:
            return rows[0]
    raise NotFound(f"There is no operation {operation_id!r}; `GET /kedge/v1/operations` lists them.")


def owned(session: Session, operation_id: str, epoch: int) -> OperationRow:
    """The operation, for whoever drives it with this epoch. Raises StaleEpoch."""
    row = session.scalars(
        select(OperationRow).where(OperationRow.id == operation_id).with_for_update()
    ).one_or_none()
    if row is None or row.epoch != epoch or row.finished_at is not None:
        raise StaleEpoch(f"Operation {operation_id} has ended, or another conductor drives it now.")
    return row


def operation_of(row: OperationRow) -> Operation:
    """The operation as it stands."""
    return Operation(
        row.id,
        OperationKind(row.kind),
        row.host,
        tuple(row.targets),
        state_of(row),
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
                tuple(item.hosts),
                item.rewiring_id,
                item.planned,
            )
            for item in row.items
        ),
        row.prediction,
        row.created_at,
        row.finished_at,
        None if row.finished_at is None else (row.finished_at - row.created_at).total_seconds(),
        None if row.levelling is None else Levelling(**row.levelling),
        transition_of(row),
        tuple(map(host_of, row.hosts)),
        row.policy,
    )


def transition_of(row: OperationRow) -> Transition | None:
    """What is wanted of its hosts."""
    if row.transition is None:
        return None
    return _TRANSITION.validate_python(row.transition)


def host_of(row: OperationHostRow) -> TransitionHost:
    """A host of a transition as it stands."""
    return _HOST.validate_python(
        {
            "host": row.host,
            "stage": row.stage,
            "in_place": row.in_place,
            "trouble": row.trouble,
            "why": row.why,
            "before": row.before,
            "command": row.command,
            "log": row.log,
        }
    )


def state_of(row: OperationRow) -> str:
    """Running, paused, aborting, or how it ended."""
    if row.outcome:
        return row.outcome
    return "aborting" if row.abort else "paused" if row.paused else "running"


def item_for(
    operation_id: str, server: Server, hosts: Sequence[str] = (), planned: str | None = None
) -> OperationItemRow:
    """A row for a server that becomes part of an operation where it is now."""
    return OperationItemRow(
        operation_id=operation_id,
        server_id=server.id,
        name=server.name,
        source=server.host,
        hosts=list(hosts),
        planned=planned,
    )


def tell(session: Session, row: OperationRow, what: str) -> None:
    """Publish what happened to it."""
    state = state_of(row)
    outbox.add(session, f"operation-{what}", now(session.get_bind()), host=row.host, status=state)
