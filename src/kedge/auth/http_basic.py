"""`http_basic`: a name and a password with every request, as keystoneauth's plugin of that name sends them."""

import binascii
import os
from base64 import b64decode

from starlette.datastructures import Headers

from kedge.model.caller import Identity

from .attempts import Attempts
from .errors import Unauthenticated
from .passwords import Passwords, decoy
from .turns import Turns
from .users import UsersFile

_WRONG = "Incorrect username or password."
_LONGEST = 4096


class HttpBasic:
    """Knows callers by the users file."""

    challenge = 'Basic realm="Kedge", charset="UTF-8"'

    def __init__(
        self, file: UsersFile, passwords: Passwords | None = None, attempts: Attempts | None = None
    ) -> None:
        self._file = file
        self._passwords = passwords or Passwords()
        self._attempts = attempts or Attempts()
        # A flood of wrong passwords is not to take all processors, nor the threads that requests run in.
        self._turns = Turns[bool](max(1, (os.cpu_count() or 1) // 2))

    async def identify(self, headers: Headers, address: str) -> Identity:
        """The user of these credentials. Raises Unauthenticated, and TooManyLogins."""
        name, password = credentials(headers)
        users = self._file.users()
        user = users.get(name)
        if user and self._passwords.remembered(user.password, password):
            return user.identity
        stored = user.password if user else decoy(next(iter(users.values())).password)
        known = self._attempts.known(address, name)

        def check() -> bool:
            return self._passwords.is_right(stored, password)

        secret = b"\0".join((stored.encode(), name.encode(), password))
        first = not self._turns.under_way(secret)
        if first:  # the same attempt of many at once counts once
            self._attempts.begin(address, name)
        whose = f"{name}@{address}" if known else address
        right = await self._turns.take(secret, whose, check, known=known)
        if user is None or not right:
            raise Unauthenticated(_WRONG, name=name)
        if first:
            self._attempts.succeeded(address, name)
        return user.identity


def credentials(headers: Headers) -> tuple[str, bytes]:
    """Name and password of the Authorization header (RFC 7617). Raises Unauthenticated."""
    given = headers.getlist("authorization")
    if not given:
        raise Unauthenticated("The request you have made requires authentication.")
    scheme, _, encoded = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "basic" or len(encoded) > _LONGEST:
        raise Unauthenticated("This needs one Authorization header of the scheme Basic.")
    try:
        name, colon, password = b64decode(encoded.strip(), validate=True).partition(b":")
        if not colon:
            raise ValueError
        return name.decode(), password
    except (ValueError, binascii.Error):
        raise Unauthenticated("The Authorization header can't be decoded; see RFC 7617.") from None
