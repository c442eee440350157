"""What was found out about a secret, remembered for a short time without keeping the secret."""

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

Clock = Callable[[], float]


class Remembered(Generic[T]):
    """Values by secrets, each until its time is over.

    The keys are hashes under a key that only this process has, so nothing of use lies in memory and nobody outside
    can choose where an entry goes. When it is full, what was put in first goes first.
    """

    def __init__(self, *, size: int = 1024, clock: Clock = time.monotonic) -> None:
        self._key = secrets.token_bytes(64)
        self._size = size
        self._clock = clock
        self._entries: dict[bytes, tuple[float, T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, secret: bytes) -> T | None:
        """What is remembered of a secret; None if that is nothing."""
        until, value = self._entries.get(self._digest(secret), (0.0, None))
        return value if until > self._clock() else None

    def put(self, secret: bytes, value: T, for_s: float) -> None:
        """Remember a value for some seconds."""
        now = self._clock()
        if len(self._entries) >= self._size:
            self._entries = {key: entry for key, entry in self._entries.items() if entry[0] > now}
        while len(self._entries) >= self._size:
            del self._entries[next(iter(self._entries))]
        self._entries[self._digest(secret)] = (now + for_s, value)

    def _digest(self, secret: bytes) -> bytes:
        return hashlib.blake2b(secret, key=self._key, digest_size=32).digest()
