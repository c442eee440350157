"""Visits every state that a rewiring of two ports can reach, with faults, and checks what must hold in each.

1. Nothing is moved to the new side once an abort or a failure is seen, unless it is committed.
2. It is committed only when every tap is seen in its new switch, every binding as it was, and nobody wants it back.
3. After the commit nothing is moved back.
4. A side is removed only when no tap of the server's ports is seen in it, nor in no switch.
5. A port whose binding somebody else changed is not touched.
6. It ends only where every tap that it answers for is where the bindings say, unless the host is off or it could
   not be done in many tries; and not before the other side was removed.
7. Once faults stop, the end is reached; and after it, with the agent's own care, every tap is where the bindings say.
8. It is given up only for a reason, and never after the commit.
"""

from collections import deque
from collections.abc import Callable, Iterator

from kedge.core.rewiring import MOST_TRIES, Act, Action, Port, Seen, Tap, decide

from .explore import Explored
from .rewiring_world import Duties, Host, Step, acts, as_seen, faults, nature
from .world import Violation

Decide = Callable[[Seen], Action]
_Ways = dict[Host, tuple[Host, str] | None]


def explore_rewiring(start: Host | None = None, decide: Decide = decide, *, most: int = 500_000) -> Explored:
    """Visit everything. Raises Violation, with the shortest way to it, or when there are more than `most` states."""
    first = start or Host()
    came_from: _Ways = {first: None}
    before: dict[Host, list[Host]] = {}
    queue, goals, moves = deque([first]), [], 0
    while queue:
        world = queue.popleft()
        if _is_goal(world):
            goals.append(world)
        try:
            following = list(_steps(world, decide))
        except Violation as broken:
            raise Violation(f"{broken}\n{_story(world, came_from)}") from None
        for step in following:
            moves += 1
            if not step.fault:
                before.setdefault(step.after, []).append(world)
            if step.after not in came_from:
                came_from[step.after] = (world, step.name)
                queue.append(step.after)
        if len(came_from) > most:
            raise Violation(f"there are more than {most} states")
    _check_that_all_end(came_from, before, goals)
    return Explored(len(came_from), moves, len(goals))


def _steps(w: Host, decide: Decide) -> Iterator[Step]:
    yield from nature(w)
    yield from faults(w)
    if w.finished is not None:
        return
    if w.seen is None:
        # What is seen does not include how much may go wrong, so that equal views are equal.
        yield Step("look", w._replace(seen=w._replace(faults=0, late=None, duties=None, noted=False)))
        return
    seen = as_seen(w.seen)
    action = decide(seen)
    check(seen, action)
    yield from acts(w, action)


def check(seen: Seen, action: Action) -> None:
    """Raises Violation if this may not be decided from what was seen."""
    by_id = {port.id: port for port in seen.ports}
    ports = [by_id[each] for each in action.ports]
    taken_back = seen.abort or seen.failure is not None
    act = action.act
    if act in {Act.MOVE, Act.PREPARE} and taken_back and not seen.committed:
        raise Violation("1: moved although it is to be taken back")
    if act is Act.COMMIT and (taken_back or any(p.tap is not Tap.NEW or not p.bound for p in seen.ports)):
        raise Violation("2: committed although not every port is there, or nobody wants it")
    if act is Act.MOVE_BACK and (seen.committed or not taken_back):
        raise Violation("3: moved back")
    _check_leaving(seen, action, ports)
    if act is not Act.PREPARE and any(not port.bound for port in ports):
        raise Violation("5: somebody else's port is touched")
    if act is Act.GIVE_UP and (seen.committed or taken_back or not action.why):
        raise Violation("8: given up for nothing, or too late")
    if act is Act.FINISH:
        _check_end(seen, action)
    if act is not Act.WAIT and act not in {Act.GIVE_UP, Act.FINISH} and not seen.reachable:
        raise Violation(f"{act} without an agent that answers")


def _check_leaving(seen: Seen, action: Action, ports: list[Port]) -> None:
    if action.act is Act.LEAVE_OLD and not seen.committed:
        raise Violation("4: the old side is removed before the commit")
    if action.act is Act.LEAVE_NEW and (seen.committed or not (seen.abort or seen.failure)):
        raise Violation("4: the new side is removed although it is wanted")
    truth = Tap.NEW if seen.committed else Tap.OLD
    if action.act in {Act.LEAVE_OLD, Act.LEAVE_NEW} and any(p.tap not in (truth, Tap.GONE) for p in ports):
        raise Violation("4: a side is removed with a tap in it")


def _check_end(seen: Seen, action: Action) -> None:
    if not (seen.committed or seen.abort or seen.failure):
        raise Violation("6: it ends in the middle")
    if seen.gone or seen.tries >= MOST_TRIES:
        if not action.why:
            raise Violation("6: it ends, and does not say what is left")
        return
    truth = Tap.NEW if seen.committed else Tap.OLD
    ours = [port for port in seen.ports if port.bound]
    if any(port.tap not in (truth, Tap.GONE) for port in ours):
        raise Violation("6: it ends with a tap on the wrong side")
    if ours and not seen.left:
        raise Violation("6: it ends with the other side left")


def _is_goal(w: Host) -> bool:
    if w.finished is None or w.late is not None:
        return False
    if w.gone or w.stuck:
        return True
    settled = w.duties == Duties(w.committed, staged=False)
    return settled and all(
        tap in (w.truth, Tap.GONE) or not bound for tap, bound in zip(w.taps, w.bound, strict=True)
    )


def _check_that_all_end(came_from: _Ways, before: dict[Host, list[Host]], goals: list[Host]) -> None:
    ends, queue = set(goals), deque(goals)
    while queue:
        for world in before.get(queue.popleft(), ()):
            if world not in ends:
                ends.add(world)
                queue.append(world)
    stuck = [world for world in came_from if world not in ends]
    if stuck:
        raise Violation(f"7: {len(stuck)} states never end, the first:\n{_story(stuck[0], came_from)}")


def _story(world: Host, came_from: _Ways) -> str:
    names = []
    at = came_from[world]
    while at is not None:
        names.append(at[1])
        at = came_from[at[0]]
    return "\n".join(["  how it came to this:", *(f"    {name}" for name in reversed(names)), f"  {world}"])
