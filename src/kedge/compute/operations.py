"""Operations as people begin them: what is refused before anything is touched, and what would happen."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from kedge.core.operation import Move, Prediction, Seen, TransferModel, simulate
from kedge.model.errors import BadRequest, Conflict
from kedge.model.operation import Operation, OperationKind, OperationLimits
from kedge.model.server import UNKNOWN_REFUSED, Server

from .actor import Tools
from .operation_records import OperationRecords
from .places import Places
from .running_migrations import RunningMigrations


@dataclass(frozen=True)
class OperationRequest:
    """An operation that somebody wants.

    Attributes:
        host: which host is drained or restored.
        servers: which servers are moved, by name or id; only for a list of servers.
        to: where servers may go; without, to any host.
    """

    __pydantic_config__ = UNKNOWN_REFUSED

    kind: OperationKind
    host: str = ""
    servers: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    limits: OperationLimits = field(default_factory=OperationLimits)


@dataclass(frozen=True)
class Wanted:
    """A request that was checked: which servers are to be brought where."""

    request: OperationRequest
    servers: tuple[Server, ...]
    targets: tuple[str, ...]


class Operations:
    """Begins operations and predicts them."""

    def __init__(self, tools: Tools, records: OperationRecords, places: Places) -> None:
        self._tools = tools
        self.records = records
        self._places = places

    def begin(self, request: OperationRequest) -> Operation:
        """Store it; the conductor does the rest. Raises what `simulate` raises, and Conflict for a rival."""
        wanted = self._checked(request)
        prediction = self._predict(wanted, TransferModel())
        operation = self.records.add(
            request.kind,
            request.host,
            wanted.targets,
            wanted.servers,
            limits=request.limits,
            prediction=asdict(prediction),
        )
        if request.kind is OperationKind.DRAIN:
            self._tools.settings.disable(request.host, reason_of(operation))
        return operation

    def simulate(self, request: OperationRequest, model: TransferModel) -> Prediction:
        """What it would do. Raises NotFound, BadRequest or Conflict if it could not begin; nothing is stored."""
        return self._predict(self._checked(request), model)

    def _predict(self, wanted: Wanted, model: TransferModel) -> Prediction:
        moves = moves_of(
            wanted.request.kind,
            wanted.request.host,
            wanted.targets,
            [(each.id, each.host) for each in wanted.servers],
        )
        drained = wanted.request.host if wanted.request.kind is OperationKind.DRAIN else None
        fleet = self._places.fleet(wanted.servers, with_migrations=False)
        emptying = frozenset({drained} if drained else ())
        others = tuple(
            replace(each, ours=False) for each, _, _ in RunningMigrations(self.records.engine).all()
        )
        return simulate(Seen(fleet, moves, others, wanted.request.limits, emptying), model)

    def _checked(self, request: OperationRequest) -> Wanted:
        for target in request.to:
            self._tools.agents.host(target)
        if request.kind is OperationKind.SERVERS:
            return self._checked_list(request)
        if request.servers:
            raise BadRequest(f"A {request.kind} takes a host and no servers.")
        if not request.host:
            raise BadRequest(f"Say which host the {request.kind} is for.")
        host = self._tools.agents.host(request.host)
        if not host.alive:
            why = "is forced down" if host.forced_down else "has a dead agent (no report lately)"
            raise Conflict(
                f"Host {host.name} {why}, so nothing can be moved; start `kedge agent` there first."
            )
        if request.host in request.to:
            raise BadRequest(f"A {request.kind} of {request.host} can't bring servers to {request.host}.")
        if request.kind is OperationKind.DRAIN:
            servers = [each for each in self._tools.servers.all() if each.host == request.host]
            return Wanted(request, tuple(servers), request.to)
        return self._checked_restore(request)

    def _checked_list(self, request: OperationRequest) -> Wanted:
        if request.host or not request.servers:
            raise BadRequest("Name the servers to move, and no host; where they may go is `to`.")
        servers = {each.id: each for each in map(self._tools.servers.find, request.servers)}
        return Wanted(request, tuple(servers.values()), request.to)

    def _checked_restore(self, request: OperationRequest) -> Wanted:
        if request.to:
            raise BadRequest("A restore brings servers back to where they were; leave `to` out.")
        drain = self.records.last_drain(request.host)
        if drain is None:
            raise Conflict(f"Host {request.host} was never drained, so there is nothing to bring back.")
        if drain.finished_at is None:
            raise Conflict(f"Host {request.host} is being drained by operation {drain.id}; abort that first.")
        taken = {item.server_id for item in drain.items}
        servers = [each for each in self._tools.servers.all() if each.id in taken]
        return Wanted(request, tuple(servers), (request.host,))


def moves_of(
    kind: OperationKind, host: str, targets: Sequence[str], servers: Sequence[tuple[str, str]]
) -> tuple[Move, ...]:
    """What an operation does with these servers, each an id with the host that it was on at the beginning."""
    if kind is OperationKind.DRAIN:
        return tuple(Move(server_id, host, tuple(targets)) for server_id, _ in servers)
    if targets:
        return tuple(Move(server_id, None, tuple(targets)) for server_id, _ in servers)
    return tuple(Move(server_id, source) for server_id, source in servers)


def reason_of(drain: Operation) -> str:
    """Why the host of a drain is disabled."""
    return f"drained by operation {drain.id}"


__all__ = ["OperationRequest", "Operations"]
