"""Orders to plug and unplug VIFs: one at a time per port, and none from a conductor that was replaced."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from kedge.agent.on_disk.highest_epochs import Epochs
from kedge.agent.vif import Pluggers, noting
from kedge.model.domain import VifReport, VifState
from kedge.model.errors import HostFailure, KedgeError
from kedge.model.host import HostBackend
from kedge.model.host_network import HostNetwork
from kedge.model.network import Vif
from kedge.wire.messages import (
    PlugOrder,
    Rewire,
    RewireOrder,
    RewireResults,
    RewireStep,
    Side,
    UnplugOrder,
    VifResults,
)


@dataclass(frozen=True)
class _Staged:
    """How a VIF that is being rewired may be wired, as is known since `at` (monotonic clock, seconds)."""

    vifs: tuple[Vif, ...]
    at: float


class VifOrders:
    """Around the pluggers."""

    def __init__(
        self,
        vifs: Pluggers,
        epochs: Epochs,
        changed: Callable[[], None],
        answered: Callable[[], None] | None = None,
    ) -> None:
        """`changed` is called after each change of a VIF; `answered`, if it is there, after one whose order says it."""
        self._vifs = vifs
        self._epochs = epochs
        self._changed = changed
        self._answered = answered or changed
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._plugged_at: dict[str, float] = {}
        self._unplugged_at: dict[str, float] = {}
        self._staged: dict[str, _Staged] = {}

    def plug(self, order: PlugOrder) -> VifResults:
        """Plug, wire and verify; the same again changes nothing. One that fails does not keep back the others.

        Raises StaleEpoch, and HostFailure if the epoch can't be noted or the host can't be looked at.
        """
        with self._admitted([vif.port_id for vif in order.vifs], order.epoch):
            for vif in order.vifs:
                self._plugged_at[vif.port_id] = time.monotonic()
            wanted = [(vif, order.queues.get(vif.port_id, 1)) for vif in order.vifs]
            try:
                states, failed = self._vifs.plug_all(wanted)
            except KedgeError as error:
                states, failed = {}, {vif.port_id: str(error) for vif in order.vifs}
            made = self._made() if states else {}
        self._answered()
        done = (made.get(port_id) or VifReport(port_id, state, ()) for port_id, state in states.items())
        return VifResults(tuple(done), failed)

    def unplug(self, order: UnplugOrder) -> VifResults:
        """Unplug whatever Kedge made for the ports, and look whether it is gone. Raises as `plug`."""
        failed: dict[str, str] = {}
        with self._admitted(order.port_ids, order.epoch):
            for port_id in order.port_ids:
                self._unplugged_at[port_id] = time.monotonic()
            try:
                if order.port_ids:
                    self._vifs.unplug(*order.port_ids)
            except KedgeError:  # One that fails is not to keep back the others.
                for port_id in order.port_ids:
                    with noting(failed, port_id):
                        self._vifs.unplug(port_id)
            left = self._made() if order.port_ids else {}
        self._answered()
        for port_id in order.port_ids:
            if port_id in left and port_id not in failed:
                failed[port_id] = f"{', '.join(left[port_id].devices)} of it is there still"
        gone = (port_id for port_id in order.port_ids if port_id not in failed)
        return VifResults(tuple(VifReport(port_id, VifState.ABSENT, ()) for port_id in gone), failed)

    def mend(self, vif: Vif, queues: int, not_since: float) -> VifState:
        """Plug a VIF again of which something is missing, unless it was unplugged since `not_since` (as `collect`)."""
        with self._locked(vif.port_id):
            if self._unplugged_at.get(vif.port_id, 0.0) >= not_since:
                return VifState.ABSENT
            if self._staged_since(vif.port_id, not_since):
                return self._either(vif)
            state = self._vifs.mend(vif, queues)
        self._changed()
        return state

    def rewire(self, order: RewireOrder, announce: Callable[[Vif], None]) -> RewireResults:
        """Take one step with each of these ports; a step that is taken already changes nothing. Raises as `plug`."""
        failed: dict[str, str] = {}
        blackout_ms: dict[str, float] = {}
        port_ids = [each.vif.port_id for each in order.ports]
        with self._admitted(port_ids, order.epoch):
            for each in order.ports:
                port_id = each.vif.port_id
                self._staged[port_id] = _Staged((each.vif, each.other), time.monotonic())
                with noting(failed, port_id):
                    if order.step is RewireStep.PREPARE:
                        self._vifs.make_ready(each.vif)
                    elif order.step is RewireStep.LEAVE:
                        self._leave(each)
                    elif self._side(each) is not Side.HERE:
                        blackout_ms[port_id] = self._vifs.move(each.vif, announce)
                        self._verify(each)
        self._changed()
        return RewireResults(tuple(sorted(set(port_ids) - set(failed))), failed, blackout_ms)

    def sides(self, ports: Iterable[Rewire]) -> dict[str, Side]:
        """Where the taps of these ports are."""
        with self._vifs.one_look():
            return {each.vif.port_id: self._side(each) for each in ports}

    def stage(self, staged: Mapping[str, Vif], asked_at: float) -> None:
        """Take in which VIFs are being rewired, as was asked for at `asked_at` (monotonic clock, seconds)."""
        newer = {port_id: each for port_id, each in self._staged.items() if each.at >= asked_at}
        self._staged = {port_id: _Staged((vif,), asked_at) for port_id, vif in staged.items()} | newer

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
        """The states of VIFs now, by their ports; one that can't be told is left out.

        One that is being rewired is as well wired on its other side.
        """
        states = self._vifs.states(vifs)
        for port_id, state in list(states.items()):
            staged = self._staged.get(port_id)
            if state is VifState.ABSENT and staged is not None:
                found = (self._vifs.states([vif]).get(port_id) for vif in staged.vifs)
                states[port_id] = next((each for each in found if each not in (None, state)), state)
        return states

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

    def _side(self, port: Rewire) -> Side:
        if self._vifs.state(port.vif) is VifState.UP:
            return Side.HERE
        if self._vifs.state(port.other) is VifState.UP:
            return Side.THERE
        return Side.NOWHERE if self._vifs.has_tap(port.vif) else Side.GONE

    def _leave(self, port: Rewire) -> None:
        if self._side(port) is Side.THERE:
            raise HostFailure(f"{port.vif.tap_name} is still in the switch that it was to leave")
        self._vifs.leave(port.other)

    def _verify(self, port: Rewire) -> None:
        if self._side(port) is not Side.HERE:
            raise HostFailure(f"{port.vif.tap_name} was moved, and is not wired as it should be")

    def _staged_since(self, port_id: str, moment: float) -> bool:
        return port_id in self._staged and self._staged[port_id].at >= moment

    def _either(self, vif: Vif) -> VifState:
        return self.states([vif]).get(vif.port_id, VifState.ABSENT)

    def _made(self) -> dict[str, VifReport]:
        return {report.port_id: report for report in self._vifs.plugged()}

    @contextmanager
    def _admitted(self, port_ids: Sequence[str], epoch: int) -> Iterator[None]:
        """Hold all of these ports, for an order that is let in for all of them or for none."""
        with ExitStack() as held:
            for port_id in sorted(
                port_ids
            ):  # In one order everywhere, or two orders would wait for each other.
                held.enter_context(self._locked(port_id))
            self._epochs.admit_all([f"port {port_id}" for port_id in port_ids], epoch)
            yield

    @contextmanager
    def _locked(self, port_id: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(port_id, threading.Lock())
        with lock:
            yield
