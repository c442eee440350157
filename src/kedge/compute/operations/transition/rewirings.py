"""The servers of a host that is changed in place: how they are wired, and the rewirings that a transition begins."""

from collections.abc import Sequence
from contextlib import suppress

import structlog
from sqlalchemy import Engine

from kedge.core.operation.host_seen import ServerWired, Wired
from kedge.core.placement import Fleet
from kedge.model.errors import CannotMigrate, Conflict, KedgeError, NotFound, StaleEpoch
from kedge.model.operation import Operation
from kedge.model.rewiring import Rewiring, RewiringOutcome

from ...migrations.actor import Tools
from ...rewirings.records import RewiringRecords
from ...rewirings.rewirings import Rewirings
from .records import TransitionRecords
from .ways import OFF

log = structlog.get_logger()


class TransitionRewirings:
    """For whoever drives the operation with this epoch."""

    def __init__(self, operation_id: str, epoch: int, tools: Tools, engine: Engine) -> None:
        self._id, self._epoch = operation_id, epoch
        self._tools = tools
        self._records = TransitionRecords(engine)
        self._rewirings = Rewirings(tools, RewiringRecords(engine))

    def off(self, host: str) -> frozenset[str] | None:
        """The servers on this host that don't run; None if its agent can't be asked."""
        try:
            domains = self._tools.agents.agent(host).domains()
        except KedgeError as error:
            log.info("a host is not reached, will try again", operation=self._id, host=host, error=str(error))
            return None
        return frozenset(each.uuid for each in domains if each.state in OFF)

    def seen(
        self, operation: Operation, host: str, backend: str, fleet: Fleet, off: frozenset[str]
    ) -> dict[str, ServerWired]:
        """How the servers on this host are wired."""
        there = [each.id for each in fleet.on(host)]
        own = {item.server_id: item.rewiring for item in operation.items}
        known = self._rewirings.records.latest(there)
        return {
            each: self._seen(each, own, known.get(each), host, backend, off=each in off) for each in there
        }

    def _seen(
        self,
        server_id: str,
        own: dict[str, str | None],
        last: Rewiring | None,
        host: str,
        backend: str,
        *,
        off: bool,
    ) -> ServerWired:
        is_own = last is not None and own.get(server_id) == last.id
        if last is not None and last.finished_at is None:
            return ServerWired(Wired.CHANGING, ours=is_own)
        completed = last is not None and last.state == RewiringOutcome.COMPLETED.value
        if (is_own and completed) or self._rewirings.is_wired(server_id, host, backend):
            return ServerWired(Wired.NEW)
        if off:
            return ServerWired(Wired.OFF)
        if is_own and last is not None:
            return ServerWired(
                Wired.FAILED, f"its rewiring {last.id} {last.state}: {last.error or 'a person asked'}"
            )
        return ServerWired(Wired.OLD, ours=server_id in own)

    def begin(self, server_ids: Sequence[str], host: str, backend: str) -> None:
        """Begin to rewire them. Raises CannotMigrate for what a person has to mend; StaleEpoch.

        A server that has left meanwhile, is deleted or being migrated is left alone: the next look sees what is now.
        """
        obstacles = []
        for server_id in server_ids:
            try:
                server = self._tools.servers.find(server_id)
                if server.host != host:
                    continue
                plan = self._rewirings.plan(server, backend)
                obstacles += [f"{server.name}: {each}" for each in plan.obstacles if not plan.silent]
                if plan.possible:
                    claim = self._records.claim_rewiring(self._id, self._epoch, server)
                    self._rewirings.records.add(server, backend, plan.ports, claim)
                    self._tools.rewiring_begun.set()
            except StaleEpoch:
                raise
            except (Conflict, NotFound) as error:
                log.info("a server is not rewired yet", server=server_id, why=str(error))
        if obstacles:
            raise CannotMigrate(f"Servers can't be rewired on {host}", obstacles)

    def take_back(self, operation: Operation, server_ids: Sequence[str]) -> None:
        """Ask for the abort of their rewirings; those that have moved every port only go on to their end."""
        for item in operation.items:
            if item.server_id in server_ids and item.rewiring is not None:
                with suppress(Conflict, NotFound):
                    self._rewirings.records.request_abort(item.rewiring)
