"""What a simulated host's agent finds around it: other hosts, transfers between them, time, and whom it reports to.

Time passes only by `tick`: while somebody waits in `observe` or for a host that does not answer, or, within
`running_by_itself`, in a thread.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from kedge.model.domain import TransferOrder
from kedge.model.errors import KedgeError
from kedge.wire.messages import HostDuties, HostReport

from .hypervisor import SimulatedHypervisor
from .transfer import SimulatedTransfer, Step

HostT = TypeVar("HostT", bound=SimulatedHypervisor)


class Registry(Protocol):
    """Where hosts report to: the part of the network service that takes the agents' reports."""

    def record_host(self, report: HostReport) -> None:
        """Keep what an agent says of its host."""
        ...

    def duties(self, host: str) -> HostDuties:
        """What an agent is to keep plugged."""
        ...


class Surroundings(Generic[HostT]):
    """All hosts, and the transfers between them.

    Attributes:
        violations: what hosts were told to do and must never be; empty if all is well.
        rounds: how often a transfer sends the dirty memory before it pauses the VM.
        downtime_ms: what QEMU will say it measured.
        reporting: whether agents report each change; off, they do so when a test tells them to.
    """

    def __init__(self, registry: Registry | None) -> None:
        self.registry = registry
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.driven = False
        self.violations: list[str] = []
        self.reporting = True
        self.rounds = 2
        self.downtime_ms = 17
        self.hosts: dict[str, HostT] = {}
        self._transfers: list[SimulatedTransfer] = []
        self._breaks: list[tuple[Step, str]] = []
        self._hooks: list[tuple[Step, Callable[[], None]]] = []

    def others(self, host: SimulatedHypervisor) -> list[HostT]:
        """All hosts but this one."""
        return [each for each in self.hosts.values() if each is not host]

    # Transfers.

    def begin(self, source: SimulatedHypervisor, order: TransferOrder) -> None:
        """The source's agent calls libvirt."""
        found = [
            host
            for host in self.hosts.values()
            if order.libvirt_uri == f"qemu+tcp://{host.name}.example/system"
        ]
        transfer = SimulatedTransfer(order, source, found[0] if found else None, self.rounds)
        transfer.downtime_ms = self.downtime_ms
        self._transfers.append(transfer)

    def running(self, uuid: str, source: SimulatedHypervisor | None = None) -> SimulatedTransfer | None:
        """The transfer of this domain that has not ended, if there is one (from this source)."""
        for transfer in self._transfers:
            if transfer.order.server_id == uuid and transfer.step is not Step.OVER:
                return transfer if source in {None, transfer.source} else None
        return None

    def break_transfer(self, step: Step, error: str = "migration failed: connection reset") -> None:
        """Let the next transfer that comes to `step` fail instead; libvirt then cancels it."""
        self._breaks.append((step, error))

    def lose_job(self, uuid: str) -> None:
        """The source's libvirtd dies: the job is gone, and the domains stay as they are."""
        transfer = self.running(uuid)
        if transfer is not None:
            transfer.lose_track("the connection to libvirtd broke")

    def on_step(self, step: Step, hook: Callable[[], None]) -> None:
        """Call `hook` once, when a transfer has come to `step`."""
        self._hooks.append((step, hook))

    # Time.

    def tick(self) -> None:
        """Let each transfer make one step."""
        with self.lock:
            for transfer in [each for each in self._transfers if each.step is not Step.OVER]:
                self._advance(transfer)
            self.changed.notify_all()

    @contextmanager
    def running_by_itself(self, every_s: float = 0.01) -> Iterator[None]:
        """Let time pass in a thread as long as the block runs."""
        stop = threading.Event()

        def drive() -> None:
            while not stop.wait(every_s):
                self.tick()

        thread = threading.Thread(target=drive, name="simulated-fabric", daemon=True)
        self.driven = True
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.driven = False

    def _report(self, transfer: SimulatedTransfer) -> None:
        for host in (transfer.source, transfer.destination):
            if host is not None:
                host.listener.changed()

    def _advance(self, transfer: SimulatedTransfer) -> None:
        following = transfer.next_step()
        for number, (step, error) in enumerate(self._breaks):
            if step is following:
                del self._breaks[number]
                transfer.fail(error)
                self._report(transfer)
                return
        try:
            transfer.advance()
        except KedgeError as error:
            transfer.fail(str(error))
        if transfer.step is not Step.COPYING:
            self._report(transfer)
        for entry in [each for each in self._hooks if each[0] is transfer.step]:
            self._hooks.remove(entry)
            entry[1]()
