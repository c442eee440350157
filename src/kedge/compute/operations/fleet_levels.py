"""How level the hosts of the fleet are now, and which moves would level them."""

from collections.abc import Collection

from kedge.core.operation import Levels, level
from kedge.core.placement import Fleet
from kedge.model.rebalance import Levelling
from kedge.model.server import Server
from kedge.store.tables import ServerStatus

from ..migrations.actor import Tools
from ..migrations.running import RunningMigrations
from ..placement.places import Places
from .records import OperationRecords

_CAN_MOVE = {ServerStatus.ACTIVE.value, ServerStatus.PAUSED.value}
_LOOKS = 10


class FleetLevels:
    """Plans rebalances."""

    def __init__(self, tools: Tools, records: OperationRecords, places: Places) -> None:
        self._tools = tools
        self._records = records
        self._places = places
        self._migrations = RunningMigrations(records.engine)

    def of(self, wanted: Levelling, among: Collection[str] = ()) -> Levels:
        """The moves that level these hosts, or all.

        Servers that are shut off, are being migrated, or belong to an operation that has not ended, stay. NICs are
        looked at of those servers only that would be moved: there may be very many others.
        """
        servers = {each.id: each for each in self._tools.servers.all()}
        to_move: dict[str, Server] = {}
        for _ in range(_LOOKS):
            levels = self._look(wanted, among, servers, to_move)
            new = {each.server_id for each in levels.moves} - to_move.keys()
            if not new:
                break
            to_move |= {server_id: servers[server_id] for server_id in new}
        return levels

    def _look(
        self,
        wanted: Levelling,
        among: Collection[str],
        servers: dict[str, Server],
        to_move: dict[str, Server],
    ) -> Levels:
        fleet: Fleet = self._places.fleet(list(to_move.values()), with_migrations=False)
        migrating = {each.server_id: each.destination for each, _, _ in self._migrations.all()}
        for server_id, destination in migrating.items():
            if server_id in fleet.servers:
                fleet = fleet.moved(server_id, destination)
        taken = migrating.keys() | self._records.claimed()
        free = {each.id for each in servers.values() if each.status in _CAN_MOVE and each.id not in taken}
        return level(fleet, wanted, among, free)
