"""Watches the frames of VMs on their VIFs' devices, for as long as somebody asks about a migration."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kedge.agent.frames import FrameWatch
from kedge.agent.vif import Pluggers
from kedge.model.domain import FrameTimes
from kedge.model.network import Vif

# Watches that nobody asked about for so long are ended.
_FORGOTTEN_S = 120.0


@dataclass
class _Watch:
    migration_id: str | None
    watch: FrameWatch
    asked_at: float


class FrameWatches:
    """One `FrameWatch` per port, begun anew for each migration. Its times stay when the device is gone."""

    def __init__(self, vifs: Pluggers) -> None:
        self._vifs = vifs
        self._lock = threading.Lock()
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
                    self._start(vif, migration_id, targets.get(vif.mac_address.lower()))

    def times(self, vifs: Sequence[Vif], migration_id: str | None) -> Mapping[str, FrameTimes]:
        """When frames were seen, by port, of those that are watched for this migration."""
        found: dict[str, FrameTimes] = {}
        with self._lock:
            for vif in vifs:
                entry = self._of(vif, migration_id)
                if entry is not None:
                    entry.asked_at = time.monotonic()
                    found[vif.port_id] = entry.watch.times()
        return found

    def expire(self) -> None:
        """End the watches that nobody asks about any more."""
        oldest = time.monotonic() - _FORGOTTEN_S
        with self._lock:
            for port_id in [port_id for port_id, entry in self._watches.items() if entry.asked_at < oldest]:
                self._watches.pop(port_id).watch.stop()

    def close(self) -> None:
        """End every watch."""
        with self._lock:
            while self._watches:
                self._watches.popitem()[1].watch.stop()

    def _of(self, vif: Vif, migration_id: str | None) -> _Watch | None:
        entry = self._watches.get(vif.port_id)
        return entry if entry is not None and entry.migration_id == migration_id else None

    def _start(self, vif: Vif, migration_id: str | None, target: str | None) -> None:
        before = self._watches.pop(vif.port_id, None)
        if before is not None:
            before.watch.stop()
        watch = FrameWatch(lambda: self._vifs.device(vif, target), vif.mac_address)
        self._watches[vif.port_id] = _Watch(migration_id, watch, time.monotonic())
