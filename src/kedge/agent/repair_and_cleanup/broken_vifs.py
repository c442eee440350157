"""Plugs again what a binding says must be wired for a domain here, and is not.

Open vSwitch was restarted and has no flows, somebody took a tap out of its bridge, a bridge was removed: the VM goes
on, and nobody hears it. A VIF of which nothing is missing is not touched. What the hypervisor made can't be
made again for a running VM, and what Kedge did not make, the tap of an adopted server, it leaves alone.
"""

from collections.abc import Iterable

import structlog

from kedge.agent.vif.orders import VifOrders
from kedge.core.domain_xml import attachments, nic_of
from kedge.model.domain import VifState
from kedge.model.errors import KedgeError
from kedge.model.network import Vif

log = structlog.get_logger(__name__)


class Mender:
    """Mends the VIFs of the domains here."""

    def __init__(self, vifs: VifOrders) -> None:
        self._vifs = vifs
        self._failures: dict[str, str] = {}

    def mend(self, vifs: Iterable[Vif], xmls: Iterable[str], asked_at: float) -> bool:
        """Plug again what is missing of these VIFs; whether nothing is missing now.

        `xmls` are those of the active domains. A VIF that was unplugged by an order since `asked_at` (monotonic
        clock, seconds), when `vifs` were asked for, is left as it is.
        """
        nics = [nic for xml in xmls for nic in attachments(xml)]
        used = [(vif, nic.queues) for vif in vifs if (nic := nic_of(vif, nics)) is not None]
        states = self._vifs.states(vif for vif, _ in used)
        broken = [each for each in used if states.get(each[0].port_id) is VifState.ABSENT]
        for port_id in self._failures.keys() - {vif.port_id for vif, _ in broken}:
            del self._failures[port_id]
        mended = [self._mend(vif, queues, asked_at) for vif, queues in broken]
        return all(mended) and len(states) == len(used)

    def _mend(self, vif: Vif, queues: int, asked_at: float) -> bool:
        try:
            state = self._vifs.mend(vif, queues, asked_at)
        except KedgeError as error:
            if self._failures.get(vif.port_id) != str(error):
                log.warning("can't mend a VIF of a domain here", port=vif.port_id, error=str(error))
            self._failures[vif.port_id] = str(error)
            return False
        log.info("mended a VIF of a domain here", port=vif.port_id, state=state.value)
        return state is not VifState.ABSENT
