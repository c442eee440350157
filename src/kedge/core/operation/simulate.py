"""What an operation would do, and when: its own decisions over a model of transfers, in virtual time."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from types import MappingProxyType

from kedge.core.placement import Fleet
from kedge.model.operation import Outcome
from kedge.model.placement import MIB
from kedge.model.server import MigrationOptions

from .decide import decide, networks_between
from .forecast import USUAL, Forecast, forecast, gives_up_s, remedies
from .rebalance import Level
from .seen import Decision, Move, Running, Seen, State, Tried
from .transfer import TransferModel

_NO_END = "its memory would change faster than it is copied: {dirty:g} MiB/s at {rate:g} MiB/s"
_REMEDY = "; it would arrive with {}"
_NEARLY_DONE = 1e-9
MOST = 10_000
"""So many migrations, and so many servers that stay, are told one by one; of others only how many they are."""

_TICK_S = 0.001
"""Waiting takes at least this long, as a time of today has no finer parts that one could count on."""


@dataclass(frozen=True)
class Leg:
    """One migration, with its times in s since the operation's begin; `failed` says why it would not end.

    `ours` is false for a migration that was under way before, and is not the operation's. `how` its copying is ended if
    it needs more than every migration: `auto-converge`, `force-complete` or `post-copy`.
    """

    server_id: str
    source: str
    destination: str
    start_s: float
    end_s: float
    downtime_ms: float | None = None
    failed: str | None = None
    ours: bool = True
    how: str = ""


@dataclass(frozen=True)
class Turn:
    """A host of a transition, with its times in s since the operation's begin; `end_s` is None if it is stopped.

    Its servers are moved away and back, and `why` says why they have to be; or it is changed `in_place`, with so many
    of them `rewired`.
    """

    host: str
    start_s: float
    end_s: float | None
    in_place: bool = False
    rewired: int = 0
    why: str = ""


@dataclass(frozen=True)
class Prediction:
    """Who goes where in which order, and who can't.

    Attributes:
        legs: in the order of their starts.
        unmoved: why each server that has not arrived in the end has not, by its id.
        more_legs, more_unmoved: how many others there are besides those, where they would be too many.
        outcome: None if the operation waits for a person: it is paused.
        levels: of a rebalance, what its hosts' levels are now and would be.
        turns: of a transition, when each host's turn begins and ends.
        basis: what was assumed, or learned of migrations that have ended; see `TransferModel`.
        dirty_mib: how fast servers were measured to write to their memory, by their ids, in MiB/s.
    """

    legs: tuple[Leg, ...]
    unmoved: Mapping[str, tuple[str, ...]]
    total_s: float
    outcome: Outcome | None
    levels: tuple[Level, ...] = ()
    turns: tuple[Turn, ...] = ()
    basis: Mapping[str, float] = field(default_factory=dict)
    more_legs: int = 0
    more_unmoved: int = 0
    dirty_mib: Mapping[str, float] = field(default_factory=dict)


@dataclass
class _Transfer:
    running: Running
    start_s: float
    wait_s: float
    """Until it begins."""
    fixed_s: float
    stall_s: float
    left: float = 1.0
    """The share of the copying that remains; how long it takes depends on the rate of the moment."""
    rate: float = 0.0
    forecast: Forecast | None = None

    def next_s(self) -> float:
        """For how long the rate may stay until something happens to it, if nothing slows it down."""
        if self.wait_s > 0 or self.fixed_s > 0:
            return self.wait_s or self.fixed_s
        return self.stall_s if self.forecast is None else self.left * self.forecast.copy_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if self.wait_s > 0:
            self.wait_s = _less(self.wait_s, seconds)
        elif self.fixed_s > 0:
            self.fixed_s = _less(self.fixed_s, seconds)
        elif self.forecast is None:
            self.stall_s -= seconds
        else:
            self.left -= seconds / self.forecast.copy_s if self.forecast.copy_s else 1.0

    @property
    def is_over(self) -> bool:
        """It has ended, well or not."""
        return self.left <= _NEARLY_DONE or self.stall_s <= _NEARLY_DONE


def _less(left_s: float, seconds: float) -> float:
    return 0.0 if left_s - seconds < _NEARLY_DONE else left_s - seconds


@dataclass
class Simulation:
    """A fleet in virtual time, with the migrations that an operation makes of it.

    `options` are those of the servers' migrations, by their ids; the usual ones without.
    """

    seen: Seen
    model: TransferModel
    fleet: Fleet
    moves: tuple[Move, ...]
    options: Mapping[str, MigrationOptions] = field(default_factory=dict)
    transfers: list[_Transfer] = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)
    more_legs: int = 0
    now_s: float = 0.0

    def run(self) -> Prediction:
        """Decide, let time pass until the next migration ends or may begin, and again."""
        for each in self.seen.running:
            self._begin(each, 0.0)
        while True:
            decision = decide(self._as_seen())
            shares = {each.server_id: each.bandwidth_mib for each in decision.tune}
            for transfer in self.transfers:
                share = shares.get(transfer.running.server_id, transfer.running.bandwidth_mib)
                ending = transfer.running.ending or transfer.running.server_id in decision.end
                transfer.running = replace(transfer.running, bandwidth_mib=share, ending=ending)
            for number, start in enumerate(decision.start, 1):
                source = self.fleet.servers[start.server_id].host
                begun = Running(
                    start.server_id,
                    source,
                    start.destination,
                    bandwidth_mib=start.bandwidth_mib,
                    networks=networks_between(self.fleet, source, start.destination),
                )
                self._begin(begun, number * self.model.lag_s)
            prediction = self._concluded(decision)
            if prediction is not None:
                return prediction

    def _concluded(self, decision: Decision) -> Prediction | None:
        """Let time pass; or what came of it all."""
        wake_s = None if decision.wake_s is None else decision.wake_s - self.seen.now_s
        if decision.outcome is None and (self.transfers or wake_s is not None):
            self._pass_time(wake_s)
            return None
        unmoved = {
            server_id: each.why
            for server_id, each in decision.outlooks.items()
            if each.state not in {State.ARRIVED, State.GONE}
        }
        return self._predicted(unmoved, decision.outcome)

    def _predicted(self, unmoved: Mapping[str, tuple[str, ...]], outcome: Outcome | None) -> Prediction:
        legs = tuple(sorted(self.legs, key=lambda each: (each.start_s, each.end_s, each.server_id)))
        total_s = self.now_s + (self.model.lag_s if legs else 0.0)
        told = dict(islice(unmoved.items(), MOST))
        more = len(unmoved) - len(told)
        return Prediction(
            legs,
            told,
            total_s,
            outcome,
            basis=self.model.basis(),
            more_legs=self.more_legs,
            more_unmoved=more,
            dirty_mib=self.model.dirty_mib,
        )

    def _begin(self, running: Running, wait_s: float) -> None:
        fixed_s, stall_s = self.model.fixed_s, gives_up_s(self._options(running.server_id))
        self.transfers.append(_Transfer(running, self.now_s + wait_s, wait_s, fixed_s, stall_s))

    def _options(self, server_id: str) -> MigrationOptions:
        return self.options.get(server_id, USUAL)

    def _memory_mib(self, server_id: str) -> float:
        server = self.fleet.servers.get(server_id)
        return server.demand.memory / MIB if server else 0.0

    def _as_seen(self) -> Seen:
        fleet = self.fleet
        for each in self.transfers:
            if each.running.server_id in fleet.servers:
                fleet = fleet.promising(each.running.server_id, each.running.destination)
        running = tuple(each.running for each in self.transfers)
        now_s = self.seen.now_s + self.now_s
        return replace(self.seen, fleet=fleet, moves=self.moves, running=running, now_s=now_s)

    def _pass_time(self, wake_s: float | None) -> None:
        """Until the next migration ends; at the latest to when something may be begun.

        That migrations begin to copy meanwhile changes nothing that is decided from.
        """
        while not self._pass_to_next(wake_s):
            pass

    def _pass_to_next(self, wake_s: float | None) -> bool:
        """Let time pass until anything happens; says whether it is something that has to be looked at."""
        begun = [each for each in self.transfers if each.wait_s <= 0]
        copying = [each for each in begun if each.fixed_s <= 0]
        sending = Counter(each.running.source for each in copying)
        receiving = Counter(each.running.destination for each in copying)
        for each in copying:
            busiest = max(sending[each.running.source], receiving[each.running.destination])
            server_id = each.running.server_id
            options = self._options(server_id)
            limits = [float(limit) for limit in (each.running.bandwidth_mib, options.bandwidth_mib) if limit]
            each.rate = min(self.model.copy_mib, self.model.link_mib / busiest, *limits)
            memory, dirty = self._memory_mib(server_id), self.model.dirty(server_id)
            each.forecast = forecast(memory, dirty, each.rate, options)
        # What waits for its begin is slowed down by nothing.
        slower = 1 + self.model.slowdown * max(0, len(begun) - 1)
        factor = {id(each): 1.0 if each.wait_s > 0 else slower for each in self.transfers}
        events = [each.next_s() * factor[id(each)] for each in self.transfers]
        step = min(events if wake_s is None else [*events, max(wake_s - self.now_s, _TICK_S)])
        self.now_s += step
        for each in self.transfers:
            each.advance(step / factor[id(each)])
        over = [each for each in self.transfers if each.is_over or each.running.ending]
        self.transfers = [each for each in self.transfers if each not in over]
        for each in over:
            self._end(each)
        return bool(over) or (wake_s is not None and self.now_s >= wake_s)

    def _end(self, transfer: _Transfer) -> None:
        running = transfer.running
        failed = None
        if running.ending:
            failed = "aborted"
        elif transfer.left > _NEARLY_DONE:
            failed = self._why_no_end(running.server_id, transfer.rate)
        elif running.server_id in self.fleet.servers:
            self.fleet = self.fleet.moved(running.server_id, running.destination)
        if failed and running.ours:
            tried = Tried(running.destination, failed, at_s=self.seen.now_s + self.now_s)
            self._note(running.server_id, tried)
        downtime, how = None, ""
        if transfer.forecast and not failed:
            downtime = max(self.model.pause_ms, transfer.forecast.downtime_ms)
            how = transfer.forecast.how
        if len(self.legs) >= MOST:
            self.more_legs += 1
            return
        self.legs.append(
            Leg(
                running.server_id,
                running.source,
                running.destination,
                transfer.start_s,
                self.now_s,
                downtime,
                failed,
                running.ours,
                how,
            )
        )

    def _why_no_end(self, server_id: str, rate_mib: float) -> str:
        dirty_mib = self.model.dirty(server_id)
        found = remedies(self._memory_mib(server_id), dirty_mib, rate_mib, self._options(server_id))
        return _NO_END.format(dirty=dirty_mib, rate=rate_mib) + (
            _REMEDY.format(" or ".join(found)) if found else ""
        )

    def _note(self, server_id: str, tried: Tried) -> None:
        self.moves = tuple(
            replace(each, tried=(*each.tried, tried)) if each.server_id == server_id else each
            for each in self.moves
        )


def simulate(
    seen: Seen,
    model: TransferModel | None = None,
    options: Mapping[str, MigrationOptions] = MappingProxyType({}),
) -> Prediction:
    """What the operation would do from now on, with these options of the servers' migrations.

    `seen.fleet` is taken without promises to the migrations in `seen.running`; they are made here.
    """
    return Simulation(seen, model or TransferModel(), seen.fleet, seen.moves, options).run()
