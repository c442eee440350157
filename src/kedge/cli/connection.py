"""HTTP to the control plane by the standard library alone, which starts in a fraction of a command's time."""

import select
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from kedge.trust.tls import hardened

UNIX = "unix://"


class NoAnswer(Exception):
    """Nobody answers, or what answers does not speak HTTP."""


class TooLate(NoAnswer):
    """The connection is there, and no answer came in time."""


class Answer(NamedTuple):
    """Status and body of an answer."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.body.decode(errors="replace")


class Connection:
    """One connection, opened when it is first needed and kept open. No proxy of the environment is asked."""

    def __init__(self, url: str, connect_s: float) -> None:
        """`url` is `http://…`, `https://…` (`NAME:PASSWORD@` says who calls) or `unix:///PATH`. Raises ValueError."""
        self._connect_s = connect_s
        self._prefix, self._headers = "", {"Accept": "application/json"}
        if url.startswith(UNIX):
            self._http: HTTPConnection = _UnixConnection(url.removeprefix(UNIX), connect_s)
            return
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError("it names no host")
        self._prefix = parts.path.rstrip("/")
        self._headers |= _credentials(parts)
        if parts.scheme == "https":
            context = hardened(ssl.create_default_context())
            self._http = HTTPSConnection(parts.hostname, parts.port, timeout=connect_s, context=context)
        else:
            self._http = HTTPConnection(parts.hostname, parts.port, timeout=connect_s)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], wait_s: float
    ) -> Answer:
        """Ask, and wait so long for each part of the answer. Raises NoAnswer."""
        try:
            self._open()
            self._http.sock.settimeout(wait_s)
            self._http.request(method, self._prefix + path, body, self._headers | dict(headers))
            answer = self._http.getresponse()
            return Answer(answer.status, answer.read())
        except TimeoutError as error:
            self._http.close()
            raise TooLate("TimeoutError") from error
        except (OSError, HTTPException) as error:
            self._http.close()
            raise NoAnswer(str(error) or type(error).__name__) from error
        except BaseException:  # Half an answer must not be taken for the next one's.
            self._http.close()
            raise

    def _open(self) -> None:
        # An idle connection has nothing to read but its end.
        if self._http.sock is not None and select.select([self._http.sock], [], [], 0)[0]:
            self._http.close()
        if self._http.sock is None:
            self._http.connect()


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("kedge", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        made = socket.socket(socket.AF_UNIX)
        try:
            made.settimeout(self.timeout)
            made.connect(self._path)
        except BaseException:
            made.close()
            raise
        self.sock = made


def _credentials(url: SplitResult) -> dict[str, str]:
    if url.username is None:
        return {}
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
