"""Removes the VIFs that nothing explains: what a crash, an unreachable host or a lost order left behind.

A VIF that Kedge made here is explained by a binding for this host (the control plane's `HostDuties` name
them all) or by a domain on this host that uses it. One that is explained by neither in two successive looks
is unplugged. Each look needs duties of its own, so that a VIF which was plugged while the duties were on
their way is not taken for a leftover.

The same is done with what VIFs share, a bridge, a VLAN device, a patch, flows, and that none uses any more; and with
a device that an agent made and had no time to mark.
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import structlog

from kedge.agent.domains.interface_devices import names_used
from kedge.agent.vif.orders import VifOrders
from kedge.model.domain import VifReport
from kedge.model.errors import KedgeError
from kedge.wire.messages import HostDuties

log = structlog.get_logger(__name__)

# Duties older than so many report periods are no ground to remove anything.
_FRESH_PERIODS = 3
# What VIFs share is looked at so seldom while the same VIFs are here.
_LOOSE_EVERY = 3


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

    def __init__(self, vifs: VifOrders) -> None:
        self._vifs = vifs
        self._suspects: frozenset[str] = frozenset()
        self._loose: frozenset[str] = frozenset()
        self._picture: object = None
        self._spared = 0

    def forget(self) -> None:
        """Begin to count anew."""
        self._suspects = self._loose = frozenset()
        self._picture = None

    def look(self, duties: HostDuties, asked_at: float, xmls: Iterable[str], *, whole: bool) -> None:
        """Compare and collect.

        Args:
            duties: what the control plane said.
            asked_at: when it was asked (monotonic clock, seconds).
            xmls: the active domains here.
            whole: whether nothing is missing of their VIFs; else what looks unused may be what is to be mended.
        """
        used: set[str] = set()
        for xml in xmls:
            used |= names_used(xml)
        try:
            plugged = self._vifs.plugged()
            self._collect_vifs(plugged, duties, asked_at, used)
            self._collect_loose((plugged, used), whole)
        except KedgeError as error:
            # A host that can't be seen whole gives no ground to remove anything from it.
            self.forget()
            log.warning("can't compare the host with its duties", error=str(error))

    def _collect_loose(self, picture: object, whole: bool) -> None:
        """Looks at all flows, which takes long: at once when other VIFs are here than before, else now and then."""
        self._spared = 0 if picture != self._picture or self._loose else self._spared + 1
        if self._spared % _LOOSE_EVERY:
            return
        self._picture = picture
        found = self._vifs.loose() if whole else frozenset()
        again, self._loose = found & self._loose, found
        if again:
            for what in self._vifs.remove_loose(again):
                log.info("removed what no VIF uses", what=what)

    def _collect_vifs(
        self, plugged: Iterable[VifReport], duties: HostDuties, asked_at: float, used: Collection[str]
    ) -> None:
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
