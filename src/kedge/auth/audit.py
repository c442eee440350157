"""The audit log: who changed what, from where, and with which result; and who was refused.

One JSON object a line, in a file that only its owner reads and in the process's log, so in the journal as well. Reading
is not in it, nor is what bodies hold: they may hold secrets.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kedge.model.errors import BadRequest
from kedge.serving.peers import peer_of
from kedge.trust import private_files

MAX_BYTES = 64 << 20
"""A file that is larger makes way for a new one; one old file (`….1`) is kept."""

_TEXT_MAX = 300
_QUIET_S = 60.0
_PEERS, _OTHERS = 1024, ""
_SCOPE = "kedge.audit"

_log = structlog.get_logger("kedge.audit")


@dataclass
class Entry:
    """A line: `who` (None: nobody knows) from `source` asked for `what`; `result` is the status, `why` a refusal."""

    at: str
    source: str
    what: str
    who: str | None = None
    result: int = 0
    why: str | None = None


class Trail:
    """The audit log. Several processes may write to the same file."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        """Raises BadRequest if the file can't be written."""
        self._path, self._max_bytes = path, max_bytes
        private_files.close_files([path, path.with_name(f"{path.name}.1")])
        try:
            self._file = private_files.opened(path)
        except OSError as error:
            raise BadRequest(f"The audit log {path} can't be written: {error.strerror}.") from error

    def write(self, entry: Entry) -> None:
        """Add a line. A full disk keeps no request from its answer: what is missing is then in the process's log."""
        shown = {name: value for name, value in asdict(entry).items() if value is not None}
        line = json.dumps({"from" if name == "source" else name: value for name, value in shown.items()})
        _log.info("audit", entry=line)
        try:
            self._rotate()
            self._file.write(line.encode() + b"\n")
        except OSError as error:
            _log.error("the audit log can't be written", path=str(self._path), reason=error.strerror)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rotate(self) -> None:
        if self._is_current() and os.fstat(self._file.fileno()).st_size < self._max_bytes:
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)  # until it is closed
        if self._is_current():
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._file.close()
        self._file = private_files.opened(self._path)

    def _is_current(self) -> bool:
        """Whether another process, or a person, has not put another file in its place."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False


class Audited:
    """An ASGI middleware, around the guard and all behind it."""

    def __init__(self, app: ASGIApp, trail: Trail, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._trail, self._clock = app, trail, clock
        self._said: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        entry = scope[_SCOPE] = _entry(scope)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.result = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except BaseException:
            entry.result = entry.result or 500
            raise
        finally:
            if self._matters(entry, scope["method"]):
                self._trail.write(entry)

    def _matters(self, entry: Entry, method: str) -> bool:
        if entry.result == 401:  # most only ask how to say who they are, as each client's first request
            return entry.why is not None
        if entry.result == 429:
            return self._is_first_of_a_minute(peer_of(entry.source))
        return entry.result == 403 or method not in ("GET", "HEAD", "OPTIONS")

    def _is_first_of_a_minute(self, peer: str) -> bool:
        """A flood is one line a minute for each peer; those of too many peers are one for all of them."""
        now = self._clock()
        if len(self._said) >= _PEERS:
            self._said = {each: at for each, at in self._said.items() if now - at < _QUIET_S}
            if len(self._said) >= _PEERS and peer not in self._said:
                peer = _OTHERS
        first = now - self._said.get(peer, float("-inf")) >= _QUIET_S
        if first:
            self._said[peer] = now
        return first


def _entry(scope: Scope) -> Entry:
    local = scope.get("kedge.listener") == "unix"
    client = scope.get("client")
    source = "the local socket" if local else client[0] if client else "?"
    what = f"{scope['method']} {scope['path']}"[:_TEXT_MAX]
    return Entry(
        datetime.now(UTC).isoformat(timespec="milliseconds"), source, what, "root" if local else None
    )


def note(scope: Scope, *, who: str | None = None, why: str | None = None) -> None:
    """Say of the request in work who makes it, or why it is refused."""
    entry = scope.get(_SCOPE)
    if isinstance(entry, Entry):
        entry.who = who[:_TEXT_MAX] if who is not None else entry.who
        entry.why = why[:_TEXT_MAX] if why is not None else entry.why
