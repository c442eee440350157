"""Waiting for news of migrations: costs no thread, and one look at the database serves all who wait."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from anyio import CapacityLimiter, to_thread
from fastapi import Request

from kedge.model.caller import counted_as
from kedge.model.errors import KedgeError
from kedge.model.server import Migration

from .records import MigrationRecords

POLL_S = 0.05
PER_CALLER = 100
IN_ALL = 1000


class TooManyWaits(KedgeError):
    """The caller waits for enough already."""

    status = 429


class Waits:
    """All who wait in this process. Root's, on the Unix socket, are not counted."""

    def __init__(
        self, migrations: MigrationRecords, *, per_caller: int = PER_CALLER, in_all: int = IN_ALL
    ) -> None:
        self._migrations = migrations
        self._per_caller, self._in_all = per_caller, in_all
        self._callers: Counter[str] = Counter()
        self._ids: Counter[str] = Counter()
        self._looking = asyncio.Lock()
        self._thread = CapacityLimiter(1)
        self._seen: dict[str, datetime] = {}
        self._looked_at = float("-inf")

    async def for_news(self, request: Request, migration_id: str, seconds: float) -> Migration:
        """The migration when it has ended, is written to, or the time is over. Raises TooManyWaits and NotFound."""
        ends = time.monotonic() + seconds
        with self._place(request, migration_id):
            # Looked at before it is read, so no change falls between the two.
            began_with = (await self._look(time.monotonic())).get(migration_id)
            found = await self._find(migration_id)
            while (
                found.finished_at is None and time.monotonic() < ends and not await request.is_disconnected()
            ):
                await asyncio.sleep(POLL_S)
                if (await self._look(time.monotonic() - POLL_S)).get(migration_id) != began_with:
                    return await self._find(migration_id)
            return found

    async def _find(self, migration_id: str) -> Migration:
        return await to_thread.run_sync(self._migrations.find, migration_id)

    @contextmanager
    def _place(self, request: Request, migration_id: str) -> Iterator[None]:
        caller = counted_as(request.scope)
        if caller is not None and self._callers[caller] >= self._per_caller:
            raise TooManyWaits(
                f"{caller} waits {self._per_caller} times already; end some, or ask without wait_ms."
            )
        if caller is not None and self._callers.total() >= self._in_all:
            raise TooManyWaits(f"{self._in_all} callers wait already; ask without wait_ms, or later.")
        counted = () if caller is None else (caller,)
        self._callers.update(counted)
        self._ids[migration_id] += 1
        try:
            yield
        finally:
            self._callers.subtract(counted)
            self._ids.subtract((migration_id,))
            self._callers, self._ids = +self._callers, +self._ids

    async def _look(self, not_before: float) -> dict[str, datetime]:
        """When each that is waited for was written to last; of a look that is no older."""
        async with self._looking:
            if self._looked_at < not_before:
                began, ids = time.monotonic(), tuple(self._ids)
                self._seen = await to_thread.run_sync(self._migrations.changes, ids, limiter=self._thread)
                self._looked_at = began
            return self._seen
