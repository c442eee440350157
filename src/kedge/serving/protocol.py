"""HTTP on one connection, within the limits of its listener.

uvicorn limits neither a head nor a body, nor the time that either takes (its `h11_max_incomplete_event_size` is for a
slower parser, which it does not have for bodies), and shows no certificate to the application.
"""

import asyncio
import json
from collections.abc import Callable
from enum import Enum
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .limits import Limits
from .nova_faults import nova_fault

FAREWELL_S = 0.2
"""TLS would wait half a minute for the other side's farewell."""

_LINGER_S = 1.0
"""A caller whose request is refused may send so long before it reads the answer."""

_PIPELINED_MAX = 16
_PEER = "kedge.peer"
_LISTENER = "kedge.listener"
_CLOSING = "kedge.closing"
_PHRASES = {408: "Request Timeout", 413: "Content Too Large", 431: "Request Header Fields Too Large"}


class _Phase(Enum):
    """What a connection waits for."""

    NEW = "request"
    HEAD = "head"
    BODY = "body"
    ANSWER = "answer"
    IDLE = "next request"
    REFUSED = "end"


class BoundedHttp(HttpToolsProtocol):
    """Puts the listener's name and the client's certificate into each request's scope, and holds to the limits."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        name: str,
        limits: Limits,
        refused: Callable[[str], None],
        lost: Callable[[], None],
    ) -> None:
        """`refused` is told why a request is; `lost` when the connection is."""
        super().__init__(config, server_state, app_state)
        self._name = name
        self._limits = limits
        self._refused = refused
        self._lost = lost
        self._phase = _Phase.NEW
        self._deadline = self.loop.time() + limits.head_s
        self._unsent = 0
        self._unsent_deadline = float("inf")
        self._number = self._raw = self._body = 0
        self.closing = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost if this connection ends: no request is complete enough to be worked on."""
        return self._phase in (_Phase.NEW, _Phase.HEAD, _Phase.IDLE)

    # What the loop says.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the application the name of the listener and of the peer."""
        super().connection_made(transport)
        self._deadline = self.loop.time() + self._limits.head_s
        extra: dict[str, Any] = {_LISTENER: self._name, _CLOSING: self.closing}
        connection = transport.get_extra_info("ssl_object")
        if connection is not None:
            extra[_PEER] = holder_of(connection.getpeercert() or {})
        inner = self.app

        async def with_peer(scope: Any, receive: Any, send: Any) -> None:
            await inner({**scope, **extra}, receive, send)

        self.app = with_peer

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place to another."""
        self._lost()
        self.closing.set()  # whoever waits for the caller's sake need not any longer
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and count also what the parser makes nothing of: it keeps the part of a line until the line ends."""
        if self._phase is _Phase.REFUSED:
            return
        number = self._number
        if self._phase in (_Phase.NEW, _Phase.IDLE):
            number += 1
        super().data_received(data)
        if number != self._number:  # it began somewhere in this part, which itself is not large
            return
        self._raw += len(data)
        if self._phase is _Phase.HEAD:
            self._check_head(self._raw)
        elif self._phase is _Phase.BODY and self._raw > self._limits.head_bytes + self._limits.body_bytes:
            self._refuse(413, "there is more around the parts of the body than in them")

    def pause_writing(self) -> None:
        """The caller takes its answer more slowly than it is made."""
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self._unsent_deadline = self.loop.time() + self._limits.answer_s

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        self._unsent_deadline = float("inf")

    # What the parser says.

    def on_message_begin(self) -> None:
        """A head begins."""
        self._phase, self._deadline = _Phase.HEAD, self.loop.time() + self._limits.head_s
        self._number += 1
        self._raw = self._body = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Let no request begin that is too large."""
        if self._phase is _Phase.REFUSED:
            return
        head = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        announced = max((int(value) for name, value in self.headers if name == b"content-length"), default=0)
        self._phase, self._deadline = _Phase.BODY, self.loop.time() + self._limits.body_s
        if self._check_head(head) and self._check_body(announced):
            if len(self.pipeline) >= _PIPELINED_MAX:
                self._refuse(431, f"more than {_PIPELINED_MAX} requests wait for their answers")
                return
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body += len(body)
        if self._phase is not _Phase.REFUSED and self._check_body(self._body):
            super().on_body(body)

    def on_message_complete(self) -> None:
        """All of the request is there: the rest is the application's time."""
        if self._phase is _Phase.REFUSED:
            return
        super().on_message_complete()
        if self.cycle.response_complete:
            self._rest()
        else:
            self._phase, self._deadline = _Phase.ANSWER, float("inf")

    def on_response_complete(self) -> None:
        """The answer is made."""
        if self._phase is _Phase.ANSWER:
            self._rest()
        super().on_response_complete()

    # What the listener says.

    def shutdown(self) -> None:
        """End an idle connection for good."""
        super().shutdown()
        self.closing.set()
        if self.transport.is_closing():
            self.loop.call_later(FAREWELL_S, self.transport.abort)

    def check_time(self, now: float) -> None:
        """End the connection if what it waits for has not come in time; to be called now and then."""
        if now >= self._unsent_deadline:
            unsent = self.transport.get_write_buffer_size()
            if unsent < self._unsent:
                self._unsent, self._unsent_deadline = unsent, now + self._limits.answer_s
            else:
                self._refused("the answer is not taken in time")
                self.transport.abort()
        if now < self._deadline:
            return
        if self._phase in (_Phase.HEAD, _Phase.BODY) and not self.transport.is_closing():
            self._refuse(408, f"the {self._phase.value} of the request did not come in time")
        else:
            if self._phase is _Phase.NEW:
                self._refused("no request came in time")
            self.transport.abort()

    def _rest(self) -> None:
        # uvicorn closes it in time, and this is for one that doesn't take the farewell.
        self._phase, self._deadline = _Phase.IDLE, self.loop.time() + self._limits.idle_s + FAREWELL_S

    def _check_head(self, size: int) -> bool:
        if size <= self._limits.head_bytes:
            return True
        self._refuse(
            431,
            f"the head of the request is larger than {self._limits.head_bytes} bytes; ask for less at once",
        )
        return False

    def _check_body(self, size: int) -> bool:
        if size <= self._limits.body_bytes:
            return True
        self._refuse(413, f"the body is larger than {self._limits.body_bytes} bytes; send less at once")
        return False

    def _refuse(self, status: int, reason: str) -> None:
        """Answer, unless another answer has begun, and end the connection; the reason is a clause without a stop."""
        self._refused(reason.partition(";")[0])
        answering = self.cycle is not None and not self.cycle.response_complete
        self._phase, self._deadline = _Phase.REFUSED, self.loop.time() + _LINGER_S
        if answering:
            self.transport.abort()
            return
        self.transport.write(_answer(status, f"{reason[0].upper()}{reason[1:]}.", self.url or b""))
        if self.transport.can_write_eof():
            self.transport.write_eof()


def holder_of(certificate: Any) -> dict[str, str]:
    """Name and role of a certificate as `ssl.SSLSocket.getpeercert` returns it; empty where it has none."""
    subject = {key: value for part in certificate.get("subject", ()) for key, value in part}
    return {"name": subject.get("commonName", ""), "role": subject.get("organizationalUnitName", "")}


def _answer(status: int, message: str, url: bytes) -> bytes:
    kind = "HTTP" + _PHRASES[status].replace(" ", "")
    body: dict[str, Any] = {"error": {"type": "BadRequest", "message": message}}
    if url.startswith(b"/compute"):
        body = nova_fault(status, message)
    elif url.startswith(b"/network"):
        body = {"NeutronError": {"type": kind, "message": message, "detail": ""}}
    content = json.dumps(body).encode()
    return (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
    ).encode() + content
