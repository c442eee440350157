"""Builds the `HostView` of one server on this host, and waits for one that differs."""

import time
from collections.abc import Sequence

from kedge.agent.domains.domain_state import progress_of
from kedge.agent.domains.hypervisor import Hypervisor, Look
from kedge.agent.domains.interface_devices import devices_by_mac
from kedge.agent.domains.libvirt_events import Events
from kedge.agent.domains.transfers import Transfers
from kedge.agent.frames.asking import Askers
from kedge.agent.vif import Pluggers
from kedge.model.domain import DomainState, HostView, VifState
from kedge.model.errors import NotFound
from kedge.model.network import Vif
from kedge.wire.encoding import seen
from kedge.wire.messages import ObserveRequest

# A look is taken so often while waiting, in case libvirt sends no event for what changed.
_POLL_S = 0.25
_LONGEST_WAIT_S = 30.0


class Observer:
    """Looks at servers on this host."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        transfers: Transfers,
        vifs: Pluggers,
        askers: Askers,
        events: Events,
    ) -> None:
        self._hypervisor = hypervisor
        self._transfers = transfers
        self._vifs = vifs
        self._askers = askers
        self._frames = askers.watches
        self._events = events

    def observe(self, uuid: str, request: ObserveRequest) -> HostView:
        """One look; with `wait_ms`, the first that differs from `seen`, or the last when time is up."""
        deadline = time.monotonic() + min(request.wait_ms / 1000, _LONGEST_WAIT_S)
        while True:
            count = self._events.count(uuid)
            look = self._transfers.look(uuid)
            if request.watch and self._frames.missing(request.vifs, request.migration_id):
                targets = self._targets(uuid, look)
                self._askers.ensure(uuid, request.vifs, request.migration_id, targets)
            left = deadline - time.monotonic()
            if left <= 0 or self._events.closed or seen(self._brief(look, request)) != request.seen:
                return self._view(uuid, look, request)
            self._events.wait(uuid, count, min(left, _POLL_S))

    def _brief(self, look: Look, request: ObserveRequest) -> HostView:
        transfer, _ = self._transfers.state(request.migration_id or "", look.state, look.job)
        return HostView(domain=look.state, job=look.job.migrates, transfer=transfer)

    def _view(self, uuid: str, look: Look, request: ObserveRequest) -> HostView:
        transfer, error = self._transfers.state(request.migration_id or "", look.state, look.job)
        moments = self._events.moments(uuid)
        arrived = look.state is DomainState.RUNNING and request.migration_id is not None
        completed = self._hypervisor.completed(uuid) if arrived else None
        heard = self._frames.times(request.vifs, request.migration_id)
        return HostView(
            domain=look.state,
            persistent=look.persistent,
            job=look.job.migrates,
            transfer=transfer,
            transfer_error=error,
            progress=self._transfers.progress(uuid, look),
            completed=progress_of(completed) if completed else None,
            paused_at_ns=moments.paused_at_ns,
            resumed_at_ns=moments.resumed_at_ns,
            vifs=self._vif_states(uuid, look, request.vifs) if request.check_vifs else {},
            macs=self._macs(uuid, look, request.vifs) if request.macs else {},
            frames={port_id: each.frames for port_id, each in heard.items()},
            answers={port_id: each.answers for port_id, each in heard.items()},
            now_ns=time.time_ns(),
        )

    def _vif_states(self, uuid: str, look: Look, vifs: Sequence[Vif]) -> dict[str, VifState]:
        with self._vifs.one_look():
            states = {vif.port_id: self._vifs.state(vif) for vif in vifs}
        strange = [vif for vif in vifs if states[vif.port_id] is VifState.ABSENT]
        if not strange:
            return states
        # Those of an adopted server were not plugged by Kedge, and have the names that its XML says.
        targets = self._targets(uuid, look)
        for vif in strange:
            target = targets.get(vif.mac_address)
            if target is not None:
                states[vif.port_id] = self._vifs.state(vif, target)
        return states

    def _macs(self, uuid: str, look: Look, vifs: Sequence[Vif]) -> dict[str, tuple[str, ...]]:
        targets = self._targets(uuid, look)
        return {
            vif.port_id: tuple(sorted(self._vifs.heard(vif, targets.get(vif.mac_address)))) for vif in vifs
        }

    def _targets(self, uuid: str, look: Look) -> dict[str, str]:
        """The device of each of the domain's interfaces by MAC, as libvirt has it now."""
        if look.state in (DomainState.ABSENT, DomainState.SHUTOFF):
            return {}
        try:
            return devices_by_mac(self._hypervisor.xml(uuid))
        except NotFound:
            return {}  # it went in this instant; the next look will say so
