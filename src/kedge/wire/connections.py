"""Connections to one server, kept open between calls; HTTP by the standard library.

A call costs a fifth of the CPU that it takes with a client library, and a migration makes dozens of them.
"""

import select
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import BoundedSemaphore, Lock
from typing import NamedTuple
from urllib.parse import urlsplit

_AT_ONCE = 64
_IDLE = 16
_CONNECT_S = 5.0
_LONGEST_ANSWER = 32 << 20  # bytes; whoever sends more has no good in mind
# An idle connection is given up before uvicorn's side of it would be, so no request meets a closed one.
_IDLE_S = 20.0


class NoAnswer(Exception):
    """Nobody answered in time, or what answered does not speak HTTP or has not the right certificate."""


class Answer(NamedTuple):
    """Status and body of an answer."""

    status: int
    body: bytes


class Connections:
    """Thread-safe. Each call has a connection of its own as long as it lasts."""

    def __init__(self, url: str, context: ssl.SSLContext | None, holder: str | None) -> None:
        """With `holder`, TLS checks the certificate against that name and not against the URL's address."""
        parts = urlsplit(url)
        self._host, self._port, self._prefix = parts.hostname or "", parts.port, parts.path.rstrip("/")
        self._context = (context or ssl.create_default_context()) if parts.scheme == "https" else None
        self._holder = holder or self._host
        self._lock = Lock()
        self._free = BoundedSemaphore(_AT_ONCE)
        self._idle: list[tuple[HTTPConnection, float]] = []
        self._closed = False

    def close(self) -> None:
        """Close every connection; one that is in use when its call ends."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> Answer:
        """Ask, and wait so long for each part of the answer. Raises NoAnswer."""
        try:
            with self._connection(timeout_s) as connection:
                connection.sock.settimeout(timeout_s)
                connection.request(method, self._prefix + path, body, dict(headers))
                answer = connection.getresponse()
                content = answer.read(_LONGEST_ANSWER + 1)
                if len(content) > _LONGEST_ANSWER:
                    raise HTTPException(f"its answer is longer than {_LONGEST_ANSWER >> 20} MiB")
                if answer.length:  # of which nothing is said by reading no more than so much
                    raise HTTPException(f"its answer lacks {answer.length} bytes")
                return Answer(answer.status, content)
        except (OSError, HTTPException) as error:
            raise NoAnswer(str(error) or type(error).__name__) from error

    @contextmanager
    def _connection(self, timeout_s: float) -> Iterator[HTTPConnection]:
        if not self._free.acquire(timeout=timeout_s):
            raise TimeoutError(f"{_AT_ONCE} calls are under way")
        connection = None
        try:
            connection = self._kept() or self._opened(timeout_s)
            yield connection
            self._keep(connection)
        except BaseException:  # half an answer must not be taken for the next one's
            if connection is not None:
                connection.close()
            raise
        finally:
            self._free.release()

    def _kept(self) -> HTTPConnection | None:
        """One that is open still: what is idle has nothing to read but its end."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection, since = self._idle.pop()
            if time.monotonic() - since < _IDLE_S and not _has_ended(connection):
                return connection
            connection.close()

    def _keep(self, connection: HTTPConnection) -> None:
        with self._lock:
            if connection.sock is not None and not self._closed and len(self._idle) < _IDLE:
                self._idle.append((connection, time.monotonic()))
                return
        connection.close()

    def _opened(self, timeout_s: float) -> HTTPConnection:
        patience_s = min(timeout_s, _CONNECT_S)
        if self._context is None:
            made = HTTPConnection(self._host, self._port, timeout=patience_s)
        else:
            made = _Https(self._host, self._port, patience_s, self._context, self._holder)
        try:
            made.connect()
        except BaseException:
            made.close()
            raise
        return made


def _has_ended(connection: HTTPConnection) -> bool:
    unread = select.poll()
    unread.register(connection.sock, select.POLLIN)
    return bool(unread.poll(0))


class _Https(HTTPSConnection):
    """HTTPS to an address at which a certificate of another name is expected."""

    def __init__(
        self, host: str, port: int | None, timeout_s: float, context: ssl.SSLContext, holder: str
    ) -> None:
        super().__init__(host, port, timeout=timeout_s, context=context)
        self._tls, self._holder = context, holder

    def connect(self) -> None:
        HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._holder)
