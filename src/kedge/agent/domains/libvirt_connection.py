"""The one connection to libvirtd, which comes back by itself after libvirtd was restarted.

libvirt's event loop runs in a daemon thread of its own. Calls to libvirt block, so they are made from the
threads that serve requests. A lost connection is found by keepalive or by libvirt's close callback.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import libvirt
import structlog

from kedge.agent.domains.libvirt_events import Events
from kedge.model.errors import HostFailure, KedgeError, NotFound

log = structlog.get_logger(__name__)

_KEEPALIVE_S, _KEEPALIVE_COUNT = 5, 3
_RETRY_S = 0.5
# An event loop without any handle or timer would spin or sleep forever; this makes it turn.
_TURN_MS = 1000

_event_loop = threading.Lock()
_event_loop_runs = False


def start_event_loop() -> None:
    """Start libvirt's event loop in this process; must come before the first connection. Once is enough."""
    global _event_loop_runs  # noqa: PLW0603 - libvirt has one event loop per process, and so does this module.
    with _event_loop:
        if _event_loop_runs:
            return
        libvirt.virEventRegisterDefaultImpl()
        libvirt.virEventAddTimeout(_TURN_MS, lambda *_: None, None)
        # Every error is raised as an exception too; libvirt's own handler would print it as well.
        libvirt.registerErrorHandler(lambda *_: None, None)
        threading.Thread(target=_turn, name="libvirt-events", daemon=True).start()
        _event_loop_runs = True


def _turn() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


class Connection:
    """Holds a connection to `uri`, subscribed to `events`."""

    def __init__(self, uri: str, events: Events) -> None:
        self._uri = uri
        self._events = events
        self._connection: Any = None
        self._generation = 0
        self._reason = "not connected yet"
        self._subscribers: list[Callable[[Any], None]] = []
        self._wake = threading.Event()
        self._closing = False
        self._keeper: threading.Thread | None = None

    def start(self) -> None:
        """Connect, and keep connected in the background; a libvirtd that is not there yet is waited for."""
        start_event_loop()
        self._connect()
        self._keeper = threading.Thread(target=self._keep, name="libvirt-connection", daemon=True)
        self._keeper.start()

    def on_connect(self, subscribe: Callable[[Any], None]) -> None:
        """Call `subscribe` with each new connection; it must ask for no more than events, and raise nothing."""
        self._subscribers.append(subscribe)

    def close(self) -> None:
        """Close the connection for good."""
        self._closing = True
        self._wake.set()
        if self._keeper is not None:
            self._keeper.join(5)
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(libvirt.libvirtError):
                connection.close()

    @property
    def current(self) -> Any:
        """The open connection, or None; another object after each reconnection."""
        return self._connection

    def get(self) -> Any:
        """The open `libvirt.virConnect`. Raises HostFailure while there is none."""
        connection = self._connection
        if connection is None:
            raise HostFailure(f"libvirtd at {self._uri} does not answer ({self._reason}); is it running?")
        return connection

    @contextmanager
    def speaking(self, doing: str) -> Iterator[Any]:
        """The connection, with libvirt's errors raised as HostFailure, or NotFound for a domain that went.

        `doing` completes "libvirt could not …".
        """
        connection = self.get()
        try:
            yield connection
        except libvirt.libvirtError as error:
            raise self._failure(doing, connection, error) from error

    def _failure(self, doing: str, connection: Any, error: Any) -> KedgeError:
        # Codes tell too little here: an error of the *destination's* libvirtd has the same ones.
        if not _alive(connection):
            self._lost(connection, str(error))
            return HostFailure(f"libvirtd at {self._uri} does not answer ({error}); is it running?")
        # A domain may go at any time between being found and being asked.
        gone = error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN
        return (NotFound if gone else HostFailure)(f"libvirt could not {doing}: {error}")

    def _lost(self, connection: Any, reason: str) -> None:
        if self._connection is connection:
            self._connection = None
            self._reason = reason
            log.warning("libvirtd is gone", uri=self._uri, reason=reason)
        self._wake.set()

    def _keep(self) -> None:
        while not self._closing:
            if self._connection is not None:
                self._wake.wait()
            self._wake.clear()
            if self._connection is None and not self._closing and not self._connect():
                self._wake.wait(_RETRY_S)

    def _connect(self) -> bool:
        try:
            connection = libvirt.open(self._uri)
            with suppress(libvirt.libvirtError):  # libvirt's test driver is in this process and has none
                connection.setKeepAlive(_KEEPALIVE_S, _KEEPALIVE_COUNT)
            with suppress(libvirt.libvirtError):
                connection.registerCloseCallback(self._on_close, self._generation + 1)
            for event, callback in (
                (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle),
                (libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, self._on_job),
                (libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, self._on_round),
            ):
                connection.domainEventRegisterAny(None, event, callback, None)
        except libvirt.libvirtError as error:
            if str(error) != self._reason:
                log.warning("can't connect to libvirtd", uri=self._uri, reason=str(error))
            self._reason = str(error)
            return False
        self._generation += 1
        self._connection = connection
        for subscribe in self._subscribers:
            subscribe(connection)
        log.info("connected to libvirtd", uri=self._uri)
        return True

    def _on_close(self, _connection: Any, reason: int, generation: int) -> None:
        # The object given here is a new wrapper of the closed connection, so it can't be compared by identity.
        if generation == self._generation:
            self._lost(self._connection, f"the connection was closed, reason {reason}")

    def _on_lifecycle(self, _connection: Any, domain: Any, event: int, detail: int, _opaque: None) -> None:
        self._events.lifecycle(domain.UUIDString(), event, detail)

    def _on_job(self, _connection: Any, domain: Any, _statistics: dict[str, Any], _opaque: None) -> None:
        self._events.touch(domain.UUIDString())

    def _on_round(self, _connection: Any, domain: Any, _round: int, _opaque: None) -> None:
        self._events.round_began(domain.UUIDString())


def _alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False
