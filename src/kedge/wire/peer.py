"""The client of the other side, for both directions: mutual TLS, JSON, and the errors that come back."""

import json
import ssl
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlencode

from pydantic import ValidationError

from kedge.model import errors
from kedge.wire.connections import Answer, Connections, NoAnswer
from kedge.wire.encoding import error_from, from_json, to_json
from kedge.wire.version import wire_headers

T = TypeVar("T")


class Peer:
    """The other end of a mutual-TLS connection. Thread-safe; connections are kept open between calls."""

    def __init__(
        self, name: str, url: str, context: ssl.SSLContext | None, *, holder: str | None = None
    ) -> None:
        """`name` is how messages call the other side ("the agent of h1").

        With `holder`, its certificate has to be the one of that name, whatever address the URL has.
        """
        self._name = name
        self._url = url
        self._connections = Connections(url, context, holder)

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        params: Mapping[str, str | int] | None = None,
        timeout_s: float = 10.0,
    ) -> bytes:
        """One request; the answer's body.

        Raises the KedgeError that the other side answered, or Unreachable when it did not answer in time.
        """
        headers = wire_headers() | ({"content-type": "application/json"} if body is not None else {})
        content = to_json(body) if body is not None else None
        target = f"{path}?{urlencode(params)}" if params else path
        try:
            answer = self._connections.request(method, target, content, headers, timeout_s)
        except NoAnswer as error:
            raise errors.Unreachable(f"{self._name} at {self._url} does not answer: {error}") from error
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return answer.body
        raise self._error(answer)

    def ask(self, kind: type[T], method: str, path: str, **options: Any) -> T:
        """As `call`, with the answer read as `kind`."""
        text = self.call(method, path, **options)
        try:
            return from_json(kind, text)
        except ValidationError as error:
            raise errors.HostFailure(
                f"{self._name} at {self._url} answered {method} {path} with something else than "
                f"{kind!r}; do both sides run the same version? {error}"
            ) from error

    def _error(self, answer: Answer) -> errors.KedgeError:
        try:
            body = json.loads(answer.body)
        except ValueError:
            body = None
        if isinstance(body, dict) and "error" in body:
            return error_from(body)
        text = answer.body[:200].decode(errors="replace")
        return errors.HostFailure(f"{self._name} at {self._url} answered HTTP {answer.status}: {text}")


class AnyPeer:
    """Several peers that do the same, such as control planes over one database; for calls that may be repeated."""

    def __init__(self, peers: Sequence[Peer]) -> None:
        self._peers = list(peers)

    def close(self) -> None:
        """Close every connection."""
        for peer in self._peers:
            peer.close()

    def ask(self, kind: type[T], method: str, path: str, **options: Any) -> T:
        """Ask the one that answered last, or the next one that answers. Raises what the last of them raised."""
        for _ in self._peers[1:]:
            try:
                return self._peers[0].ask(kind, method, path, **options)
            except errors.Unreachable:
                self._peers.append(self._peers.pop(0))
        return self._peers[0].ask(kind, method, path, **options)
