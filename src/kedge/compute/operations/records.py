"""Operations in the database, as people ask for them and look at them.

A server is in one unfinished operation at most: the database itself holds that.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from sqlalchemy import Engine, and_, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kedge.model.errors import Conflict
from kedge.model.host_facts import MemoryFacts
from kedge.model.operation import Abort, Operation, OperationKind, OperationLimits
from kedge.model.rebalance import Levelling
from kedge.model.server import Server
from kedge.model.transition import Stage, Transition
from kedge.store import now, reading, transaction
from kedge.store.tables import OperationHostRow, OperationItemRow, OperationRow

from ..records.rooms import lock_promises, refuse_plan
from .rows import item_for, operation_of, row_of, tell
from .transition.records import forget_trouble, host_rows
from .transition.ways import Ways


class OperationRecords:
    """The operations: what is wanted of them, and how their servers stand."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def add(
        self,
        kind: OperationKind,
        host: str,
        targets: Sequence[str],
        servers: Sequence[Server],
        *,
        destinations: Mapping[str, Sequence[str]],
        levelling: Levelling | None,
        limits: OperationLimits,
        prediction: Mapping[str, Any],
        policy: str | None = None,
        transition: Transition | None = None,
        ways: Ways | None = None,
        planned: Mapping[str, str] = MappingProxyType({}),
        memory: Mapping[str, MemoryFacts] = MappingProxyType({}),
    ) -> Operation:
        """Store a new operation. Raises Conflict, which names the rival that has one of its hosts or servers.

        The servers in `planned` are promised room on these hosts, of which `memory` is what they said. Raises RoomTaken
        if somebody else was promised it meanwhile.
        """
        operation_id = str(uuid.uuid4())
        hosts = transition.hosts if transition else (host,) if host else ()
        try:
            with transaction(self.engine) as session:
                lock_promises(session)
                _refuse_rivals(session, hosts, servers)
                refuse_plan(session, planned, memory)
                at = now(self.engine)
                row = OperationRow(id=operation_id, kind=kind.value, host=host, targets=list(targets))
                row.limits, row.prediction, row.policy = asdict(limits), dict(prediction), policy
                row.created_at = row.updated_at = at
                if transition is not None:
                    row.transition = asdict(transition)
                    row.hosts = host_rows(operation_id, transition, ways or Ways(), at)
                row.levelling = None if levelling is None else asdict(levelling)
                row.items = [
                    item_for(operation_id, each, destinations.get(each.id, ()), planned.get(each.id))
                    for each in servers
                ]
                session.add(row)
                tell(session, row, "begun")
        except IntegrityError:
            raise Conflict("Another operation on this host or these servers has just begun.") from None
        return self.find(operation_id)

    def find(self, operation_id: str) -> Operation:
        """The operation with this id, or the only one whose id begins so. Raises NotFound."""
        with reading(self.engine) as session:
            return operation_of(row_of(session, operation_id))

    def all(self, limit: int = 100) -> list[Operation]:
        """The operations, the newest first."""
        with reading(self.engine) as session:
            rows = session.scalars(select(OperationRow).order_by(OperationRow.number.desc()).limit(limit))
            return [operation_of(row) for row in rows]

    def unfinished(self) -> list[str]:
        """The ids of those that somebody must drive."""
        with reading(self.engine) as session:
            return list(session.scalars(select(OperationRow.id).where(OperationRow.finished_at.is_(None))))

    def unfinished_rebalance(self) -> str | None:
        """The id of one that levels hosts now."""
        wanted = select(OperationRow.id).where(
            OperationRow.kind == OperationKind.REBALANCE.value, OperationRow.finished_at.is_(None)
        )
        with reading(self.engine) as session:
            return session.scalars(wanted.limit(1)).first()

    def claimed(self) -> set[str]:
        """The servers that belong to an unfinished operation."""
        with reading(self.engine) as session:
            return set(session.scalars(select(OperationItemRow.server_id).where(OperationItemRow.open)))

    def last_emptied(self, host: str) -> Operation | None:
        """The drain or transition that took the servers of this host away last."""
        changed = select(OperationHostRow.operation_id).where(
            OperationHostRow.host == host, OperationHostRow.stage != Stage.QUEUED.value
        )
        drained = and_(OperationRow.host == host, OperationRow.kind == OperationKind.DRAIN.value)
        wanted = select(OperationRow).where(or_(drained, OperationRow.id.in_(changed)))
        with reading(self.engine) as session:
            row = session.scalars(wanted.order_by(OperationRow.number.desc()).limit(1)).first()
            return None if row is None else operation_of(row)

    def pause(self, operation_id: str, *, paused: bool) -> Operation:
        """Begin nothing for now, or again; hosts in trouble are then tried again.

        Raises Conflict if it has ended or is being aborted.
        """

        def change(row: OperationRow) -> None:
            if row.abort is not None:
                raise Conflict(f"Operation {row.id} is being aborted.")
            row.paused = paused
            if not paused:
                forget_trouble(row, now(self.engine))

        return self._asked(operation_id, "paused" if paused else "resumed", change)

    def abort(self, operation_id: str, how: Abort) -> Operation:
        """Begin nothing any more, and end once no migration of it is under way."""

        def change(row: OperationRow) -> None:
            row.abort = how.value
            for item in row.items:
                item.planned = None

        return self._asked(operation_id, "abort-asked", change)

    def limit(self, operation_id: str, limits: OperationLimits) -> Operation:
        """Change the limits; the next decision looks at them."""

        def change(row: OperationRow) -> None:
            row.limits = asdict(limits)

        return self._asked(operation_id, "limits-changed", change)

    def _asked(self, operation_id: str, what: str, change: Callable[[OperationRow], None]) -> Operation:
        with transaction(self.engine) as session:
            row = row_of(session, operation_id)
            if row.finished_at is not None:
                raise Conflict(f"Operation {row.id} has ended already: {row.outcome}.")
            change(row)
            row.updated_at = now(self.engine)
            tell(session, row, what)
            found = row.id
        return self.find(found)


def _refuse_rivals(session: Session, hosts: Sequence[str], servers: Sequence[Server]) -> None:
    of_one = select(OperationRow, OperationRow.host).where(
        OperationRow.host.in_(hosts), OperationRow.finished_at.is_(None)
    )
    of_several = (
        select(OperationRow, OperationHostRow.host)
        .join(OperationHostRow, OperationHostRow.operation_id == OperationRow.id)
        .where(OperationHostRow.host.in_(hosts), OperationHostRow.open)
    )
    for rival, host in (*session.execute(of_one.limit(1)), *session.execute(of_several.limit(1))):
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
