"""Doing what may hang, for no longer than somebody can wait."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class InTime:
    """Runs calls in threads, one at a time: what hangs keeps the next ones waiting, and holds no more threads."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._free = threading.Lock()

    def run(self, call: Callable[[], T]) -> T | None:
        """What the call returns; None if it, or one before it, did not end in time."""
        if not self._free.acquire(timeout=self._patience_s):
            return None
        answers: list[T] = []

        def work() -> None:
            try:
                answers.append(call())
            finally:
                self._free.release()

        thread = threading.Thread(target=work, name="in-time", daemon=True)
        thread.start()
        thread.join(self._patience_s)
        return answers[0] if answers else None
