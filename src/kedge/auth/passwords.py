"""Checking passwords against bcrypt hashes, slowly as that has to be, but not for every request."""

import time

import bcrypt

from .remembered import Clock, Remembered

MAX_BYTES = 72
"""bcrypt looks at no more of a password."""

_REMEMBER_S = 60.0
_COST = 12


def decoy(like: str) -> str:
    """A hash that no password fits, as costly as `like`: an unknown name must take as long as a wrong password."""
    return like[:7] + "." * 53


def hashed(password: str) -> str:
    """A bcrypt hash, in the form that Apache's `htpasswd -B` writes. Raises ValueError for what bcrypt can't take."""
    encoded = password.encode()
    if not encoded or b"\0" in encoded or len(encoded) > MAX_BYTES:
        raise ValueError(f"a password has 1 to {MAX_BYTES} bytes, none of them 0")
    return bcrypt.hashpw(encoded, bcrypt.gensalt(_COST, b"2b")).decode().replace("$2b$", "$2y$", 1)


class Passwords:
    """Remembers for a short time which passwords were right, because bcrypt takes 50 to 300 ms.

    A changed password is a new question at once. Wrong passwords are not remembered, so guessing costs as much as
    ever.
    """

    def __init__(self, *, remember_s: float = _REMEMBER_S, clock: Clock = time.monotonic) -> None:
        self._right = Remembered[bool](clock=clock)
        self._remember_s = remember_s

    def remembered(self, stored: str, password: bytes) -> bool:
        """Whether this password was right a short time ago; quick."""
        return self._right.get(_pair(stored, password)) or False

    def is_right(self, stored: str, password: bytes) -> bool:
        """Whether the password fits the hash; takes as long as bcrypt does, so call it in a thread."""
        if self.remembered(stored, password):  # while this call waited for its turn
            return True
        # bcrypt raises for a longer one, and its time is to be spent all the same.
        right = bcrypt.checkpw(password[:MAX_BYTES], stored.encode()) and len(password) <= MAX_BYTES
        if right:
            self._right.put(_pair(stored, password), True, self._remember_s)
        return right


def _pair(stored: str, password: bytes) -> bytes:
    # All hashes are equally long, so no two pairs make the same text.
    return stored.encode() + password
