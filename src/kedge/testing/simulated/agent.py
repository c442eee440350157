"""The agent of a simulated host, as the control plane calls it (`kedge.compute.hosts.agents.Agent`).

It keeps to what the real one does: epochs, idempotence, guards, and what it forgets when it is started anew.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from kedge.model.domain import (
    DomainState,
    DomainSummary,
    FrameTimes,
    HostView,
    TransferOrder,
    TransferState,
    VifReport,
    VifState,
)
from kedge.model.errors import BadRequest, Conflict, HostFailure, NotFound, StaleEpoch, Unreachable
from kedge.model.host_facts import FactsRequest, FileFacts, FileKind, HostFacts
from kedge.model.host_network import HostNetwork
from kedge.model.network import Vif
from kedge.wire.encoding import seen
from kedge.wire.messages import (
    AnnounceOrder,
    DiscardOrder,
    HostDuties,
    HostReport,
    ObserveRequest,
    PlugOrder,
    ResumeOrder,
    Rewire,
    RewireOrder,
    RewireResults,
    RewireStep,
    Side,
    SidesRequest,
    TransferTuning,
    UnplugOrder,
    VifResults,
)
from kedge.wire.plans import Arrival, Departure, DepartureRequest

from . import plans
from .domain import identity
from .faults import Faults
from .hypervisor import SimulatedHypervisor
from .surroundings import Surroundings
from .transfer import Step

TICK_MS = 50
"""The time that one tick stands for, for somebody who waits."""

SHARED_FILE = FileFacts(FileKind.FILE, "nfs4", "0:50", 4711, 1 << 30)
"""A file that every simulated host mounts from the same file server."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Remembered:
    """What the agent knows of a transfer. `inherited`: from before its restart, so not how it ended."""

    server_id: str
    epoch: int
    state: TransferState
    error: str | None = None
    inherited: bool = False


def _call(
    method: "Callable[Concatenate[SimulatedAgent, P], R]",
) -> "Callable[Concatenate[SimulatedAgent, P], R]":
    """A call over the wire: it may not get through, fail, or lose its answer."""

    @wraps(method)
    def called(self: "SimulatedAgent", /, *args: P.args, **kwargs: P.kwargs) -> R:
        name = method.__name__
        if not self.reachable:
            self._surroundings.tick()  # Waiting for an answer that does not come takes time.
            raise Unreachable(f"the agent of {self._host.name} at {self.url} does not answer")
        self.calls.append(name)
        self.faults.strike(name, after=False)
        with self._surroundings.lock:
            answer = method(self, *args, **kwargs)
        self.faults.strike(name, after=True)
        return answer

    return called


