"""Operations as people begin them: what is refused before anything is touched, and what would happen."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType

from kedge.core.operation import COMMAND_S, Levels, Move, Prediction, Seen, TransferModel, learn, simulate
from kedge.core.operation.simulate_transition import simulate_transition
from kedge.core.placement import Fleet
from kedge.model.errors import BadRequest, CannotMigrate, Conflict
from kedge.model.operation import Operation, OperationKind, OperationLimits
from kedge.model.rebalance import Levelling
from kedge.model.server import UNKNOWN_REFUSED, Server
from kedge.model.transition import Transition
from kedge.store import now

from ..migrations.actor import Tools
from ..migrations.running import RunningMigrations
from ..placement.places import Places
from ..records.rooms import RoomTaken
from ..rewirings.records import RewiringRecords
from ..rewirings.rewirings import Rewirings
from .dirty_rates import measured
from .fleet_levels import FleetLevels
from .past_migrations import past_changes, past_migrations, past_rewirings
from .records import OperationRecords
from .transition.request import checked
from .transition.ways import Ways, ways_of

_TRIES = 5
"""So often an operation is planned whose room was promised to others before it was stored."""


@dataclass(frozen=True)
class OperationRequest:
    """An operation that somebody wants.

    Attributes:
        host: which host is drained or restored.
        servers: which servers are moved, by name or id; only for a list of servers.
        to: where servers may go; without, to any host. Of a rebalance, the hosts that it levels; without, all.
        levelling: only of a rebalance; without, the usual one.
        transition: only of a transition, which has its hosts and the backend that they shall have.
        policy: the name of the one that all its migrations have; without, each server's label names its own.
    """

    __pydantic_config__ = UNKNOWN_REFUSED

    kind: OperationKind
    host: str = ""
    servers: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    limits: OperationLimits = field(default_factory=OperationLimits)
    levelling: Levelling | None = None
    transition: Transition | None = None
    policy: str | None = None


@dataclass(frozen=True)
class Wanted:
    """A request that was checked: which servers are to be brought where.

    `levels` are a rebalance's, which has a destination for each of its servers; `ways` are how a transition's hosts are
    changed.
    """

    request: OperationRequest
    servers: tuple[Server, ...]
    targets: tuple[str, ...]
    levels: Levels | None = None
    ways: Ways = field(default_factory=Ways)

    def destinations(self) -> dict[str, tuple[str, ...]]:
        """Where those servers are to go that may not go to all targets, by their ids."""
        return {each.server_id: each.hosts for each in self.levels.moves} if self.levels else {}


class Operations:
    """Begins operations and predicts them."""

    def __init__(self, tools: Tools, records: OperationRecords, places: Places) -> None:
        self._tools = tools
        self.records = records
        self._places = places
        self._levels = FleetLevels(tools, records, places)

    def begin(self, request: OperationRequest) -> Operation:
        """Store it; the conductor does the rest. Raises what `simulate` raises, and Conflict for a rival."""
        for _ in range(_TRIES):
            try:
                operation = self._begin(request)
                break
            except RoomTaken as error:
                taken = error
        else:
            raise taken
        if request.kind is OperationKind.DRAIN:
            self._tools.settings.disable(request.host, reason_of(operation))
        return operation

    def _begin(self, request: OperationRequest) -> Operation:
        wanted = self._checked(request)
        prediction, fleet = self._predict(wanted, {})
        if request.transition is not None and prediction.unmoved:
            reasons = sorted({reason for each in prediction.unmoved.values() for reason in each})
            raise CannotMigrate(f"The hosts can't be changed to {request.transition}", reasons)
        return self.records.add(
            request.kind,
            request.host,
            wanted.targets,
            wanted.servers,
            destinations=wanted.destinations(),
            levelling=wanted.request.levelling,
            limits=request.limits,
            prediction=asdict(prediction),
            policy=request.policy,
            transition=request.transition,
            ways=wanted.ways,
            planned=_planned(wanted, prediction),
            memory={name: state.memory for name, state in fleet.hosts.items()},
        )

    def simulate(
        self,
        request: OperationRequest,
        given: Mapping[str, float] = MappingProxyType({}),
        measure_s: int = 0,
    ) -> Prediction:
        """What it would do. Raises NotFound, BadRequest or Conflict if it could not begin; nothing is stored.

        `given` are numbers of the transfer model that hold instead of what was learned of former migrations. With
        `measure_s` it is measured for so many seconds how fast the servers write to their memory.
        """
        wanted = self._checked(request)
        dirty_mib = measured(self._tools.agents, wanted.servers, measure_s) if measure_s else {}
        return self._predict(wanted, given, dirty_mib)[0]

    def _predict(
        self,
        wanted: Wanted,
        given: Mapping[str, float],
        dirty_mib: Mapping[str, float] = MappingProxyType({}),
    ) -> tuple[Prediction, Fleet]:
        """With the part of the fleet that it is made of."""
        hosts = wanted.destinations()
        options, left = self._tools.policies.of_each(wanted.servers, wanted.request.policy)
        planned = moves_of(
            wanted.request.kind,
            wanted.request.host,
            wanted.targets,
            [(each.id, each.host, hosts.get(each.id, ())) for each in wanted.servers],
        )
        moves = tuple(replace(each, left=left.get(each.server_id)) for each in planned)
        drained = wanted.request.host if wanted.request.kind is OperationKind.DRAIN else None
        emptying = frozenset({drained} if drained else ())
        under_way = RunningMigrations(self.records.engine).all()
        others = tuple(replace(each, ours=False) for each, _, _ in under_way)
        change = wanted.request.transition
        model = replace(self._learned(change), dirty_mib=dict(dirty_mib), **given)  # type: ignore[arg-type]
        limits, now_s = wanted.request.limits, now(self.records.engine).timestamp()
        for fleet in self._places.fleets(
            wanted.servers,
            limits,
            () if change else targets_of(moves),
            with_hosts=change.hosts if change else (),
            with_migrations=False,
        ):
            as_begun = fleet
            if change is not None:
                seen = Seen(fleet, (), others, limits, now_s=now_s)
                homes = {each.id: each.host for each in wanted.servers}
                in_place, why = wanted.ways.in_place, wanted.ways.why
                prediction = simulate_transition(
                    change, seen, homes, model, in_place=in_place, options=options, left=left
                )
                turns = tuple(replace(each, why=why.get(each.host, "")) for each in prediction.turns)
                prediction = replace(prediction, turns=turns)
                if not prediction.unmoved:
                    break
                continue
            if wanted.request.kind is OperationKind.RESTORE:
                as_begun = fleet.enabled(wanted.request.host)
            seen = Seen(as_begun, moves, others, limits, emptying, now_s=now_s)
            prediction = simulate(seen, model, options)
            if prediction.unmoved.keys() <= {each.server_id for each in prediction.legs}:
                break
        return replace(prediction, levels=wanted.levels.levels if wanted.levels else ()), fleet

    def _learned(self, change: Transition | None) -> TransferModel:
        """What was learned, and what who wants the transition says of it."""
        engine = self.records.engine
        if change is None:
            return learn(past_migrations(engine), TransferModel())
        assumed = TransferModel(convert_s=COMMAND_S) if change.run else TransferModel()
        model = learn(past_migrations(engine), assumed, past_changes(engine, change), past_rewirings(engine))
        return model if change.change_s is None else replace(model, convert_s=change.change_s)

    def _checked(self, request: OperationRequest) -> Wanted:
        if request.policy is not None:
            self._tools.policies.find(request.policy)
        for target in request.to:
            self._tools.agents.host(target)
        if (request.transition is not None) is not (request.kind is OperationKind.TRANSITION):
            raise BadRequest(
                "A transition, and nothing else, has `transition`: its hosts and their new backend."
            )
        if request.transition is not None:
            return self._checked_transition(request, request.transition)
        if request.kind is OperationKind.REBALANCE:
            return self._checked_rebalance(request)
        if request.levelling is not None:
            raise BadRequest(f"A {request.kind} levels nothing; leave `levelling` out.")
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
            return Wanted(request, tuple(self._tools.servers.on(request.host)), request.to)
        return self._checked_restore(request)

    def _checked_transition(self, request: OperationRequest, wanted: Transition) -> Wanted:
        if request.host or request.servers or request.to or request.levelling:
            raise BadRequest("A transition takes nothing but `transition`, `limits` and `policy`.")
        servers = checked(wanted, self._tools)
        rewirings = Rewirings(self._tools, RewiringRecords(self.records.engine))
        return Wanted(request, servers, (), ways=ways_of(wanted, servers, self._tools, rewirings))

    def _checked_list(self, request: OperationRequest) -> Wanted:
        if request.host or not request.servers:
            raise BadRequest("Name the servers to move, and no host; where they may go is `to`.")
        return Wanted(request, tuple(self._tools.servers.named(request.servers)), request.to)

    def _checked_rebalance(self, request: OperationRequest) -> Wanted:
        if request.host or request.servers:
            raise BadRequest("A rebalance takes no host and no servers; the hosts that it levels are `to`.")
        wanted = request.levelling or Levelling()
        rival = self.records.unfinished_rebalance()
        if rival is not None:
            raise Conflict(f"Operation {rival} levels hosts already; wait for it, or abort it.")
        levels = self._levels.of(wanted, request.to)
        servers = {
            each.id: each for each in self._tools.servers.some(each.server_id for each in levels.moves)
        }
        to_move = tuple(servers[each.server_id] for each in levels.moves)
        return Wanted(replace(request, levelling=wanted), to_move, request.to, levels)

    def _checked_restore(self, request: OperationRequest) -> Wanted:
        if request.to:
            raise BadRequest("A restore brings servers back to where they were; leave `to` out.")
        drain = self.records.last_emptied(request.host)
        if drain is None:
            raise Conflict(f"Host {request.host} was never drained, so there is nothing to bring back.")
        if drain.finished_at is None:
            raise Conflict(f"Host {request.host} is being emptied by operation {drain.id}; abort that first.")
        ours = {item.server_id: item.migrations for item in drain.items if item.migrations}
        last = self._tools.migrations.last_from(request.host, ours)
        # One whose migration is no longer known was taken away, for all that is known.
        taken = [each for each, its in ours.items() if last.get(each, its[0]) in its]
        return Wanted(request, tuple(self._tools.servers.some(taken)), (request.host,))


def _planned(wanted: Wanted, prediction: Prediction) -> dict[str, str]:
    """Where each server is to be promised room, in the order in which they go.

    A transition takes its hosts in turn, and the room that one needs is free again when its servers are back. So it is
    promised to those that come first; to the others when their turn comes.
    """
    ours = [each for each in prediction.legs if each.ours and not each.failed]
    change = wanted.request.transition
    if change is not None:
        first = change.hosts[: wanted.request.limits.hosts_at_once]
        homes = {each.id: each.host for each in wanted.servers if each.host in first}
        ours = [each for each in ours if each.source == homes.get(each.server_id)]
    return {each.server_id: each.destination for each in ours}


def moves_of(
    kind: OperationKind,
    host: str,
    targets: Sequence[str],
    servers: Sequence[tuple[str, str, tuple[str, ...]]],
) -> tuple[Move, ...]:
    """What an operation does with these servers.

    Each is an id with the host that it was on at the beginning, and with the hosts that it is to go to, if not to any.
    """
    if kind is OperationKind.REBALANCE:
        return tuple(Move(server_id, source, hosts) for server_id, source, hosts in servers)
    if kind is OperationKind.DRAIN:
        return tuple(Move(server_id, host, tuple(targets)) for server_id, _, _ in servers)
    if targets:
        return tuple(Move(server_id, None, tuple(targets)) for server_id, _, _ in servers)
    return tuple(Move(server_id, source) for server_id, source, _ in servers)


def targets_of(moves: Sequence[Move]) -> frozenset[str]:
    """All hosts that these servers may go to; none if one of them may go to any."""
    if all(each.hosts for each in moves):
        return frozenset(host for each in moves for host in each.hosts)
    return frozenset()


def reason_of(drain: Operation) -> str:
    """Why the host of a drain is disabled."""
    return f"drained by operation {drain.id}"


__all__ = ["OperationRequest", "Operations"]
