"""Who goes first among the migrations that one process drives.

A migration whose VM stands still goes at once. The steps of all others (an action, or a look that waits for nothing)
take turns, a few at a time, those of migrations that have moved their VM first; and while a VM stands still, no other
step begins. Whoever waits at a host for news of its transfer needs no turn: the pause is seen by that.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush

TURNS = 8
"""So many steps are made at once. They wait for agents most of the time; more of them would make all slower."""

LONGEST_S = 1.0
"""So long at most one hurries, for a host that does not answer can't be hurried; so long at most another waits for it;
and a step that takes longer is in nobody's way."""


@dataclass(order=True)
class _Waiting:
    """Somebody who waits for a turn."""

    rank: int
    number: int
    since_s: float = field(compare=False)
    let_in: threading.Event = field(compare=False, default_factory=threading.Event)


class RightOfWay:
    """Who hurries, whose turn it is, and who waits for one."""

    def __init__(self, turns: int = TURNS) -> None:
        self._lock = threading.Lock()
        self._turns = turns
        self._hurrying: dict[str, float] = {}
        self._taken: dict[int, float] = {}  # until when each turn counts, by the number of who has it
        self._waiting: list[_Waiting] = []
        self._number = 0

    @property
    def is_needed(self) -> bool:
        """Whether one hurries."""
        with self._lock:
            return self._someone_hurries(time.monotonic())

    def _someone_hurries(self, now: float) -> bool:
        return any(until > now for until in self._hurrying.values())

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        with self._lock:
            return len(self._waiting)

    def hurry(self, migration_id: str) -> None:
        """From now on, until `done` or for as long as one may, nobody else begins a step."""
        with self._lock:
            self._hurrying[migration_id] = time.monotonic() + LONGEST_S

    def done(self, migration_id: str) -> None:
        """It hurries no more; nothing happens if it did not."""
        with self._lock:
            if self._hurrying.pop(migration_id, None) is not None:
                self._let_in()

    @contextmanager
    def turn(self, migration_id: str, *, moved: bool = False) -> Iterator[None]:
        """Make a step within; at once, if this migration hurries, and else when its turn comes.

        `moved` are before the others, as their VM waits to be announced, and what they leave behind for its removal.
        """
        with self._lock:
            hurries = migration_id in self._hurrying
            if not hurries:
                self._number += 1
                waiting = _Waiting(0 if moved else 1, self._number, time.monotonic())
                heappush(self._waiting, waiting)
                self._let_in()
        if hurries:
            yield
            return
        while not waiting.let_in.wait(LONGEST_S):
            with self._lock:
                self._let_in()
        try:
            yield
        finally:
            with self._lock:
                self._taken.pop(waiting.number, None)
                self._let_in()

    def _let_in(self) -> None:
        """Whoever may make a step now. Those who still wait ask again after a while, as hurry and turns expire."""
        now = time.monotonic()
        hurried = self._someone_hurries(now)
        taken = sum(until > now for until in self._taken.values())
        while self._waiting and taken < self._turns:
            if hurried and self._waiting[0].since_s + LONGEST_S > now:
                break
            next_one = heappop(self._waiting)
            self._taken[next_one.number] = now + LONGEST_S
            taken += 1
            next_one.let_in.set()
