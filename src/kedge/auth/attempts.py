"""How many wrong passwords may be tried, from an address and for a name.

Each bucket is one number (the "generic cell rate algorithm" of ITU-T I.371): the time at which it would be empty again.
Buckets are chosen by a hash under a key that only this process has, so memory is constant and nobody outside can choose
whose bucket to share.
"""

import hashlib
import secrets
import time
from array import array

from .errors import TooManyLogins
from .remembered import Clock, Remembered

_BUCKETS = 8192
_KNOWN_S = 24 * 3600.0


class Attempts:
    """Attempts to log in. `burst` wrong ones are free, and then one in `every_s` seconds.

    Whoever logged in as this name from this address within a day has a bucket of their own: neither a neighbour who
    guesses nor a stranger who guesses at this name keeps them out.
    """

    def __init__(self, *, burst: int = 10, every_s: float = 6.0, clock: Clock = time.monotonic) -> None:
        self._every_s = every_s
        self._allowance_s = (burst - 1) * every_s
        self._clock = clock
        self._key = secrets.token_bytes(64)
        self._empty_at = array("d", [0.0]) * _BUCKETS
        self._known = Remembered[bool](clock=clock)

    def known(self, address: str, name: str) -> bool:
        """Whether this name was logged in from this address within a day."""
        return self._known.get(_pair(address, name)) or False

    def begin(self, address: str, name: str) -> None:
        """Count an attempt, until `succeeded` says otherwise. Raises TooManyLogins."""
        now = self._clock()
        buckets = self._buckets(address, name)
        wait_s = max(self._empty_at[each] for each in buckets) - now - self._allowance_s
        if wait_s > 0:
            raise TooManyLogins(
                "Too many wrong passwords were tried from this address, or for this name; try again later.",
                wait_s,
            )
        for each in buckets:
            self._empty_at[each] = max(self._empty_at[each], now) + self._every_s

    def succeeded(self, address: str, name: str) -> None:
        """The attempt that was begun had the right password: it does not count."""
        for each in self._buckets(address, name):
            self._empty_at[each] -= self._every_s
        self._known.put(_pair(address, name), True, _KNOWN_S)

    def _buckets(self, address: str, name: str) -> list[int]:
        if self.known(address, name):
            return [self._bucket(b"pair", _pair(address, name))]
        return [self._bucket(b"address", address.encode()), self._bucket(b"name", name.encode())]

    def _bucket(self, kind: bytes, value: bytes) -> int:
        digest = hashlib.blake2b(value, key=self._key, person=kind, digest_size=8).digest()
        return int.from_bytes(digest) % _BUCKETS


def _pair(address: str, name: str) -> bytes:
    return f"{address}\0{name}".encode()
