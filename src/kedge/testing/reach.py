"""Visits every state that a small world can reach, and checks that the end can be reached from each without faults."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from .explore import Explored
from .world import Violation

W = TypeVar("W")
W_co = TypeVar("W_co", covariant=True)


class Happening(Protocol[W_co]):
    """Something that can happen. Nobody counts on a fault for the end to be reached."""

    @property
    def name(self) -> str:
        """What happens, in words."""
        ...

    @property
    def after(self) -> W_co:
        """The world then."""
        ...

    @property
    def fault(self) -> bool:
        """Whether it is one."""
        ...


def reach(
    first: W,
    steps: Callable[[W], Iterable[Happening[W]]],
    has_ended: Callable[[W], bool],
    *,
    broken: str,
    most: int,
) -> Explored:
    """Visit everything. `broken` is the rule that says that all ends.

    Raises Violation, with the shortest way to it, or when there are more than `most` states.
    """
    came_from: dict[W, tuple[W, str] | None] = {first: None}
    before: dict[W, list[W]] = {}
    queue, endings, moves = deque([first]), [], 0
    while queue:
        world = queue.popleft()
        if has_ended(world):
            endings.append(world)
            continue
        try:
            following = list(steps(world))
        except Violation as violation:
            raise Violation(f"{violation}\n{_story(world, came_from)}") from None
        for step in following:
            moves += 1
            if not step.fault:
                before.setdefault(step.after, []).append(world)
            if step.after not in came_from:
                came_from[step.after] = (world, step.name)
                queue.append(step.after)
        if len(came_from) > most:
            raise Violation(f"there are more than {most} states")
    stuck = _never_ending(came_from, before, endings)
    if stuck:
        story = _story(stuck[0], came_from)
        raise Violation(f"{broken}: {len(stuck)} states never end, the first:\n{story}")
    return Explored(len(came_from), moves, len(endings))


def _never_ending(worlds: Iterable[W], before: dict[W, list[W]], endings: list[W]) -> list[W]:
    ends, queue = set(endings), deque(endings)
    while queue:
        for world in before.get(queue.popleft(), ()):
            if world not in ends:
                ends.add(world)
                queue.append(world)
    return [world for world in worlds if world not in ends]


def _story(world: W, came_from: dict[W, tuple[W, str] | None]) -> str:
    names = []
    at = came_from[world]
    while at is not None:
        names.append(at[1])
        at = came_from[at[0]]
    return "\n".join(["  how it came to this:", *(f"    {name}" for name in reversed(names)), f"  {world}"])
