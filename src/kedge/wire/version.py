"""Refusing what speaks another version of the messages between control plane and agents.

Each request of either side says in its headers which `WIRE` its sender speaks, and which version of Kedge it is.
A message of another version might be misread, and what it asks for may destroy something, so nothing of it is done.
What runs goes on as it is.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog

from kedge.model.errors import KedgeError
from kedge.wire.messages import WIRE

log = structlog.get_logger(__name__)

WIRE_HEADER, VERSION_HEADER = "kedge-wire", "kedge-version"


@cache
def kedge_version() -> str:
    """The version of Kedge that is installed; "unknown" where it was not installed as a package."""
    try:
        return version("kedge")
    except PackageNotFoundError:
        return "unknown"


def wire_headers() -> dict[str, str]:
    """What every request between control plane and agents carries."""
    return {WIRE_HEADER: str(WIRE), VERSION_HEADER: kedge_version()}


class SameWire:
    """An ASGI application that lets through only requests of this wire version, and of callers that name none."""

    def __init__(
        self, app: Callable[..., Awaitable[None]], *, own: str, other: str, error: type[KedgeError]
    ) -> None:
        """`own` and `other` are how the message calls the two sides; `error` is what the other is answered."""
        self._app = app
        self._own, self._other, self._error = own, other, error
        self._told: set[tuple[str, str]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer why not, or pass the request on."""
        headers = {name.decode(): value.decode() for name, value in scope.get("headers", ())}
        if headers.get(WIRE_HEADER, str(WIRE)) == str(WIRE):
            await self._app(scope, receive, send)
            return
        caller = str(scope.get("kedge.peer", {}).get("name", ""))
        error = self._error(self._message(headers, caller))
        self._log(headers, caller, error)
        body = json.dumps({"error": {"type": type(error).__name__, "message": str(error)}}).encode()
        kind = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": error.status, "headers": kind})
        await send({"type": "http.response.body", "body": body})

    def _message(self, headers: Mapping[str, str], caller: str) -> str:
        other = f"{self._other} {caller}".strip()
        return (
            f"{other} speaks version {headers[WIRE_HEADER]} of the messages between control plane and agents "
            f"(Kedge {headers.get(VERSION_HEADER, 'unknown')}), and {self._own} version {WIRE} "
            f"(Kedge {kedge_version()}); install the same version of Kedge on both. What runs stays as it is."
        )

    def _log(self, headers: Mapping[str, str], caller: str, error: KedgeError) -> None:
        """Once for each caller and version: an agent asks every other second."""
        told = (caller, headers[WIRE_HEADER])
        if told not in self._told:
            self._told.add(told)
            log.warning("refused a request of another wire version", caller=caller, error=str(error))
