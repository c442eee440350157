"""Visits every state that `kedge.testing.world` can reach, and checks that the end can be reached from each."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kedge.core.migration import decide

from .conducting import Decide, conductor
from .invariants import check_state
from .nature import faults, nature
from .world import Step, Violation, World


@dataclass(frozen=True)
class Explored:
    """How much was visited."""

    states: int
    moves: int
    endings: int


def explore(start: World | None = None, decide: Decide = decide, *, postcopy: bool = True) -> Explored:
    """Visit everything. Raises Violation, with the shortest way to it, when an invariant breaks."""
    first = start or World()
    came_from: dict[World, tuple[World, str] | None] = {first: None}
    before: dict[World, list[World]] = {}
    queue = deque([first])
    endings: list[World] = []
    moves = 0
    while queue:
        world = queue.popleft()
        if world.finished is not None:
            endings.append(world)
            continue
        try:
            following = list(steps(world, decide, postcopy=postcopy))
        except Violation as broken:
            raise Violation(f"{broken}\n{_story(world, came_from)}") from None
        for step in following:
            moves += 1
            if not step.fault:
                before.setdefault(step.world, []).append(world)
            if step.world in came_from:
                continue
            came_from[step.world] = (world, step.name)
            try:
                check_state(step.world)
            except Violation as broken:
                raise Violation(f"{broken}\n{_story(step.world, came_from)}") from None
            queue.append(step.world)
    _check_that_all_end(came_from, before, endings)
    return Explored(len(came_from), moves, len(endings))


def steps(w: World, decide: Decide, *, postcopy: bool) -> Iterator[Step]:
    """Everything that can happen next. Raises Violation when the conductor does what it must not."""
    yield from nature(w, postcopy)
    if w.faults:
        spent = replace(w, faults=w.faults - 1)
        yield from (Step(name, world, fault=True) for name, world in faults(spent))
    if w.finished is None:
        if not w.abort:
            yield Step("a person asks to abort", replace(w, abort=True), fault=True)
        if not w.overdue and w.faults:
            late = replace(w, overdue=True, faults=w.faults - 1)
            yield Step("the time of the migration is up", late, fault=True)
        yield from conductor(w, decide)


def _check_that_all_end(
    came_from: dict[World, tuple[World, str] | None],
    before: dict[World, list[World]],
    endings: list[World],
) -> None:
    """Invariant 5: from every state an end is reached by moves that are not faults."""
    ends = set(endings)
    queue = deque(endings)
    while queue:
        for world in before.get(queue.popleft(), ()):
            if world not in ends:
                ends.add(world)
                queue.append(world)
    stuck = [world for world in came_from if world not in ends]
    if stuck:
        raise Violation(f"5: {len(stuck)} states never end, the first:\n{_story(stuck[0], came_from)}")


def _story(world: World, came_from: dict[World, tuple[World, str] | None]) -> str:
    names = []
    at = came_from[world]
    while at is not None:
        names.append(at[1])
        at = came_from[at[0]]
    return "\n".join(["  how it came to this:", *(f"    {name}" for name in reversed(names)), f"  {world}"])


__all__ = ["Explored", "Step", "explore"]
