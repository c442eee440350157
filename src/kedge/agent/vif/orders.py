"""Orders to plug and unplug VIFs: one at a time per port, and none from a conductor that was replaced."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

from kedge.agent.on_disk.highest_epochs import Epochs
from kedge.agent.vif import Pluggers
from kedge.model.domain import VifReport, VifState
from kedge.model.host import HostBackend
from kedge.model.host_network import HostNetwork
from kedge.model.network import Vif
from kedge.wire.messages import PlugOrder


class VifOrders:
    """Around the pluggers; `changed` is called after each change of a VIF."""

    def __init__(self, vifs: Pluggers, epochs: Epochs, changed: Callable[[], None]) -> None:
        self._vifs = vifs
        self._epochs = epochs
        self._changed = changed
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._plugged_at: dict[str, float] = {}
        self._unplugged_at: dict[str, float] = {}

    def plug(self, order: PlugOrder) -> VifReport:
        """Plug and wire; the same again changes nothing. Raises StaleEpoch, HostFailure."""
        port_id = order.vif.port_id
        with self._locked(port_id):
            self._epochs.admit(f"port {port_id}", order.epoch)
            self._plugged_at[port_id] = time.monotonic()
            state = self._vifs.plug(order.vif, order.queues)
        self._changed()
        made = next((vif for vif in self._vifs.plugged() if vif.port_id == port_id), None)
        return made or VifReport(port_id, state, ())

    def unplug(self, port_id: str, epoch: int) -> None:
        """Unplug whatever Kedge made for the port. Raises StaleEpoch, HostFailure."""
        with self._locked(port_id):
            self._epochs.admit(f"port {port_id}", epoch)
            self._unplugged_at[port_id] = time.monotonic()
            self._vifs.unplug(port_id)
        self._changed()

    def mend(self, vif: Vif, queues: int, not_since: float) -> VifState:
        """Plug a VIF again of which something is missing, unless it was unplugged since `not_since` (as `collect`)."""
        with self._locked(vif.port_id):
            if self._unplugged_at.get(vif.port_id, 0.0) >= not_since:
                return VifState.ABSENT
            state = self._vifs.mend(vif, queues)
        self._changed()
        return state

    def collect(self, port_id: str, not_since: float) -> bool:
        """Unplug a leftover, unless it was plugged again since `not_since` (monotonic clock, seconds)."""
        with self._locked(port_id):
            if self._plugged_at.get(port_id, 0.0) >= not_since:
                return False
            self._vifs.unplug(port_id)
            self._plugged_at.pop(port_id, None)
        self._changed()
        return True

    def plugged(self) -> list[VifReport]:
        """Every VIF that Kedge made here."""
        return self._vifs.plugged()

    def states(self, vifs: Iterable[Vif]) -> dict[str, VifState]:
        """The states of VIFs now, by their ports; one that can't be told is left out."""
        return self._vifs.states(vifs)

    def state(self, vif: Vif, target: str) -> VifState:
        """The state of a VIF that Kedge did not plug, and whose device is `target`."""
        return self._vifs.state(vif, target)

    def as_it_is(self, backend: HostBackend) -> HostBackend:
        """A configured backend as the host shows it now."""
        return self._vifs.as_it_is(backend)

    def network(self) -> HostNetwork:
        """How the host's devices hang together."""
        return self._vifs.network()

    def loose(self) -> frozenset[str]:
        """What Kedge made here and no VIF uses."""
        return self._vifs.loose()

    def remove_loose(self, which: Collection[str]) -> list[str]:
        """Remove what `loose` named, if it is loose still; what was removed."""
        return self._vifs.remove_loose(which)

    @contextmanager
    def _locked(self, port_id: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(port_id, threading.Lock())
        with lock:
            yield
