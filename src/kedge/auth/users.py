"""The users file of `http_basic`: Apache's htpasswd form with two fields more.

    # name:bcrypt hash:roles:project
    nova:$2y$12$…:service
    alice:$2y$12$…:member:demo
    audit:$2y$12$…

What `htpasswd -B` writes can be used as it is: a user without roles is a reader. A user without a project acts
for all of them. Empty lines and lines that begin with # are left alone.
"""

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from kedge.model.caller import Identity, Role
from kedge.model.errors import BadRequest

_HASH = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_COST = range(4, 16)
"""bcrypt takes twice as long for each: 12 is a quarter of a second, 15 two."""

_log = structlog.get_logger()


@dataclass(frozen=True)
class User:
    """A user by the file: `password` is its bcrypt hash."""

    identity: Identity
    password: str


def parse(text: str, source: str) -> dict[str, User]:
    """The users by name. Raises BadRequest that names `source` and the line."""
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            user = _user(line)
            if user.identity.name in users:
                raise ValueError(f"user {user.identity.name!r} is there twice; remove one line")
        except ValueError as error:
            raise BadRequest(f"{source}, line {number}: {error}.") from None
        users[user.identity.name] = user
    return users


def _user(line: str) -> User:
    name, *rest = (part.strip() for part in line.split(":"))
    if not name or not rest or len(rest) > 3:
        raise ValueError("it is not of the form name:hash:roles:project")
    password, roles, project = (*rest, "", "")[:3]
    found = _HASH.fullmatch(password)
    if found is None:
        raise ValueError(f"the password of {name!r} is not a bcrypt hash; `kedge users add {name}` makes one")
    if int(found[1]) not in _COST:
        raise ValueError(f"the bcrypt cost of {name!r} is {int(found[1])}; between 4 and 15 is usable")
    return User(Identity(name, roles_of(roles or Role.READER), project or None), password)


def roles_of(text: str) -> frozenset[Role]:
    """The roles in a list with commas. Raises ValueError for another word."""
    words = [word.strip() for word in text.split(",")]
    unknown = [word for word in words if word not in set(Role)]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no role; there are {', '.join(Role)}")
    return frozenset(Role(word) for word in words)


class UsersFile:
    """The users in a file, read again whenever it changes.

    Raises BadRequest at the start if the file is missing, broken, or open to others. One that breaks later is
    logged, and those who were in it before stay, so that a slip of an editor locks nobody out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._signature()
        self._users = self._read()

    def users(self) -> Mapping[str, User]:
        """The users by name, as the file has them now; there is at least one."""
        seen = self._signature()
        if seen != self._seen:
            self._seen = seen
            try:
                self._users = self._read()
                _log.info("users read", file=str(self._path), users=len(self._users))
            except BadRequest as error:
                _log.error("users file unusable, former users stay", reason=str(error))
        return self._users

    def _signature(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _read(self) -> dict[str, User]:
        try:
            mode = stat.S_IMODE(self._path.stat().st_mode)
            text = self._path.read_text()
        except OSError as error:
            raise BadRequest(f"The users file {self._path} can't be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise BadRequest(f"The users file {self._path} is not UTF-8.") from None
        if mode & 0o027:
            raise BadRequest(
                f"The users file {self._path} is open to others (mode {mode:04o});"
                f" close it: chmod 600 {self._path}"
            )
        users = parse(text, str(self._path))
        if not users:
            raise BadRequest(f"{self._path} has no users; `kedge users add` makes some.")
        return users
