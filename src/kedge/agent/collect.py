"""Removes the VIFs that nothing explains: what a crash, an unreachable host or a lost order left behind.

A VIF that Kedge made here is explained by a binding for this host (the control plane's `HostDuties` name
them all) or by a domain on this host that uses it. One that is explained by neither in two successive looks
is unplugged. Each look needs duties of its own, so that a VIF which was plugged while the duties were on
their way is not taken for a leftover.
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import structlog

from kedge.agent.hypervisor import Hypervisor
from kedge.agent.interfaces import names_used
from kedge.agent.vif_orders import VifOrders
from kedge.model.agent_api import HostDuties, VifReport
from kedge.model.errors import KedgeError

log = structlog.get_logger(__name__)

# Duties older than so many report periods are no ground to remove anything.
_FRESH_PERIODS = 3


@dataclass(frozen=True)
class Decision:
    """Ports to unplug now, and ports to look at again."""

    unplug: frozenset[str] = frozenset()
    suspects: frozenset[str] = frozenset()


def decide(
    plugged: Iterable[VifReport],
    *,
    bound: Collection[str],
    used: Collection[str],
    suspects: Collection[str],
    age_s: float,
    period_s: float,
) -> Decision:
    """What to unplug. Pure.

    Args:
        plugged: the VIFs that Kedge made here.
        bound: ports with a binding on this host.
        used: devices and port ids that interfaces of domains here name as their own.
        suspects: ports that the look before this one found unexplained.
        age_s: how old the duties are that `bound` comes from.
        period_s: how often duties are asked for.
    """
    if age_s > _FRESH_PERIODS * period_s:
        return Decision()
    unexplained = frozenset(
        vif.port_id
        for vif in plugged
        if vif.port_id not in bound and not {vif.port_id, f"tap{vif.port_id[:11]}", *vif.devices} & set(used)
    )
    again = unexplained & frozenset(suspects)
    return Decision(unplug=again, suspects=unexplained - again)


class Collector:
    """Takes a look each time duties arrive."""

    def __init__(self, hypervisor: Hypervisor, vifs: VifOrders) -> None:
        self._hypervisor = hypervisor
        self._vifs = vifs
        self._suspects: frozenset[str] = frozenset()

    def look(self, duties: HostDuties, asked_at: float) -> None:
        """Compare and collect. `asked_at` is when the duties were asked for (monotonic clock, seconds)."""
        try:
            used: set[str] = set()
            for xml in self._hypervisor.active_xmls().values():
                used |= names_used(xml)
            plugged = self._vifs.plugged()
        except KedgeError as error:
            # A host that can't be seen whole gives no ground to remove anything from it.
            self._suspects = frozenset()
            log.warning("can't compare the host with its duties", error=str(error))
            return
        decision = decide(
            plugged,
            bound={vif.port_id for vif in duties.vifs},
            used=used,
            suspects=self._suspects,
            age_s=time.monotonic() - asked_at,
            period_s=duties.report_every_s,
        )
        self._suspects = decision.suspects
        for port_id in sorted(decision.unplug):
            self._collect(port_id, asked_at)

    def _collect(self, port_id: str, asked_at: float) -> None:
        try:
            if self._vifs.collect(port_id, asked_at):
                log.info("collected a VIF that nothing explains", port=port_id)
        except KedgeError as error:
            log.warning("can't collect a VIF", port=port_id, error=str(error))
