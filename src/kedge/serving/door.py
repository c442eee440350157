"""Who gets a connection: accepts them one by one, so that each can be counted before anything is done for it."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any

import structlog

from .limits import Limits
from .peers import peer_of
from .protocol import BoundedHttp
from .refusals import Refusals

_AT_ONCE = 64
"""Others have their turn after so many connections."""

_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE_S = 0.1
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
    b"There are too many connections; close some, then try again.\n"
)

_log = structlog.get_logger(__name__)

Making = Callable[[Callable[[str], None], Callable[[], None]], BoundedHttp]
"""Makes the protocol of a connection, from what to call for a refusal, and at the end."""


class _Place:
    """One connection, from when it is accepted."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.protocol: BoundedHttp | None = None
        self.opening: asyncio.Task[None] | None = None

    @property
    def may_go(self) -> bool:
        return self.protocol is None or self.protocol.is_idle

    def end(self) -> None:
        if self.protocol is not None and self.protocol.transport is not None:
            self.protocol.transport.abort()
        elif self.opening is not None:
            self.opening.cancel()


class Door:
    """Accepts the connections of a listening socket, within limits.

    A peer that has its share is refused. When all places are taken, a connection that nothing is done for gives way:
    the oldest of the peer that has most of them. So whoever opens many harms himself, and a new caller gets in.
    """

    def __init__(
        self, name: str, server: socket.socket, tls: ssl.SSLContext | None, limits: Limits, make: Making
    ) -> None:
        self._server = server
        self._tls = tls
        self._limits = limits
        self._per_peer = min(limits.connections_per_peer, max(1, limits.connections // 2))
        if server.family == socket.AF_UNIX:
            self._per_peer = limits.connections
        self._make = make
        self._refusals = Refusals(name)
        self._places: dict[str, dict[_Place, None]] = {}
        self._taken = 0
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._checking = False
        times = (limits.head_s, limits.body_s, limits.idle_s, limits.answer_s)
        self._tick_s = min(1.0, max(0.02, min(times) / 4))

    def open(self) -> None:
        """Begin to accept."""
        self._server.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Accept no more, and end those that have not said who they are yet."""
        self._closed = True
        self._loop.remove_reader(self._server)
        for place in self._all():
            if place.protocol is None:
                place.end()

    async def wait_closed(self) -> None:
        """As a server of asyncio."""

    def _listen(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._server, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._server.accept()
            except (BlockingIOError, InterruptedError):  # or another process was quicker
                return
            except OSError as error:
                if error.errno not in _SHORT:
                    continue  # it went before it was accepted
                # It would be reported again at once, and again.
                self._loop.remove_reader(self._server)
                self._loop.call_later(_PAUSE_S, self._listen)
                self._make_room()
                self._refusals.note("", f"no connection can be accepted now: {error.strerror}")
                return
            if not self._admit(connection, address):
                return

    def _admit(self, connection: socket.socket, address: Any) -> bool:
        """Whether there may be another at once; not before the descriptor is closed of one that gave way."""
        peer = peer_of(address[0]) if isinstance(address, tuple) else ""
        if len(self._places.get(peer, ())) >= self._per_peer:
            self._turn_away(connection, peer, f"{self._per_peer} connections of one peer")
            return True
        full = self._taken >= self._limits.connections
        if full and not self._make_room():
            self._turn_away(connection, peer, f"{self._limits.connections} connections in all")
            return True
        place = _Place(peer)
        self._places.setdefault(peer, {})[place] = None
        self._taken += 1
        self._check_later()
        place.opening = self._loop.create_task(self._open(connection, place))
        place.opening.add_done_callback(lambda opening: self._opened(opening, connection, place))
        return not full

    async def _open(self, connection: socket.socket, place: _Place) -> None:
        def refused(reason: str) -> None:
            self._refusals.note(place.peer, reason)

        def lost() -> None:
            self._leave(place)

        made = self._make(refused, lost)
        if self._tls is None:
            place.protocol = made
        connection.setblocking(False)
        await self._loop.connect_accepted_socket(
            lambda: made,
            connection,
            ssl=self._tls,
            ssl_handshake_timeout=None if self._tls is None else self._limits.handshake_s,
        )
        place.protocol = made

    def _opened(self, opening: asyncio.Task[None], connection: socket.socket, place: _Place) -> None:
        error = None if opening.cancelled() else opening.exception()
        if error is None and not opening.cancelled():
            return
        self._leave(place)
        connection.close()
        if isinstance(error, TimeoutError | ConnectionAbortedError):
            self._refusals.note(place.peer, "the TLS handshake took too long")
        elif error is not None and not isinstance(
            error, OSError
        ):  # which the other side can bring about, of TLS too
            _log.error("a connection could not be opened", exc_info=error)

    def _leave(self, place: _Place) -> None:
        """Give a place back; once is enough."""
        of_peer = self._places.get(place.peer, {})
        if place not in of_peer:
            return
        del of_peer[place]
        if not of_peer:
            del self._places[place.peer]
        self._taken -= 1

    def _make_room(self) -> bool:
        """End one that nothing is done for, of the peer that has most; False if there is none.

        Where certificates are asked for, whoever has not shown one yet goes before all who have: strangers can't push
        those out, however many addresses they have.
        """
        idle = [
            (peer, place, -len(places), place.protocol is not None)
            for peer, places in self._places.items()
            for place in places
            if place.may_go
        ]
        if not idle:
            return False
        certified = self._tls is not None and self._tls.verify_mode is ssl.CERT_REQUIRED
        peer, place, *_ = min(idle, key=lambda each: (each[3], each[2]) if certified else (each[2], each[3]))
        self._leave(place)
        place.end()
        self._refusals.note(peer, "an idle connection gave way to a new one")
        return True

    def _turn_away(self, connection: socket.socket, peer: str, reason: str) -> None:
        with connection:
            if self._tls is None:
                try:
                    connection.setblocking(False)
                    connection.send(_FULL)
                except OSError:
                    pass
        self._refusals.note(peer, reason)

    def _all(self) -> list[_Place]:
        return [place for places in self._places.values() for place in places]

    def _check_later(self) -> None:
        # As long as there are connections, after the end too: an answer that nobody takes is not to keep the process.
        if self._places and not self._checking:
            self._checking = True
            self._loop.call_later(self._tick_s, self._check_times)

    def _check_times(self) -> None:
        now = self._loop.time()
        for place in self._all():
            if place.protocol is not None and place.protocol.transport is not None:
                place.protocol.check_time(now)
        self._checking = False
        self._check_later()
