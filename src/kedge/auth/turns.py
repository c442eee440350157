"""Slow checks of who calls, a few at a time and in a fair order: nobody's flood makes another wait for long."""

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread

from .errors import TooManyLogins

T = TypeVar("T")


@dataclass(order=True)
class _Turn:
    """Comes before another by its rank."""

    rank: tuple[int, bool, int]
    whose: str = field(compare=False)
    secret: bytes = field(compare=False)
    check: Callable[[], Any] = field(compare=False)
    result: "asyncio.Future[Any]" = field(compare=False)


class Turns(Generic[T]):
    """`at_once` checks run in threads, at most `waiting` are known. The same check for many callers is made once.

    Everybody's first check goes before anybody's second, and among these a known caller's goes first.
    """

    def __init__(self, at_once: int, *, waiting: int = 64) -> None:
        self._at_once, self._waiting = at_once, waiting
        self._limiter = anyio.CapacityLimiter(at_once)
        self._queue: list[_Turn] = []
        self._results: dict[bytes, asyncio.Future[T]] = {}
        self._of = Counter[str]()
        self._running: set[asyncio.Task[None]] = set()
        self._number = 0

    def under_way(self, secret: bytes) -> bool:
        """Whether this check is being made, or waits for its turn."""
        return secret in self._results

    async def take(self, secret: bytes, whose: str, check: Callable[[], T], *, known: bool = False) -> T:
        """What `check` returns or raises. Raises TooManyLogins when too many wait; a known caller is never refused."""
        result = self._results.get(secret)
        if result is None:
            if len(self._results) >= self._waiting and not known:
                raise TooManyLogins(
                    f"{self._waiting} callers wait for a check of who they are; try again.", 1.0
                )
            result = asyncio.get_running_loop().create_future()
            result.add_done_callback(_looked_at)
            self._results[secret] = result
            self._number += 1
            rank = (self._of[whose], not known, self._number)
            self._of[whose] += 1
            heapq.heappush(self._queue, _Turn(rank, whose, secret, check, result))
            self._fill()
        # Whoever asked first may go away; the others still want to know.
        return await asyncio.shield(result)

    def _fill(self) -> None:
        while self._queue and len(self._running) < self._at_once:
            task = asyncio.get_running_loop().create_task(self._run(heapq.heappop(self._queue)))
            self._running.add(task)

    async def _run(self, turn: _Turn) -> None:
        error: BaseException | None = None
        value: Any = None
        try:
            value = await anyio.to_thread.run_sync(turn.check, limiter=self._limiter)
        except BaseException as raised:
            error = raised
        self._running.discard(asyncio.current_task())
        del self._results[turn.secret]
        self._of[turn.whose] -= 1
        self._of += Counter()  # those with nothing are forgotten
        if not turn.result.done():
            if error is None:
                turn.result.set_result(value)
            else:
                turn.result.set_exception(error)
        self._fill()


def _looked_at(result: "asyncio.Future[Any]") -> None:
    if not result.cancelled():
        result.exception()
