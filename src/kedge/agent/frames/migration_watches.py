"""Watches the frames of VMs on their VIFs' devices, for as long as somebody asks about a migration."""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import structlog

from kedge.agent.frames.device_watch import FrameWatch, Heard
from kedge.agent.vif import Pluggers
from kedge.model.network import Vif

log = structlog.get_logger(__name__)

# Watches that nobody asked about for so long are ended.
_FORGOTTEN_S = 120.0


@dataclass
class _Watch:
    migration_id: str | None
    watch: Future[FrameWatch]
    asked_at: float
    begun: FrameWatch | None = None

    def heard(self) -> Heard:
        """What was heard so far."""
        if self.begun is None:
            if not self.watch.done() or self.watch.exception() is not None:
                return Heard()
            self.begun = self.watch.result()
        return self.begun.heard()


class FrameWatches:
    """Watches a port anew for each migration. The times stay when the device is gone."""

    def __init__(self, vifs: Pluggers) -> None:
        self._vifs = vifs
        self._lock = threading.Lock()
        # Setting up a watch takes some tenths of a second on a busy host, and so does ending it; whoever observes
        # must not wait for either.
        self._starter = ThreadPoolExecutor(4, thread_name_prefix="frame-watch-start")
        self._ender = ThreadPoolExecutor(2, thread_name_prefix="frame-watch-end")
        self._watches: dict[str, _Watch] = {}

    def missing(self, vifs: Sequence[Vif], migration_id: str | None) -> bool:
        """Whether some of these are not watched yet for this migration."""
        with self._lock:
            return any(self._of(vif, migration_id) is None for vif in vifs)

    def ensure(self, vifs: Sequence[Vif], migration_id: str | None, targets: Mapping[str, str]) -> None:
        """Watch these, from now or from when their devices appear.

        `targets` are the domain's devices by MAC address, as libvirt has them.
        """
        with self._lock:
            for vif in vifs:
                if self._of(vif, migration_id) is None:
                    self._start(vif, migration_id, targets.get(vif.mac_address))

    def times(self, vifs: Sequence[Vif], migration_id: str | None) -> Mapping[str, Heard]:
        """What was heard, by port, of those that are watched for this migration."""
        found: dict[str, Heard] = {}
        with self._lock:
            for vif in vifs:
                entry = self._of(vif, migration_id)
                if entry is not None:
                    entry.asked_at = time.monotonic()
                    found[vif.port_id] = entry.heard()
        return found

    def heard(self, vif: Vif, migration_id: str | None) -> Heard | None:
        """What was heard of one port; None if it is not, or no more, watched for this migration."""
        with self._lock:
            entry = self._of(vif, migration_id)
            return None if entry is None else entry.heard()

    def expire(self) -> None:
        """End the watches that nobody asks about any more."""
        oldest = time.monotonic() - _FORGOTTEN_S
        with self._lock:
            for port_id in [port_id for port_id, entry in self._watches.items() if entry.asked_at < oldest]:
                self._stop(self._watches.pop(port_id))

    def close(self) -> None:
        """End every watch, and begin no other."""
        self._starter.shutdown()
        with self._lock:
            while self._watches:
                self._stop(self._watches.popitem()[1])
        self._ender.shutdown()

    def _of(self, vif: Vif, migration_id: str | None) -> _Watch | None:
        entry = self._watches.get(vif.port_id)
        return entry if entry is not None and entry.migration_id == migration_id else None

    def _start(self, vif: Vif, migration_id: str | None, target: str | None) -> None:
        before = self._watches.pop(vif.port_id, None)
        if before is not None:
            self._stop(before)

        find = partial(self._vifs.device, vif, target)
        watch = self._starter.submit(FrameWatch, find, vif.mac_address)
        self._watches[vif.port_id] = _Watch(migration_id, watch, time.monotonic())

    def _stop(self, entry: _Watch) -> None:
        self._ender.submit(_stop_when_begun, entry.watch)


def _stop_when_begun(watch: Future[FrameWatch]) -> None:
    error = watch.exception()
    if error is None:
        watch.result().stop()
    else:
        log.warning("a VIF's frames could not be watched", error=str(error))
