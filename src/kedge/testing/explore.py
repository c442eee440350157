"""Visits every state that `kedge.testing.world` can reach, and checks that the end can be reached from each."""

from collections.abc import Iterator
from dataclasses import dataclass

from kedge.core.migration import decide

from .conducting import Decide, conductor, wholly_lagging
from .invariants import check_state
from .nature import faults, nature
from .world import Step, Violation, World


@dataclass(frozen=True)
class Explored:
    """How much was visited."""

    states: int
    moves: int
    endings: int


class _Visited:
    """The states so far, each with a number: numbers are followed quicker than states, which are large."""

    def __init__(self, first: World) -> None:
        self.worlds = [first]
        self.numbers = {first: 0}
        self.came_from = [(0, "")]
        self.before: list[list[int]] = [[]]

    def arrive(self, world: World, number: int, name: str) -> tuple[int, bool]:
        """The number of the state that a step from state `number` leads to, and whether it is a new one."""
        reached = self.numbers.setdefault(world, len(self.worlds))
        new = reached == len(self.worlds)
        if new:
            self.worlds.append(world)
            self.came_from.append((number, name))
            self.before.append([])
        return reached, new

    def story(self, number: int) -> str:
        """The shortest way to a state."""
        names, at = [], number
        while at:
            at, name = self.came_from[at]
            names.append(f"    {name}")
        return "\n".join(["  how it came to this:", *reversed(names), f"  {self.worlds[number]}"])


def explore(start: World | None = None, decide: Decide = decide, *, postcopy: bool = True) -> Explored:
    """Visit everything. Raises Violation, with the shortest way to it, when an invariant breaks."""
    visited = _Visited(start or World())
    endings: list[int] = []
    moves = 0
    for number, world in enumerate(visited.worlds):  # It grows meanwhile.
        if world.finished is not None:
            endings.append(number)
            continue
        try:
            following = list(steps(world, decide, postcopy=postcopy))
        except Violation as broken:
            raise Violation(f"{broken}\n{visited.story(number)}") from None
        moves += len(following)
        for name, after, fault in following:
            reached, new = visited.arrive(after, number, name)
            if not fault:
                visited.before[reached].append(number)
            if new:
                try:
                    check_state(after)
                except Violation as broken:
                    raise Violation(f"{broken}\n{visited.story(reached)}") from None
    _check_that_all_end(visited, endings)
    return Explored(len(visited.worlds), moves, len(endings))


def steps(w: World, decide: Decide, *, postcopy: bool) -> Iterator[Step]:
    """Everything that can happen next. Raises Violation when the conductor does what it must not."""
    yield from nature(w, postcopy)
    if w.faults:
        spent = w._replace(faults=w.faults - 1)
        yield from (Step(name, world, fault=True) for name, world in faults(spent))
        if w.may_lag_whole:
            yield from (Step(name, world, fault=True) for name, world in wholly_lagging(spent))
    if w.finished is None:
        if not w.abort:
            yield Step("a person asks to abort", w._replace(abort=True), fault=True)
        if not w.overdue and w.faults:
            late = w._replace(overdue=True, faults=w.faults - 1)
            yield Step("the time of the migration is up", late, fault=True)
        yield from conductor(w, decide)


def _check_that_all_end(visited: _Visited, endings: list[int]) -> None:
    """Invariant 5: from every state an end is reached by moves that are not faults."""
    ends = set(endings)
    queue = list(endings)
    while queue:
        for number in visited.before[queue.pop()]:
            if number not in ends:
                ends.add(number)
                queue.append(number)
    stuck = [number for number in range(len(visited.worlds)) if number not in ends]
    if stuck:
        raise Violation(f"5: {len(stuck)} states never end, the first:\n{visited.story(stuck[0])}")


__all__ = ["Explored", "Step", "explore"]
