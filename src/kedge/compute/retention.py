"""How long ended migrations are kept."""

import time
from collections.abc import Callable
from datetime import timedelta

import structlog
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import aliased

from kedge.store import now, transaction
from kedge.store.tables import MigrationRow

_EVERY_S = 3600.0
_AT_ONCE = 1000
"""So many are deleted in one transaction: nobody else waits long for the database."""

log = structlog.get_logger()


class Retention:
    """Deletes migrations, with their timelines, some days after they ended. Conductors may do so side by side."""

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
            log.info("old migrations are deleted", count=gone, kept_days=self._kept.days)

    def prune(self) -> int:
        """Delete some that ended too long ago; how many. Each server's newest stays.

        Agents refuse an epoch that is smaller than one they have seen for the server, and a new one is larger than all
        that are kept.
        """
        with transaction(self._engine) as session:
            later = aliased(MigrationRow)
            followed = select(later).where(
                later.server_id == MigrationRow.server_id, later.epoch > MigrationRow.epoch
            )
            old = select(MigrationRow.number).where(
                MigrationRow.finished_at < now(session.get_bind()) - self._kept, followed.exists()
            )
            numbers = session.scalars(old.order_by(MigrationRow.number).limit(_AT_ONCE)).all()
            if numbers:
                session.execute(delete(MigrationRow).where(MigrationRow.number.in_(numbers)))
            return len(numbers)
