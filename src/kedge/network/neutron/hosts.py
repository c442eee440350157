"""Hosts beside a Neutron: they report to Kedge's own registry, and what belongs on them is what Neutron has bound.

Kedge answers for the servers that it knows: those that are on a host, and those that are being migrated from or to
it. An agent asks every other second, and Neutron needs 15 ms for each port. So the VIFs of a server at rest are
remembered for a minute; those of one that is being migrated, or was changed lately, are always read anew.
"""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from sqlalchemy import Engine, or_, select

from kedge.model.errors import KedgeError
from kedge.model.host import Host
from kedge.model.network import Network, Vif, VifType, vif_of
from kedge.store import now, reading
from kedge.store.tables import MigrationRow, ServerRow
from kedge.wire.messages import HostDuties, HostReport

from ..service import HostRegistry, NetworkService

log = structlog.get_logger()

REST_S = 60.0
"""How long the VIFs of a server that nobody moves are remembered, and how long it takes to count as that."""

PATIENCE_S = 4.0
"""For all questions of one report. An agent waits for ten seconds, and asks again soon; what was read is kept."""

_UNPLUGGABLE = {VifType.UNBOUND, VifType.BINDING_FAILED}


@dataclass
class _Remembered:
    """The VIFs of one server by host, as they were read at a time of the monotonic clock."""

    at: float
    vifs: dict[str, list[Vif]] = field(default_factory=dict)


class NeutronHosts:
    """`HostRegistry` for a network service that is elsewhere.

    Args:
        registry: takes the reports.
        network: the network service.
        engine: of the database in which Kedge keeps its servers and migrations.
        clock: a monotonic one, in seconds.
    """

    def __init__(
        self,
        registry: HostRegistry,
        network: NetworkService,
        engine: Engine,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._network = network
        self._engine = engine
        self._clock = clock
        self._remembered: dict[str, _Remembered] = {}
        self._networks: dict[str, Network] = {}
        self._failing: set[str] = set()

    def record_host(self, report: HostReport) -> None:
        """Keep what an agent says of its host."""
        self._registry.record_host(report)

    def hosts(self, names: Collection[str] | None = None) -> list[Host]:
        """All hosts by name, or these of them, dead ones too."""
        return self._registry.hosts(names)

    def host(self, name: str) -> Host:
        """The host of this name. Raises NotFound."""
        return self._registry.host(name)

    def force_down(self, name: str, forced_down: bool) -> Host:
        """Note that a host is off, or take that back. Raises NotFound."""
        return self._registry.force_down(name, forced_down)

    def duties(self, host: str) -> HostDuties:
        """The VIFs of Kedge's servers on a host. If Neutron does not say them all, they are not known."""
        rhythm = self._registry.duties(host).report_every_s
        try:
            vifs = tuple(self._vifs(host))
        except KedgeError as error:
            if host not in self._failing:
                log.warning("what belongs on a host is not known now", host=host, error=str(error))
                self._failing.add(host)
            return HostDuties((), rhythm, known=False)
        self._failing.discard(host)
        return HostDuties(vifs, rhythm)

    def _vifs(self, host: str) -> Iterator[Vif]:
        until = self._clock() + PATIENCE_S
        for server_id, at_rest in self._servers(host):
            if self._clock() > until:
                raise KedgeError(f"Neutron takes more than {PATIENCE_S:g} s for the servers on {host}")
            yield from self._of_server(server_id, at_rest).get(host, ())

    def _servers(self, host: str) -> list[tuple[str, bool]]:
        """The servers that Kedge answers for on a host, and whether each is at rest."""
        moving = select(MigrationRow.server_id).where(
            MigrationRow.finished_at.is_(None),
            or_(MigrationRow.source == host, MigrationRow.destination == host),
        )
        recent = now(self._engine) - timedelta(seconds=REST_S)
        with reading(self._engine) as session:
            moved = set(session.scalars(moving))
            rows = session.execute(
                select(ServerRow.id, ServerRow.updated_at).where(
                    or_(ServerRow.host == host, ServerRow.id.in_(moved))
                )
            )
            return [(server_id, server_id not in moved and at < recent) for server_id, at in rows]

    def _of_server(self, server_id: str, at_rest: bool) -> dict[str, list[Vif]]:
        known = self._remembered.get(server_id)
        if at_rest and known and self._clock() - known.at < REST_S:
            return known.vifs
        read = _Remembered(self._clock())
        for port, bindings in self._network.bound_ports(server_id):
            network = self._network_of(port.network_id)
            for binding in bindings:
                if binding.vif_type not in _UNPLUGGABLE:
                    read.vifs.setdefault(binding.host, []).append(vif_of(port, network, binding))
        if len(self._remembered) > 10_000:
            self._remembered.clear()
        self._remembered[server_id] = read
        return read.vifs

    def _network_of(self, network_id: str) -> Network:
        if network_id not in self._networks:
            self._networks[network_id] = self._network.network(network_id)
        return self._networks[network_id]
