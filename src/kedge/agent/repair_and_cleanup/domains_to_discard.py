"""Removes domains that a migration left here: half-made ones, and those whose VM goes on elsewhere.

A host can't tell by itself: a domain that comes in looks the same whether it is still fed or not, and a VM that
stands still for a migration may be all that is left of it. So nothing goes without the control plane's word, which
it gives when no migration involves the domain and the server is seen elsewhere. The word must be given again and
again for some time, for the same instance in the same state; and what is removed is checked once more under
the lock under which orders about the domain are carried out.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from kedge.agent.domains.hypervisor import Hypervisor, Instance
from kedge.agent.on_disk.highest_epochs import Epochs
from kedge.model.errors import KedgeError
from kedge.wire.messages import DiscardOrder, HostDuties

log = structlog.get_logger(__name__)

PATIENCE_PERIODS = 5
"""For so many report periods a domain must be named. By then a source that still feeds it has reported its job."""

_FRESH_PERIODS = 1


@dataclass(frozen=True)
class Suspect:
    """A domain that the control plane gave free, as it is since `since` (monotonic clock, seconds)."""

    instance: Instance
    since: float


def still_suspect(
    named: Mapping[str, DiscardOrder],
    seen: Mapping[str, Instance],
    before: Mapping[str, Suspect],
    now: float,
) -> dict[str, Suspect]:
    """The suspects after a look: those that are named, are in a state that was said, and for how long. Pure."""
    return {
        uuid: before[uuid]
        if uuid in before and before[uuid].instance == seen[uuid]
        else Suspect(seen[uuid], now)
        for uuid, order in named.items()
        if uuid in seen and seen[uuid].state in order.only_in
    }


class DomainsToDiscard:
    """Takes a look each time duties arrive."""

    def __init__(self, hypervisor: Hypervisor, epochs: Epochs) -> None:
        self._hypervisor = hypervisor
        self._epochs = epochs
        self._suspects: dict[str, Suspect] = {}

    def look(self, duties: HostDuties, asked_at: float) -> None:
        """Remove what was named for long enough. `asked_at` is when the duties were asked for (monotonic clock)."""
        now = time.monotonic()
        try:
            self._hypervisor.end_made()
            seen = self._hypervisor.instances(duties.discard)
        except KedgeError as error:
            self._suspects = {}
            log.warning("can't look at the domains that nobody needs", error=str(error))
            return
        self._suspects = still_suspect(duties.discard, seen, self._suspects, now)
        if now - asked_at > _FRESH_PERIODS * duties.report_every_s:
            return
        for uuid, suspect in list(self._suspects.items()):
            if now - suspect.since >= PATIENCE_PERIODS * duties.report_every_s:
                self._discard(uuid, suspect.instance, duties.discard[uuid])

    def _discard(self, uuid: str, instance: Instance, order: DiscardOrder) -> None:
        try:
            self._epochs.admit(f"server {uuid}", order.epoch)
            self._hypervisor.discard(uuid, order, instance)
        except KedgeError as error:
            log.warning("can't remove a domain that nobody needs", domain=uuid, error=str(error))
            return
        del self._suspects[uuid]  # what is defined anew under this UUID is counted anew
        log.info("removed a domain that nobody needs", domain=uuid, state=instance.state.value)
