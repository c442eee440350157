"""How long migrations, rewirings and operations are kept after their end."""

import time
from collections.abc import Callable
from datetime import timedelta

import structlog
from sqlalchemy import ColumnElement, Engine, and_, delete, func, select
from sqlalchemy.orm import aliased

from kedge.store import now, transaction
from kedge.store.tables import MigrationRow, OperationHostRow, OperationRow, RewiringRow

_EVERY_S = 3600.0
_AT_ONCE = 1000
"""So many are deleted in one transaction: nobody else waits long for the database."""

log = structlog.get_logger()


class Retention:
    """Deletes migrations, rewirings and operations some days after they ended. Conductors may do so side by side."""

    def __init__(self, engine: Engine, days: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._kept, self._clock = engine, timedelta(days=days), clock
        self._looked_at = float("-inf")

    def prune_now_and_then(self) -> None:
        """Once an hour."""
        if self._clock() - self._looked_at < _EVERY_S:
            return
        self._looked_at = self._clock()
        gone = 0
        while deleted := self.prune():
            gone += deleted
        if gone:
            log.info("what ended long ago is deleted", count=gone, kept_days=self._kept.days)

    def prune(self) -> int:
        """Delete some that ended too long ago; how many.

        Each server's newest migration and rewiring stay: agents refuse an epoch that is smaller than one they have seen
        for the server, and a new one is larger than all that are kept. Each host's newest operation stays, as a restore
        goes by it.
        """
        return (
            self._prune(MigrationRow, _is_followed(MigrationRow))
            + self._prune(RewiringRow, _is_followed(RewiringRow))
            + self._prune(OperationRow, _is_no_host_s_newest())
        )

    def _prune(
        self, table: type[MigrationRow | RewiringRow | OperationRow], may_go: ColumnElement[bool]
    ) -> int:
        with transaction(self._engine) as session:
            ended = table.finished_at < now(session.get_bind()) - self._kept
            old = select(table.number).where(ended, may_go).order_by(table.number).limit(_AT_ONCE)
            numbers = session.scalars(old).all()
            if numbers:
                session.execute(delete(table).where(table.number.in_(numbers)))
            return len(numbers)


def _is_followed(table: type[MigrationRow | RewiringRow]) -> ColumnElement[bool]:
    """A newer one of the same server is there."""
    later = aliased(table)
    return select(later).where(later.server_id == table.server_id, later.epoch > table.epoch).exists()


def _is_no_host_s_newest() -> ColumnElement[bool]:
    """A newer one is there of each host that it drained, restored or changed."""
    each = aliased(OperationRow)
    of_one = select(func.max(each.number)).where(each.host != "").group_by(each.host)
    of_many = select(func.max(each.number)).join(each.hosts).group_by(OperationHostRow.host)
    return and_(OperationRow.number.not_in(of_one), OperationRow.number.not_in(of_many))