class SimulatedAgent:
    """One host's agent.

    Attributes:
        reachable: whether it answers and reports; the host's libvirt goes on either way.
        calls: the names of all calls that got through.
        queues: how many queue pairs each port was plugged with.
        faults: what goes wrong with calls; "plug one" and "unplug one" are each VIF's part of such an order. A
            HostFailure there fails that VIF; another error ends the order half done.
    """

    def __init__(self, host: SimulatedHypervisor, surroundings: Surroundings[Any]) -> None:
        self.url = f"https://{host.name}.example:9797"
        self.reachable = True
        self.calls: list[str] = []
        self.queues: dict[str, int] = {}
        self.faults = Faults()
        self._host = host
        self._surroundings = surroundings
        host.listener = self
        self._epochs: dict[str, int] = {}
        self._rewired: dict[str, tuple[Vif, Vif]] = {}
        self._transfers: dict[str, Remembered] = {}
        self._duties = HostDuties()

    def restart(self, *, memory_lost: bool = False) -> None:
        """Start anew: it did not see how its transfers ended, or knows of none if its disk was lost."""
        self._transfers = {} if memory_lost else self._transfers
        self._rewired = {}
        for migration_id, known in self._transfers.items():
            self._transfers[migration_id] = replace(known, inherited=True)
        self.report()

    def report(self) -> None:
        """Report to the control plane; remove the VIFs that nothing explains, and plug again what a domain has lost."""
        registry = self._surroundings.registry
        if not self.reachable or registry is None:
            return
        registry.record_host(self._report())
        self._duties = registry.duties(self._host.name)
        bound = {vif.port_id for vif in self._duties.vifs}
        for port_id, vif in list(self._host.plugged.items()):
            if port_id not in bound and self._host.user_of(vif) is None:
                self._host.unplug(port_id)
        for vif in self._duties.vifs:
            user = self._host.user_of(vif)
            wired = self._either(vif) is not VifState.ABSENT
            if not wired and user is not None and user.target_dev == vif.tap_name:
                self._host.plug(vif)

    def _either(self, vif: Vif) -> VifState:
        """The state of a VIF; one that is being rewired is as well wired on its other side."""
        ways = [vif, self._duties.staged.get(vif.port_id), *self._rewired.get(vif.port_id, ())]
        states = [self._host.vif_state(way) for way in ways if way is not None]
        return next((state for state in states if state is not VifState.ABSENT), VifState.ABSENT)

    def changed(self) -> None:
        """Something on the host is different; report it, unless it is said that nobody needs that."""
        if self._surroundings.reporting:
            self.report()

    def transfer_ended(self, migration_id: str, error: str | None) -> None:
        """libvirt tells how a transfer ended, to the process that started it."""
        known = self._transfers.get(migration_id)
        if known is not None and not known.inherited:
            state = TransferState.FAILED if error else TransferState.SUCCEEDED
            self._transfers[migration_id] = replace(known, state=state, error=error)

    # The calls; what each means is said in `kedge.compute.hosts.agents.Agent`.

    @_call
    def host(self) -> HostReport:
        """What the agent says of its host."""
        return self._report()

    @_call
    def facts(self, request: FactsRequest) -> HostFacts:
        """What the host can do; unless a test says otherwise, all of the fleet shares every file."""
        facts = self._host.facts
        files = {path: facts.files.get(path, SHARED_FILE) for path in request.paths}
        domains = (each for each in self._host.holds.values() if each.name == request.name)
        summaries = (DomainSummary(each.uuid, each.name, each.state, each.persistent) for each in domains)
        dirty_mib = {uuid: rate for uuid, rate in facts.dirty_mib.items() if uuid in request.measure}
        return replace(facts, files=files, namesake=next(summaries, None), dirty_mib=dirty_mib)

    @_call
    def domains(self) -> list[DomainSummary]:
        """All domains of the host."""
        held = self._host.holds.values()
        return [DomainSummary(each.uuid, each.name, each.state, each.persistent) for each in held]

    @_call
    def domain_xml(self, uuid: str, *, migratable: bool = False) -> str:
        """A domain's XML. Raises NotFound."""
        if uuid not in self._host.holds:
            raise NotFound(f"there is no domain {uuid} on this host")
        if migratable:
            return self._host.migratable.get(uuid, self._host.holds[uuid].xml)
        return self._host.holds[uuid].xml

    @_call
    def network(self) -> HostNetwork:
        """How the host's devices hang together."""
        return self._host.network

    @_call
    def create_domain(self, uuid: str, xml: str) -> None:
        """Define and start; one that runs already is left alone."""
        found, _ = identity(xml)
        if found != uuid:
            raise BadRequest(f"the domain's XML has the UUID {found or '(none)'}, the request is for {uuid}")
        if not self._host.domain(uuid).live:
            self._host.start(xml)
        self.changed()

    @_call
    def delete_domain(self, uuid: str) -> None:
        """Destroy and undefine."""
        self._host.holds.pop(uuid, None)
        self.changed()

    @_call
    def discard_domain(self, uuid: str, order: DiscardOrder) -> None:
        """Remove what a migration left. Raises Conflict unless the state is one of `only_in`."""
        self._admit(f"server {uuid}", order.epoch)
        host, domain = self._host, self._host.domain(uuid)
        if domain.state is DomainState.ABSENT:
            return
        if domain.state not in order.only_in:
            raise Conflict(f"domain {uuid} is {domain.state} on this host; not discarded")
        if domain.live and not any(uuid in each.holds for each in self._surroundings.others(host)):
            host.violated(f"the only copy of domain {uuid} was discarded while it was {domain.state}")
        del host.holds[uuid]
        self.changed()

    @_call
    def resume_domain(self, uuid: str, order: ResumeOrder) -> None:
        """Run a VM again that a dead migration left paused."""
        self._admit(f"server {uuid}", order.epoch)
        domain = self._host.domain(uuid)
        if domain.state is DomainState.RUNNING:
            return
        if domain.state is not DomainState.SWITCHOVER or uuid in self._host.jobs:
            raise Conflict(f"domain {uuid} is {domain.state} on this host and can't be resumed")
        domain.state = DomainState.RUNNING
        self.changed()

    @_call
    def observe(self, uuid: str, request: ObserveRequest) -> HostView:
        """Look; with `wait_ms`, until something differs from `seen`.

        Where no thread makes time pass, waiting does.
        """
        around = self._surroundings
        if request.watch:
            self._host.watch(uuid, request.vifs, request.migration_id)
        ticks, deadline = -(-request.wait_ms // TICK_MS), time.monotonic() + request.wait_ms / 1000
        view = self._view(uuid, request)
        while ticks > 0 and seen(view) == request.seen and time.monotonic() < deadline:
            if around.driven:
                around.changed.wait(TICK_MS / 1000)
            else:
                around.tick()
                ticks -= 1
            view = self._view(uuid, request)
        return view

    def departure(self, uuid: str, request: DepartureRequest) -> Departure:
        """All that a plan asks of the source: answered by the calls above, which may go wrong one by one."""
        return plans.departure(self, uuid, request)

    def arrival(self, uuid: str, request: FactsRequest) -> Arrival:
        """All that a plan asks of the destination, in the same way."""
        return plans.arrival(self, uuid, request)

    @_call
    def start_transfer(self, order: TransferOrder) -> None:
        """Start a live migration; one that was started by this order already is left alone."""
        self._admit(f"migration {order.migration_id}", order.epoch)
        if order.recover:
            self._recover(order)
            return
        if self._is_settled(order):
            return
        domain = self._host.domain(order.server_id)
        if domain.state is DomainState.ABSENT:
            raise NotFound(f"there is no domain {order.server_id} on this host to migrate")
        if domain.state is not DomainState.RUNNING or order.server_id in self._host.jobs:
            raise Conflict(f"domain {order.server_id} is {domain.state}; only a running one can be migrated")
        self._transfers[order.migration_id] = Remembered(order.server_id, order.epoch, TransferState.RUNNING)
        self._surroundings.begin(self._host, order)

    def _recover(self, order: TransferOrder) -> None:
        broken = self._surroundings.running(order.server_id, self._host)
        if broken is not None and broken.broken:
            remembered = Remembered(order.server_id, order.epoch, TransferState.RUNNING)
            self._transfers[order.migration_id] = remembered
            broken.go_on()

    @_call
    def tune_transfer(self, migration_id: str, tuning: TransferTuning) -> None:
        """Change a running transfer."""
        self._admit(f"migration {migration_id}", tuning.epoch)
        if migration_id not in self._transfers:
            raise NotFound(f"migration {migration_id} has no transfer on this host")
        running = self._surroundings.running(self._transfers[migration_id].server_id, self._host)
        if running is not None:
            running.tune(downtime_limit_ms=tuning.downtime_limit_ms, postcopy=tuning.postcopy)
            self.changed()

    @_call
    def abort_transfer(self, migration_id: str, epoch: int, server_id: str | None = None) -> None:
        """Abort a transfer that has not switched over; a start that comes later is refused."""
        self._admit(f"migration {migration_id}", epoch)
        known = self._transfers.get(migration_id)
        if known is None or known.state is TransferState.NONE:
            self._transfers[migration_id] = Remembered("", epoch, TransferState.NONE)
            if server_id and not self._is_known(server_id):
                self._end_job(server_id)
            return
        self._end_job(known.server_id)

    def _is_known(self, server_id: str) -> bool:
        remembered = [each for each in self._transfers.values() if each.server_id == server_id]
        return any(each.state is TransferState.RUNNING for each in remembered)

    def _end_job(self, server_id: str) -> None:
        running = self._surroundings.running(server_id, self._host)
        if running is not None and running.over_there:
            raise Conflict(f"domain {server_id} already runs on the other host (post-copy)")
        if running is not None and running.step is not Step.ARRIVED:
            running.fail("operation aborted: migration out job: canceled by client")
            self.changed()

    @_call
    def vifs(self) -> list[VifReport]:
        """The VIFs that Kedge made on the host."""
        return [self._host.vif_report(vif) for vif in self._host.plugged.values()]

    @_call
    def plug(self, order: PlugOrder) -> VifResults:
        """Plug, wire and verify VIFs."""
        self._admit_all([f"port {vif.port_id}" for vif in order.vifs], order.epoch)
        done: list[VifReport] = []
        failed: dict[str, str] = {}
        for vif in order.vifs:
            self.queues[vif.port_id] = order.queues.get(vif.port_id, 1)
            try:
                self.faults.strike("plug one", after=False)
                done.append(self._host.plug(vif))
            except HostFailure as error:
                failed[vif.port_id] = str(error)
        self.changed()
        return VifResults(tuple(done), failed)

    @_call
    def unplug(self, order: UnplugOrder) -> VifResults:
        """Remove whatever Kedge made on the host for ports."""
        self._admit_all([f"port {port_id}" for port_id in order.port_ids], order.epoch)
        failed: dict[str, str] = {}
        for port_id in order.port_ids:
            try:
                self.faults.strike("unplug one", after=False)
                self._host.unplug(port_id)
            except HostFailure as error:
                failed[port_id] = str(error)
        self.changed()
        gone = (port_id for port_id in order.port_ids if port_id not in failed)
        return VifResults(tuple(VifReport(port_id, VifState.ABSENT, ()) for port_id in gone), failed)

    @_call
    def sides(self, request: SidesRequest) -> dict[str, Side]:
        """In which of two switches the tap of each of these ports is."""
        return {each.vif.port_id: self._side(each) for each in request.ports}

    @_call
    def rewire(self, order: RewireOrder) -> RewireResults:
        """Take a step of moving taps between switches."""
        self._admit_all([f"port {each.vif.port_id}" for each in order.ports], order.epoch)
        failed: dict[str, str] = {}
        blackout_ms: dict[str, float] = {}
        for each in order.ports:
            port_id = each.vif.port_id
            self._rewired[port_id] = (each.vif, each.other)
            try:
                self.faults.strike(f"{order.step} one", after=False)
                if order.step is RewireStep.MOVE and self._side(each) is not Side.HERE:
                    if port_id not in self._host.plugged:
                        raise HostFailure(f"there is no tap {each.vif.tap_name}")
                    self._host.plug(each.vif)
                    blackout_ms[port_id] = 7.0
                if order.step is RewireStep.LEAVE and self._side(each) is Side.THERE:
                    self._host.violated(f"the switch of {port_id} was removed under its tap")
            except HostFailure as error:
                failed[port_id] = str(error)
        self.changed()
        done = (each.vif.port_id for each in order.ports if each.vif.port_id not in failed)
        return RewireResults(tuple(done), failed, blackout_ms)

    def _side(self, port: Rewire) -> Side:
        if port.vif.port_id not in self._host.plugged:
            return Side.GONE
        if self._host.vif_state(port.vif) is VifState.UP:
            return Side.HERE
        return Side.THERE if self._host.vif_state(port.other) is VifState.UP else Side.NOWHERE

    @_call
    def announce(self, order: AnnounceOrder) -> None:
        """Tell the network that the VM is here now."""
        for vif in order.vifs:
            self._host.announce(vif)

    # Behind the calls.

    def _view(self, uuid: str, request: ObserveRequest) -> HostView:
        host, domain = self._host, self._host.domain(uuid)
        if domain.state is DomainState.RUNNING:
            host.emit(uuid)
        transfer, error = self._transfer_state(request.migration_id or "")
        running = self._surroundings.running(uuid, host)
        arrived = domain.state is DomainState.RUNNING and request.migration_id is not None
        return HostView(
            domain=domain.state,
            persistent=domain.persistent,
            job=uuid in host.jobs,
            transfer=transfer,
            transfer_error=error,
            progress=running.progress() if running else None,
            completed=domain.arrived if arrived else None,
            paused_at_ns=host.paused_ns.get(uuid),
            resumed_at_ns=host.resumed_ns.get(uuid),
            vifs={vif.port_id: host.vif_state(vif) for vif in request.vifs if request.check_vifs},
            macs={
                vif.port_id: host.macs.get(vif.port_id, (vif.mac_address,))
                for vif in request.vifs
                if request.macs
            },
            frames=_of(host.frames, request.vifs),
            answers=_of(host.answers, request.vifs),
            now_ns=host.now_ns(),
        )

    def _transfer_state(self, migration_id: str) -> tuple[TransferState, str | None]:
        known = self._transfers.get(migration_id)
        if known is None:
            return TransferState.NONE, None
        if not known.inherited or known.state is not TransferState.RUNNING:
            return known.state, known.error
        if known.server_id in self._host.jobs:
            return TransferState.RUNNING, None
        if self._host.domain(known.server_id).state in {DomainState.ABSENT, DomainState.SHUTOFF}:
            return TransferState.SUCCEEDED, None
        return TransferState.FAILED, "the agent was restarted while the transfer ran"

    def _is_settled(self, order: TransferOrder) -> bool:
        before = self._transfers.get(order.migration_id)
        if before is None:
            return False
        if before.state is TransferState.NONE and before.epoch >= order.epoch:
            raise Conflict(f"migration {order.migration_id} was aborted before its transfer began")
        state, _ = self._transfer_state(order.migration_id)
        return state in {TransferState.RUNNING, TransferState.SUCCEEDED} or before.epoch >= order.epoch

    def _admit(self, subject: str, epoch: int) -> None:
        self._admit_all([subject], epoch)

    def _admit_all(self, subjects: Sequence[str], epoch: int) -> None:
        for subject in subjects:
            highest = self._epochs.get(subject, 0)
            if 0 < epoch < highest:
                raise StaleEpoch(f"the order for {subject} has epoch {epoch}, and {highest} came before")
        for subject in subjects:
            self._epochs[subject] = max(self._epochs.get(subject, 0), epoch)

    def _report(self) -> HostReport:
        host = self._host
        known = {**host.plugged, **{vif.port_id: vif for vif in self._duties.vifs}}
        return HostReport(
            host=host.name,
            url=self.url,
            backends=host.backends,
            libvirt_uri=f"qemu+tcp://{host.name}.example/system",
            migrate_uri=f"tcp://{host.name}.example",
            libvirt_version=9_000_000,
            graphics_address=host.graphics_address,
            migration_network=host.migration_network,
            vifs={port_id: self._either(vif) for port_id, vif in known.items()},
            running=tuple(sorted(each.uuid for each in host.holds.values() if each.live)),
        )


def _of(times: Mapping[str, FrameTimes], vifs: Sequence[Vif]) -> dict[str, FrameTimes]:
    return {vif.port_id: times[vif.port_id] for vif in vifs if vif.port_id in times}
