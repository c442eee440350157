"""A peer-to-peer live migration between two simulated hosts, step by step as libvirt 9.0 makes it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from kedge.core.domain_xml import guest_visible_differences
from kedge.core.migration.pace import UNLIMITED_MS
from kedge.model.domain import DomainState, JobProgress, TransferOrder
from kedge.model.errors import HostFailure

from .hypervisor import SimulatedHypervisor

MEMORY = 128 * 1024 * 1024
BPS = 120 * 1024 * 1024


class Step(StrEnum):
    """How far a transfer is."""

    ORDERED = "ordered"  # the agent has called libvirt; there is no job yet
    PREPARED = "prepared"  # the destination holds an incoming domain
    COPYING = "copying"
    PAUSED = "paused"  # the source is paused for the switchover
    ARRIVED = "arrived"  # the VM runs on the destination; the source still has its job
    OVER = "over"


@dataclass
class SimulatedTransfer:
    """One transfer. `rounds` is how often the dirty memory is still sent before the VM is paused."""

    order: TransferOrder
    source: SimulatedHypervisor
    destination: SimulatedHypervisor | None
    rounds: int
    step: Step = Step.ORDERED
    sent_rounds: int = 0
    downtime_ms: int = 0
    over_there: bool = False  # post-copy: the VM runs on the destination and memory still follows
    broken: bool = False  # … and does not get there

    def tune(self, *, downtime_limit_ms: int | None, postcopy: bool) -> None:
        """Change it: without a limit the VM is paused after this round, with post-copy it goes over now."""
        if downtime_limit_ms is not None and downtime_limit_ms >= UNLIMITED_MS:
            self.rounds = self.sent_rounds
        if postcopy and self.order.postcopy and self.step is Step.COPYING:
            self._go_over()

    def break_off(self, error: str) -> None:
        """Post-copy breaks off: libvirt keeps its job, and waits to be told to go on."""
        self.broken = True
        self.source.holds[self.order.server_id].state = DomainState.POSTCOPY_BROKEN
        self.source.listener.transfer_ended(self.order.migration_id, error)

    def go_on(self) -> None:
        """Go on with a post-copy transfer that broke off."""
        self.broken = False
        self.source.holds[self.order.server_id].state = DomainState.POSTCOPY_SOURCE

    def next_step(self) -> Step:
        """Where `advance` will bring it."""
        if self.broken:
            return self.step
        if self.over_there and self.step is Step.COPYING:
            return Step.ARRIVED
        if self.step is Step.COPYING and self.sent_rounds < self.rounds:
            return Step.COPYING
        steps = list(Step)
        return steps[min(steps.index(self.step) + 1, len(steps) - 1)]

    def advance(self) -> None:
        """Make the next step. Raises KedgeError when libvirt can't; then `fail` is to be called."""
        step = self.next_step()
        makers: dict[Step, Callable[[], None]] = {
            Step.PREPARED: self._prepare,
            Step.COPYING: self._copy,
            Step.PAUSED: self._pause,
            Step.ARRIVED: self._arrive,
            Step.OVER: self._confirm,
        }
        if self.broken:
            return
        makers[step]()
        self.step = step

    def fail(self, error: str) -> None:
        """libvirt cancels: the VM runs on the source, the destination's half is gone."""
        uuid = self.order.server_id
        domain = self.source.holds.get(uuid)
        if domain is not None and domain.state is DomainState.SWITCHOVER:
            domain.state = DomainState.RUNNING
            self.source.paused_ns.pop(uuid, None)
        if self.destination is not None:
            incoming = self.destination.holds.get(uuid)
            if incoming is not None and incoming.state is DomainState.INCOMING:
                del self.destination.holds[uuid]
        self.lose_track(error)

    def lose_track(self, error: str) -> None:
        """The job is gone and both domains stay as they are: libvirtd died in the middle of it."""
        self.step = Step.OVER
        for host in (self.source, self.destination):
            if host is not None:
                host.jobs.discard(self.order.server_id)
        self.source.listener.transfer_ended(self.order.migration_id, error)

    def progress(self) -> JobProgress | None:
        """libvirt's statistics on the source."""
        if self.step in {Step.ORDERED, Step.OVER}:
            return None
        remaining = MEMORY >> min(self.sent_rounds, 20)
        return JobProgress(
            elapsed_ms=100 * self.sent_rounds,
            memory_total=MEMORY,
            memory_processed=MEMORY - remaining,
            memory_remaining=remaining,
            memory_bps=BPS,
            iteration=self.sent_rounds,
        )

    def _prepare(self) -> None:
        if self.destination is None:
            raise HostFailure(f"unable to connect to libvirt at {self.order.libvirt_uri}")
        uuid, xml = self.order.server_id, self.order.destination_xml
        domain = self.source.holds.get(uuid)
        if domain is None or domain.state is not DomainState.RUNNING:
            raise HostFailure("operation invalid: domain is not running")
        if uuid in self.destination.holds:
            raise HostFailure(
                f"operation failed: domain '{domain.name}' is already defined on {self.destination.name}"
            )
        differences = guest_visible_differences(domain.xml, xml)
        if differences:
            raise HostFailure("unsupported configuration: " + "; ".join(differences))
        self.destination.start(xml, DomainState.INCOMING)
        self.source.jobs.add(uuid)
        self.destination.jobs.add(uuid)

    def _copy(self) -> None:
        self.sent_rounds += 1
        self.source.emit(self.order.server_id)

    def _pause(self) -> None:
        uuid = self.order.server_id
        self.source.emit(uuid)
        self.source.holds[uuid].state = DomainState.SWITCHOVER
        self.source.paused_ns[uuid] = self.source.now_ns()

    def _go_over(self) -> None:
        assert self.destination is not None
        uuid = self.order.server_id
        self._pause()
        self.source.holds[uuid].state = DomainState.POSTCOPY_SOURCE
        self.destination.holds[uuid].state = DomainState.POSTCOPY_DESTINATION
        self.over_there = True

    def _arrive(self) -> None:
        assert self.destination is not None
        uuid = self.order.server_id
        domain = self.destination.holds[uuid]
        domain.state, domain.persistent = DomainState.RUNNING, True
        domain.arrived = replace(self.progress() or JobProgress(), downtime_ms=self.downtime_ms)
        self.destination.jobs.discard(uuid)
        self.destination.resumed_ns[uuid] = self.destination.now_ns()
        self.destination.emit(uuid)

    def _confirm(self) -> None:
        uuid = self.order.server_id
        self.source.jobs.discard(uuid)
        self.source.holds.pop(uuid, None)
        self.source.listener.transfer_ended(self.order.migration_id, None)
