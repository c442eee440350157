"""Waiting for news of migrations: costs no thread, and one look at the database serves all who wait.

What is written by this process wakes who waits for it; for what others write, the database is looked at now and then.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from anyio import CapacityLimiter, to_thread
from fastapi import Request

from kedge.model.caller import counted_as
from kedge.model.errors import KedgeError
from kedge.model.server import Migration

from .migrations import MigrationRecords
from .plain_records import Change

POLL_S = 0.25
GATHER_S = 0.5
"""News that come closer together make one answer; the end of a migration is told at once."""

_WHOLE = 36
"""The length of an id; a shorter one is the beginning of one."""

PER_CALLER = 100
IN_ALL = 1000


class TooManyWaits(KedgeError):
    """The caller waits for enough already."""

    status = 429


@dataclass
class _Told:
    """How often this process has written to a migration that somebody waits for, and whether that ended it."""

    times: int = 0
    ended: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Waits:
    """All who wait in this process. Root's, on the Unix socket, are not counted."""

    def __init__(
        self, migrations: MigrationRecords, *, per_caller: int = PER_CALLER, in_all: int = IN_ALL
    ) -> None:
        self._migrations = migrations
        self._per_caller, self._in_all = per_caller, in_all
        self._callers: Counter[str] = Counter()
        self._ids: Counter[str] = Counter()
        self._told: dict[str, _Told] = {}
        self._looking = asyncio.Lock()
        self._thread = CapacityLimiter(1)
        self._seen: dict[str, Change] = {}
        self._looked_at = float("-inf")
        self._loop: asyncio.AbstractEventLoop | None = None
        migrations.listen(self._written)

    async def for_news(self, request: Request, migration_id: str, seconds: float) -> Migration:
        """The migration when it has ended, is written to, or the time is over. Raises TooManyWaits and NotFound."""
        began = time.monotonic()
        self._loop = asyncio.get_running_loop()
        if len(migration_id) < _WHOLE:
            migration_id = (await self._find(migration_id)).id
        with self._place(request, migration_id) as told:
            times = told.times
            began_with = (await self._look(began)).get(migration_id)
            ended, news, waited = began_with is None or began_with.ended, False, 0.0
            while not ended and waited < (GATHER_S if news else seconds):
                if await request.is_disconnected():
                    break
                left = (GATHER_S if news else seconds) - waited
                with suppress(TimeoutError):
                    await asyncio.wait_for(told.news.wait(), min(POLL_S, max(left, 0.0)))
                waited = time.monotonic() - began
                if told.times != times:
                    news, ended = True, told.ended
                else:
                    seen = (await self._look(time.monotonic() - POLL_S / 2)).get(migration_id)
                    news, ended = seen != began_with, seen is None or seen.ended
            return await self._find(migration_id)

    def _written(self, migration_id: str, ended: bool) -> None:
        """This process has written to a migration, in any of its threads."""
        loop = self._loop
        if loop is not None and migration_id in self._ids:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._tell, migration_id, ended)

    def _tell(self, migration_id: str, ended: bool) -> None:
        told = self._told.get(migration_id)
        if told is not None:
            told.times += 1
            told.ended = told.ended or ended
            woken, told.news = told.news, asyncio.Event()
            woken.set()

    async def _find(self, migration_id: str) -> Migration:
        return await to_thread.run_sync(self._migrations.find, migration_id)

    @contextmanager
    def _place(self, request: Request, migration_id: str) -> Iterator[_Told]:
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
            yield self._told.setdefault(migration_id, _Told())
        finally:
            self._callers.subtract(counted)
            self._ids.subtract((migration_id,))
            self._callers, self._ids = +self._callers, +self._ids
            if migration_id not in self._ids:
                self._told.pop(migration_id, None)

    async def _look(self, not_before: float) -> dict[str, Change]:
        """When each that is waited for was written to last; of a look that is no older."""
        async with self._looking:
            if self._looked_at < not_before:
                began, ids = time.monotonic(), tuple(self._ids)
                self._seen = await to_thread.run_sync(self._migrations.changes, ids, limiter=self._thread)
                self._looked_at = began
            return self._seen
