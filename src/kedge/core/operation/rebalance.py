"""Which moves level the hosts: a pure function of the fleet, asked once, before anything is moved.

A host's *level* is the share of its memory that servers are promised, in percent, or how many servers it has. Each
step moves one server from the host with the highest level from which a move helps, and of these moves the one that
lowers the variance of the levels most. A move helps only if

- the two hosts are further apart than the threshold;
- both are strictly between their old levels afterwards, so that no step undoes another, and steps come to an end;
- placement has nothing against it, with the steps before it done.

A server that several steps move goes at once to where the last of them brings it. Asked again after that, it finds
nothing to do, unless the number of moves was the limit.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from kedge.core.placement import Fleet, HostState, PlacedServer, promisable, stands_against
from kedge.core.placement.filters import able, alive, enabled
from kedge.model.rebalance import Levelling, Measure

from .seen import Move

_NOBODY, _NO_FLEET = PlacedServer("", "", ""), Fleet((), ())

_LOWEST = 32
"""So many of the emptiest hosts are looked at before all are: in a large fleet one of them is the best."""


@dataclass(frozen=True)
class Level:
    """A host's level now and after the moves; of one that takes no part, why not."""

    host: str
    by: Measure
    before: float | None = None
    after: float | None = None
    left_out: str | None = None


@dataclass(frozen=True)
class Levels:
    """What a rebalance would do: its moves, the most useful first, and what they come to, by the hosts' names."""

    moves: tuple[Move, ...]
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class _Step:
    server: PlacedServer
    destination: str


class _Hosts:
    """The levels of those hosts that take part, as servers are moved between them."""

    def __init__(self, fleet: Fleet, by: Measure, hosts: Collection[str], movable: Collection[str]) -> None:
        self.fleet = fleet
        self._by = by
        self._room = {
            name: promisable(state.memory, state.settings.limits)
            for name, state in fleet.hosts.items()
            if name in hosts
        }
        self._most_room = max(self._room.values(), default=0)
        self.levels = {name: self._level(name) for name in self._room}
        self._movable: dict[str, set[str]] = {name: set() for name in self._room}
        for server in fleet.servers.values():
            if server.id in movable and server.host in self._movable:
                self._movable[server.host].add(server.id)

    def _level(self, host: str) -> float:
        load = self.fleet.load(host)
        return load.servers if self._by is Measure.SERVERS else 100 * load.memory / self._room[host]

    def _weight(self, server: PlacedServer, room: int) -> float:
        return 1 if self._by is Measure.SERVERS else 100 * server.demand.memory / room

    def move(self, step: _Step) -> None:
        """Let it be done."""
        source = self.fleet.servers[step.server.id].host
        self.fleet = self.fleet.moved(step.server.id, step.destination)
        for host in (source, step.destination):
            self.levels[host] = self._level(host)
        self._movable[source].discard(step.server.id)
        self._movable[step.destination].add(step.server.id)

    def best_step(self, apart: float) -> _Step | None:
        """The next one; None if nothing helps."""
        rising = sorted(self.levels, key=lambda host: (self.levels[host], host))
        for source in reversed(rising):
            if self.levels[source] - self.levels[rising[0]] <= apart:
                return None
            for hosts in (rising[:_LOWEST], rising):
                for _, _, step in sorted(self._helpful(source, hosts, apart), key=lambda each: each[:2]):
                    state = self.fleet.hosts[step.destination]
                    if not stands_against(step.server, state, self.fleet):
                        return step
        return None

    def _helpful(
        self, source: str, hosts: list[str], apart: float
    ) -> Iterator[tuple[tuple[float, int], tuple[str, str, str], _Step]]:
        """Moves away from `source` that help by their numbers, each with what orders them: the smaller, the better.

        That is what becomes of the levels' variance, and then how much memory must be copied.
        """
        high = self.levels[source]
        for server in (self.fleet.servers[each] for each in self._movable[source]):
            less = self._weight(server, self._room[source])
            least_more = self._weight(server, self._most_room)
            for host in hosts:
                low = self.levels[host]
                if high - low <= apart or high - less <= low or low + least_more >= high:
                    break  # no better with the next host, whose level is higher
                if less <= 0 or low + (more := self._weight(server, self._room[host])) >= high:
                    continue
                change = (high - less) ** 2 + (low + more) ** 2 - high**2 - low**2
                yield (
                    (round(change, 9), server.demand.memory),
                    (host, server.name, server.id),
                    _Step(server, host),
                )


def level(
    fleet: Fleet, wanted: Levelling, among: Collection[str] = (), movable: Collection[str] | None = None
) -> Levels:
    """The moves that level these hosts, or all of them; only of servers that are `movable`, or of all.

    `fleet` is as it will be once the migrations under way have ended.
    """
    names = sorted(set(among) & fleet.hosts.keys() if among else fleet.hosts)
    reasons = {name: _left_out(fleet.hosts[name], wanted.by) for name in names}
    parts = [name for name in names if reasons[name] is None]
    free = fleet.servers.keys() if movable is None else movable
    thought = _Hosts(fleet, wanted.by, parts, free)
    last: dict[str, _Step] = {}
    while step := thought.best_step(wanted.apart):
        if step.server.id not in last and len(last) >= wanted.moves:
            break
        last.pop(step.server.id, None)
        last[step.server.id] = step
        thought.move(step)
    done = _Hosts(fleet, wanted.by, parts, free)
    before = {**done.levels}
    moves = [step for each in last.values() if (step := _at_once(done, each))]
    return Levels(
        tuple(Move(each.server.id, each.server.host, (each.destination,)) for each in moves),
        tuple(
            Level(name, wanted.by, before.get(name), done.levels.get(name), reasons[name]) for name in names
        ),
    )


def _at_once(hosts: _Hosts, last: _Step) -> _Step | None:
    """Move a server to where its last step brings it; None if it is there already, or placement refuses that."""
    server = hosts.fleet.servers[last.server.id]
    if stands_against(server, hosts.fleet.hosts[last.destination], hosts.fleet):
        return None
    step = _Step(server, last.destination)
    hosts.move(step)
    return step


def _left_out(state: HostState, by: Measure) -> str | None:
    if against := stands_against(_NOBODY, state, _NO_FLEET, (alive, enabled, able)):
        return "; ".join(f"{each.problem}; {each.remedy}" for each in against)
    if by is Measure.MEMORY and not state.memory.total:
        return "how much memory it has is not known"
    if by is Measure.MEMORY and promisable(state.memory, state.settings.limits) <= 0:
        return "all its memory is kept for the host"
    return None


__all__ = ["Level", "Levels", "level"]
