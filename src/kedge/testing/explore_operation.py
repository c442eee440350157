"""Visits every state that a small drain can reach, with faults, and checks what must hold in each.

1. Nothing is begun while the operation, as it is seen, is paused or aborted, outside its window, or after too many
   failures.
2. Only a server that is on the drained host, with no migration under way, is moved: nothing is moved twice.
3. It goes to a living host that it may go to and that is not drained. It is tried again only after a pause, only so
   often, and where it failed only if there is no other host.
4. The limits hold for what is begun, and the last places are left to who comes first.
5. An operation that completed left nothing on the host; one that ended has no migration under way.
6. Once faults stop, the end is reached.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from kedge.core.operation import Decision, Move, Seen, Start, decide
from kedge.model.operation import Outcome

from .explore import Explored
from .operation_world import DRAINED, NOON_S, VM, Fleetlet, Step, acts, as_seen, faults, nature
from .reach import reach
from .world import Violation

Decide = Callable[[Seen], Decision]


def explore_operation(
    start: Fleetlet | None = None, decide: Decide = decide, *, most: int = 500_000
) -> Explored:
    """Visit everything. Raises Violation, with the shortest way to it, or when there are more than `most` states."""
    first = start or Fleetlet((VM(), VM()))
    decided: dict[Fleetlet, Decision] = {}
    return reach(
        first,
        lambda world: _steps(world, decide, decided),
        lambda world: world.finished is not None,
        broken="6",
        most=most,
    )


def _steps(w: Fleetlet, decide: Decide, decided: dict[Fleetlet, Decision]) -> Iterator[Step]:
    yield from nature(w)
    yield from faults(w)
    if w.seen is None:
        yield Step("look", _looked(w))
        return
    decision = decided.get(w.seen)
    if decision is None:
        seen = as_seen(w.seen)
        decision = decided[w.seen] = decide(seen)
        check(seen, decision)
    yield from acts(w, w.seen, decision)


def _looked(w: Fleetlet) -> Fleetlet:
    """What is seen does not include how much may go wrong, so that equal views are equal."""
    return w._replace(seen=w._replace(faults=0))


def check(seen: Seen, decision: Decision) -> None:
    """Raises Violation if this may not be decided from what was seen."""
    failures = sum(tried.failed for move in seen.moves for tried in move.tried)
    if decision.start and (seen.paused or seen.abort or failures > seen.limits.max_failures):
        raise Violation(f"1: {decision.start} although it is paused, aborted or has failed")
    if decision.start and seen.now_s == NOON_S:
        raise Violation(f"1: {decision.start} outside its window")
    under_way = {each.server_id for each in seen.running}
    moves = {each.server_id: each for each in seen.moves}
    for start in decision.start:
        server = seen.fleet.servers.get(start.server_id)
        if server is None or server.host != DRAINED or server.id in under_way or moves[server.id].left:
            raise Violation(f"2: {start} of what is not to be moved")
        _check_destination(seen, moves[server.id], start)
    _check_limits(seen, decision)
    ours = any(each.ours for each in seen.running)
    if decision.outcome is not None and (ours or decision.start):
        raise Violation("5: it ends with migrations under way")
    if decision.outcome is Outcome.COMPLETED and seen.fleet.on(DRAINED):
        raise Violation("5: it completes with servers left on the host")


def _check_destination(seen: Seen, move: Move, start: Start) -> None:
    possible = {
        each.host.name
        for each in seen.fleet.hosts.values()
        if each.host.alive
        and each.host.name != DRAINED
        and each.host.name in (move.hosts or seen.fleet.hosts)
    }
    tried = {each.host for each in move.tried}
    if start.destination not in possible or (start.destination in tried and possible - tried):
        raise Violation(f"3: {start} to where it can't go")
    if len(move.tried) >= seen.limits.attempts or any(each.at_s == seen.now_s for each in move.tried):
        raise Violation(f"3: {start} too often or too soon")


def _check_limits(seen: Seen, decision: Decision) -> None:
    started = Counter(start.server_id for start in decision.start)
    if any(count > 1 for count in started.values()):
        raise Violation("2: one server is started twice")
    leaving = sum(each.source == DRAINED for each in seen.running) + len(seen.ahead) + len(decision.start)
    if decision.start and leaving > seen.limits.per_source:
        raise Violation("4: too many leave")
    arriving = Counter(each.destination for each in seen.running)
    for start in decision.start:
        arriving[start.destination] += 1
        if arriving[start.destination] > seen.limits.per_destination:
            raise Violation(f"4: too many arrive at {start.destination}")
    running = sum(each.ours for each in seen.running) + len(decision.start)
    if decision.start and running > seen.limits.in_all:
        raise Violation("4: too many run in all")
