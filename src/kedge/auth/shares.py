"""How many requests of one caller are worked on at once: each holds a thread, and other callers need some too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

AT_ONCE = 16
"""Of the 40 threads that the requests of all clients run in."""


@dataclass
class _Share:
    places: asyncio.Semaphore
    users: int = field(default=0)


class Shares:
    """The callers of this process. What is too much waits, which costs no thread."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._shares: dict[str, _Share] = {}

    @asynccontextmanager
    async def place(self, caller: str) -> AsyncIterator[None]:
        """One of the caller's places, for as long as the block runs."""
        share = self._shares.setdefault(caller, _Share(asyncio.Semaphore(self._at_once)))
        share.users += 1
        try:
            async with share.places:
                yield
        finally:
            share.users -= 1
            if not share.users:
                del self._shares[caller]
