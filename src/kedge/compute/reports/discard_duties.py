"""What agents may remove of the domains on their hosts: the control plane's word on what migrations left there.

A host that was away while its VM went on elsewhere, or was told that it did, comes back with a domain of which
nobody speaks any more: the migration has ended. Its report shows the domain, and the answer gives it free.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import Engine, select

from kedge.core.unneeded_domain import LEFT_STATES, is_unneeded
from kedge.model.domain import DomainState, HostView
from kedge.model.errors import KedgeError
from kedge.network.service import HostRegistry
from kedge.store import reading
from kedge.store.tables import MigrationRow, ServerRow
from kedge.wire.messages import DiscardOrder, HostDuties, HostReport, ObserveRequest

from ..hosts.agents import Agents
from ..hosts.around import HostsAround
from ..records.migrations import newest_epoch

log = structlog.get_logger(__name__)

_SILENCE_S = 30.0
"""A home whose agent did not answer is not asked again for so long: a report must not wait for it each time."""


@dataclass(frozen=True)
class _Known:
    """What the database says of some servers: their hosts, those that are migrated now, and the newest epoch."""

    homes: Mapping[str, str]
    moving: Collection[str]
    epoch: int


class HostsWithDiscards(HostsAround):
    """A `HostRegistry` whose duties also say which domains nobody needs."""

    def __init__(self, hosts: HostRegistry, engine: Engine, agents: Agents) -> None:
        super().__init__(hosts)
        self._engine = engine
        self._agents = agents
        self._reports: dict[str, HostReport] = {}
        self._silent_since: dict[str, float] = {}

    def record_host(self, report: HostReport) -> None:
        """Keep what an agent says of its host."""
        super().record_host(report)
        self._reports[report.host] = report

    def duties(self, host: str) -> HostDuties:
        """What a host's agent is to keep plugged, and which domains of its last report it may remove."""
        duties = super().duties(host)
        report = self._reports.get(host)
        if report is None or not duties.known:
            return duties
        return replace(duties, discard=self.discard_orders(report))

    def discard_orders(self, report: HostReport) -> dict[str, DiscardOrder]:
        """Orders for the domains in a report that nobody needs, by UUID."""
        left = {uuid: state for uuid, state in report.domains.items() if state in LEFT_STATES}
        if not left:
            return {}
        known = self._known(left)
        return {
            uuid: DiscardOrder((state,), known.epoch)
            for uuid, state in left.items()
            if self._is_unneeded(report, uuid, state, known)
        }

    def _is_unneeded(self, report: HostReport, uuid: str, state: DomainState, known: _Known) -> bool:
        home = known.homes.get(uuid)
        if home is None:
            # Of a server that never came to be, there is at most a definition; all others are not Kedge's.
            return uuid in report.half_made and state is DomainState.SHUTOFF
        if home == report.host or uuid in known.moving:
            return False
        view = self._view_of(uuid, home)
        return view is not None and is_unneeded(state, view)

    def _known(self, uuids: Collection[str]) -> _Known:
        with reading(self._engine) as session:
            homes: dict[str, str] = dict(
                session.execute(select(ServerRow.id, ServerRow.host).where(ServerRow.id.in_(uuids))).all()
            )
            moving = select(MigrationRow.server_id).where(
                MigrationRow.server_id.in_(homes), MigrationRow.finished_at.is_(None)
            )
            return _Known(homes, set(session.scalars(moving)), newest_epoch(session))

    def _view_of(self, uuid: str, home: str) -> HostView | None:
        """The server as its host has it now; None if that can't be told."""
        if time.monotonic() - self._silent_since.get(home, -_SILENCE_S) < _SILENCE_S:
            return None
        try:
            if not self._agents.host(home).alive:
                return None
            return self._agents.agent(home).observe(uuid, ObserveRequest(check_vifs=False))
        except KedgeError as error:
            self._silent_since[home] = time.monotonic()
            log.info("can't tell whether a domain is needed", domain=uuid, home=home, error=str(error))
            return None
