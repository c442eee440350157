"""Tells the control plane what this host has: at start, and at once when something changed.

In between, a heartbeat says that nothing did.
"""

import math
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from kedge.agent.config import AgentConfig
from kedge.agent.domains.hypervisor import Hypervisor
from kedge.agent.domains.interface_devices import devices_by_mac
from kedge.agent.domains.transfers import Transfers
from kedge.agent.vif.orders import VifOrders
from kedge.model.domain import DomainState, VifState
from kedge.model.errors import KedgeError
from kedge.model.host import HostBackend
from kedge.model.network import Vif
from kedge.wire.messages import HostDuties, HostReport
from kedge.wire.peer import AnyPeer, Peer
from kedge.wire.version import kedge_version

log = structlog.get_logger(__name__)

# Several changes within this time make one report.
_SOON_S = 0.25
# At rest, when so many heartbeats in a row have said that nothing changed, they come less often by this factor. It is
# still three times within what makes an agent dead.
_RESTS_AFTER = 5
_AT_REST = 2.5
# Less than after which the control plane takes an agent for dead: one that was away finds all of them alive.
_LONGEST_BACKOFF_S = 5.0
_TIMEOUT_S = 10.0


class Reports:
    """Builds the host's report."""

    def __init__(
        self, config: AgentConfig, hypervisor: Hypervisor, transfers: Transfers, vifs: VifOrders
    ) -> None:
        self._config = config
        self._transfers = transfers
        self._backends = config.backends()
        self._hypervisor = hypervisor
        self._vifs = vifs
        self._running: tuple[str, ...] = ()
        self.duties = HostDuties()

    def build(self) -> HostReport:
        """The report as of now. While libvirtd does not answer, its version is 0 and `running` is the last known."""
        domains = self._domains()
        return HostReport(
            host=self._config.host,
            url=self._config.own_url,
            backends=self._backends_now(),
            libvirt_uri=self._config.libvirt_uri,
            migrate_uri=self._config.migrate_uri,
            migration_network=self._config.migration_network or "",
            graphics_address=self._config.consoles,
            libvirt_version=self._hypervisor.version(),
            vifs=self._vif_states(),
            running=self._running,
            domains=domains,
            half_made=tuple(sorted(self._hypervisor.half_made)),
            version=kedge_version(),
            now_ns=time.time_ns(),
        )

    def _backends_now(self) -> tuple[HostBackend, ...]:
        try:
            return tuple(self._vifs.as_it_is(backend) for backend in self._backends)
        except KedgeError as error:
            log.debug("reporting without the host's bridges", error=str(error))
            return self._backends

    def _domains(self) -> dict[str, DomainState]:
        try:
            found = self._hypervisor.every_instance(self._transfers.under_way())
        except KedgeError as error:
            log.debug("reporting without libvirtd", error=str(error))
            return {}
        self._running = tuple(sorted(uuid for uuid, each in found.items() if each.is_active))
        return {uuid: each.state for uuid, each in found.items()}

    def _vif_states(self) -> dict[str, VifState]:
        states = dict.fromkeys((vif.port_id for vif in self.duties.vifs), VifState.ABSENT)
        try:
            states |= {vif.port_id: vif.state for vif in self._vifs.plugged()}
            states |= self._vifs.states(self.duties.vifs)
            strange = [vif for vif in self.duties.vifs if states[vif.port_id] is VifState.ABSENT]
            states |= self._foreign(strange)
        except KedgeError as error:
            log.warning("can't tell the state of every VIF", error=str(error))
        return states

    def _foreign(self, vifs: Sequence[Vif]) -> dict[str, VifState]:
        """Those that Kedge did not plug, of adopted servers: they have the devices that the domains' XMLs name."""
        if not vifs:
            return {}
        devices = [
            pair for xml in self._hypervisor.active_xmls().values() for pair in devices_by_mac(xml).items()
        ]
        return {
            vif.port_id: VifState.UP
            for vif in vifs
            for mac, device in devices
            if mac == vif.mac_address and self._vifs.state(vif, device) is VifState.UP
        }


class Reporter:
    """Sends the reports from a thread of its own, and hands on the duties that come back."""

    def __init__(
        self,
        control: Peer | AnyPeer,
        host: str,
        reports: Reports,
        on_duties: Callable[[HostDuties, float], None],
    ) -> None:
        self._control = control
        self._path = f"/agent/v1/hosts/{host}"
        self._reports = reports
        self._on_duties = on_duties
        self._changed = threading.Condition()
        self._due = math.inf  # when what has changed must be told (monotonic clock, seconds)
        self._closing = threading.Event()
        self._failures = 0
        self._told = ""
        self._answered: HostReport | None = None  # by which heartbeats may go
        self._beats = 0  # in a row
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)

    def start(self) -> None:
        """Begin with a report now."""
        self._thread.start()

    def nudge(self, within_s: float = _SOON_S) -> None:
        """Something changed: report within this time, with what else changes until then. Returns at once."""
        with self._changed:
            self._due = min(self._due, time.monotonic() + within_s)
            self._changed.notify()

    def close(self) -> None:
        """Stop reporting."""
        self._closing.set()
        self.nudge()
        if self._thread.is_alive():
            self._thread.join(_TIMEOUT_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            with self._changed:
                self._due = math.inf
            delay = self._report()
            if self._failures:
                # With the control plane away, a change is no reason to knock sooner.
                self._closing.wait(delay)
            else:
                self._wait(time.monotonic() + delay)

    def _wait(self, until: float) -> None:
        with self._changed:
            while not self._closing.is_set():
                left = min(until, self._due) - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    def _ask(self) -> HostDuties:
        """The duties; those that are known already when a heartbeat confirms them. Raises KedgeError."""
        report = self._reports.build()
        answered, self._answered = self._answered, None
        if answered is not None and replace(answered, now_ns=report.now_ns) == replace(
            report, id=answered.id
        ):
            params = {"report": answered.id}
            if self._control.ask(
                bool, "POST", f"{self._path}/heartbeat", params=params, timeout_s=_TIMEOUT_S
            ):
                self._answered = answered
                self._beats += 1
                return self._reports.duties
        self._beats = 0
        report = replace(report, id=uuid.uuid4().hex)
        duties = self._control.ask(
            HostDuties, "POST", f"{self._path}/report", body=report, timeout_s=_TIMEOUT_S
        )
        self._answered = report if duties.known and duties.heartbeats else None
        return duties

    def _report(self) -> float:
        """One report; how long to wait for the next, in seconds."""
        asked_at = time.monotonic()
        try:
            duties = self._ask()
        except KedgeError as error:
            if str(error) != self._told:
                log.warning("the control plane does not take reports; this agent goes on", error=str(error))
            self._told = str(error)
            self._failures += 1
            return min(2.0 ** (self._failures - 1), _LONGEST_BACKOFF_S)
        if self._failures:
            log.info("the control plane takes reports again", failures=self._failures)
        self._failures, self._told = 0, ""
        if not duties.known:
            # The former ones still say which devices to tell the state of; they are no ground to remove anything.
            return duties.report_every_s
        self._reports.duties = duties
        try:
            self._on_duties(duties, asked_at)
        except Exception:  # the thread must outlive whatever a look at the host may run into
            log.exception("can't act on the duties")
        return duties.report_every_s * (_AT_REST if self._beats > _RESTS_AFTER else 1)
