"""What libvirt's events tell that nothing can tell later: when a VM paused, when it ran; and that something changed.

The callbacks run in libvirt's event thread, where no call to libvirt is allowed; they only note and notify.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import libvirt

# One entry per domain that ever had an event; more than any host runs.
_REMEMBERED = 4096

PAUSED_TO_SWITCH = (libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY)
ARRIVED = (libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED, libvirt.VIR_DOMAIN_EVENT_RESUMED_POSTCOPY)
_STEPS = {
    libvirt.VIR_DOMAIN_EVENT_DEFINED: None,
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: None,
    libvirt.VIR_DOMAIN_EVENT_STARTED: (libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED,),
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: PAUSED_TO_SWITCH,
    libvirt.VIR_DOMAIN_EVENT_STOPPED: (libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED,),
}


def is_step_of_migration(event: int, detail: int) -> bool:
    """Whether this lifecycle event is one of those that every migration has before and after the VM's arrival.

    Arrival itself is not. What is only defined or undefined changes no VM.
    """
    details = _STEPS.get(event, ())
    return details is None or detail in details


@dataclass(frozen=True)
class Moments:
    """Times of a domain's last switchover on this host, in ns of its real-time clock."""

    paused_at_ns: int | None = None
    resumed_at_ns: int | None = None


def after_event(before: Moments, event: int, detail: int, now_ns: int) -> Moments:
    """The moments after a lifecycle event (virDomainEventType and its detail). Pure."""
    if event == libvirt.VIR_DOMAIN_EVENT_STARTED:
        return Moments()
    if event == libvirt.VIR_DOMAIN_EVENT_SUSPENDED and detail in PAUSED_TO_SWITCH:
        # In post-copy, a second pause event follows the one at which the VM really stopped.
        return before if before.paused_at_ns is not None else replace(before, paused_at_ns=now_ns)
    if event == libvirt.VIR_DOMAIN_EVENT_RESUMED and detail in ARRIVED:
        return before if before.resumed_at_ns is not None else replace(before, resumed_at_ns=now_ns)
    if event == libvirt.VIR_DOMAIN_EVENT_RESUMED:
        # The switchover was given up: the VM runs on where it was.
        return replace(before, paused_at_ns=None)
    return before


class Events:
    """Keeps `Moments` per domain, wakes those who wait for a domain, and calls listeners."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._moments: OrderedDict[str, Moments] = OrderedDict()
        self._closed = False
        self._listeners: list[Callable[[str, int, int], None]] = []
        self._on_round: list[Callable[[str], None]] = []

    def listen(self, listener: Callable[[str, int, int], None]) -> None:
        """Call `listener` with UUID, event and detail of each lifecycle event; it must return at once."""
        self._listeners.append(listener)

    def lifecycle(self, uuid: str, event: int, detail: int) -> None:
        """Note a lifecycle event that arrived now."""
        now_ns = time.time_ns()
        with self._changed:
            self._moments[uuid] = after_event(self._moments.get(uuid, Moments()), event, detail, now_ns)
            self._moments.move_to_end(uuid)
            while len(self._moments) > _REMEMBERED:
                self._moments.popitem(last=False)
        self.touch(uuid)
        for listener in self._listeners:
            listener(uuid, event, detail)

    def listen_rounds(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with a domain's UUID at each round of copying its memory; it must return at once."""
        self._on_round.append(listener)

    def round_began(self, uuid: str) -> None:
        """QEMU began a round of copying the domain's memory, the first or another."""
        for listener in self._on_round:
            listener(uuid)

    def touch(self, uuid: str) -> None:
        """Something about this domain may have changed: wake those who wait for it."""
        with self._changed:
            self._counts[uuid] = self._counts.pop(uuid, 0) + 1
            while len(self._counts) > _REMEMBERED:
                self._counts.popitem(last=False)
            self._changed.notify_all()

    def moments(self, uuid: str) -> Moments:
        """The moments of a domain; empty for one without events."""
        with self._changed:
            return self._moments.get(uuid, Moments())

    def count(self, uuid: str) -> int:
        """A number that grows with each event of the domain; take it before a look, and give it to `wait`."""
        with self._changed:
            return self._counts.get(uuid, 0)

    def wait(self, uuid: str, count: int, timeout_s: float) -> None:
        """Return when the domain has an event after `count` was taken, when time is up, or at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._counts.get(uuid, 0) != count, timeout_s)

    @property
    def closed(self) -> bool:
        """Whether the agent is about to end."""
        return self._closed

    def close(self) -> None:
        """Let everybody who waits return."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
