"""Keeps the host as it should be, whatever happened to it or to an earlier agent: level-triggered, in one thread.

What is missing is mended at every look, also while the control plane is away. What is too much is removed only
when the control plane has just said what belongs here.
"""

import threading
import time

import structlog

from kedge.agent.domains.hypervisor import Hypervisor
from kedge.agent.repair_and_cleanup.broken_vifs import Mender
from kedge.agent.repair_and_cleanup.domains_to_discard import DomainsToDiscard
from kedge.agent.repair_and_cleanup.unused_vifs import Collector
from kedge.agent.vm_changes.places import Places
from kedge.model.errors import KedgeError
from kedge.wire.messages import HostDuties

log = structlog.get_logger(__name__)

_END_S = 10.0

_WITHOUT_DUTIES = 3
"""After so many periods it looks without new ones; at rest they come a little more often than that."""


class Reconciler:
    """Looks when duties arrive, but no more often than they are to be asked for, and also when none do."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        places: Places,
        mender: Mender,
        collector: Collector,
        domains: DomainsToDiscard,
    ) -> None:
        self._hypervisor = hypervisor
        self._places = places
        self._mender = mender
        self._collector = collector
        self._domains = domains
        self._newest: tuple[HostDuties, float] | None = None
        self._looked_at: float | None = None
        self._wake = threading.Event()
        self._closing = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)

    def start(self) -> None:
        """Begin; without duties nothing is done."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._closing = True
        self._end.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_END_S)

    def take(self, duties: HostDuties, asked_at: float) -> None:
        """Duties that are known, and when they were asked for (monotonic clock, seconds). Returns at once."""
        self._newest = (duties, asked_at)
        self._wake.set()

    def look(self) -> None:
        """Compare the host with the newest duties once."""
        if self._newest is None:
            return
        duties, asked_at = self._newest
        try:
            xmls = self._hypervisor.active_xmls()
            self._places.look(xmls)
        except KedgeError as error:
            # A host that can't be seen whole gives no ground to remove anything from it.
            self._collector.forget()
            log.debug("can't compare the host with its duties", error=str(error))
            return
        whole = self._mender.mend(duties.vifs, xmls.values(), asked_at)
        if asked_at == self._looked_at:
            return
        self._looked_at = asked_at
        self._collector.look(duties, asked_at, xmls.values(), whole=whole)
        self._domains.look(duties, asked_at)

    @property
    def _period_s(self) -> float:
        return self._newest[0].report_every_s if self._newest else 0.0

    def _run(self) -> None:
        looked_at = float("-inf")
        while not self._closing:
            self._wake.wait(_WITHOUT_DUTIES * self._period_s if self._newest else None)
            # Several changes of a host within a period, as a migration makes them, need one look.
            self._end.wait(max(0.0, looked_at + self._period_s - time.monotonic()))
            self._wake.clear()
            if self._closing:
                return
            looked_at = time.monotonic()
            try:
                self.look()
            except Exception:  # the thread must outlive whatever a look at the host may run into
                log.exception("can't look after the host")
