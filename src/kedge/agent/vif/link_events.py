"""Tells at once when the hypervisor has made a device."""

import logging
import select
import socket
import threading
from collections.abc import Callable

from kedge.model.errors import KedgeError

log = logging.getLogger(__name__)

RTMGRP_LINK = 1


class LinkEvents:
    """A thread that calls `act` whenever a device of one kind appeared or changed in this network namespace."""

    def __init__(self, kind: str, act: Callable[[], object]) -> None:
        self._kind = kind.encode() + b"\0"
        self._act = act
        self._wake, self._stopped = socket.socketpair()
        self._events = link_socket()
        self._thread = threading.Thread(target=self._run, name=f"{kind}-events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._wake.send(b"!")
        self._thread.join()
        for each in (self._wake, self._stopped, self._events):
            each.close()

    def _run(self) -> None:
        while True:
            ready = select.select([self._events, self._stopped], [], [])[0]
            if self._stopped in ready:
                return
            if not self._concerns_us():
                continue
            try:
                self._act()
            except (KedgeError, OSError) as error:
                # A device may vanish while it is looked at; the next event brings the next look.
                log.warning("%s", error)

    def _concerns_us(self) -> bool:
        """Whether one of the waiting events names our kind of device; if some were lost, it might have."""
        found = False
        while True:
            try:
                found |= self._kind in self._events.recv(65536)
            except BlockingIOError:
                return found
            except OSError:
                found = True


def link_socket() -> socket.socket:
    """A socket that becomes readable whenever some device appears, changes or goes."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    events.bind((0, RTMGRP_LINK))
    return events


def drain(events: socket.socket) -> bool:
    """Whether anything happened until now, which is then forgotten."""
    happened = False
    while True:
        try:
            events.recv(65536)
            happened = True
        except BlockingIOError:
            return happened
        except OSError:  # more happened than was kept
            happened = True
