"""Visits every state that a small transition can reach, with faults, and checks what must hold in each.

1. A command runs, and a port is tried, only on a host that no server is on or on its way to, whatever was seen.
2. Servers come back only to a host that offers what is wanted, and where a port was tried.
3. A command is run once, unless a person looked after the host meanwhile, and never beside another one.
4. A host is done only when all its servers that are left are back.
5. No more hosts than allowed are at work, and none begins with too many in trouble, or while paused or aborted.
6. It completes only with all hosts done, and ends with no migration, rewiring or command of its own under way.
7. Once faults stop, the end is reached.
8. Servers are rewired only on a host that offers what is wanted, where a port was tried; never more at once than
   allowed, nor again by itself after a failure, nor one that is migrated or off. Nothing moves them away.
9. A host in place is done only when no running server on it is in the old switch.
"""

from collections.abc import Callable, Iterator

from kedge.core.operation import Decision, decide
from kedge.core.operation.host_seen import Act, Advance, Wired
from kedge.core.operation.stages import advance
from kedge.model.operation import Outcome
from kedge.model.transition import CommandState, Stage

from .explore import Explored
from .reach import reach
from .transition_faults import faults
from .transition_world import AT_ONCE, NEW, Conversion, Step, View, acts, as_seen, look, nature
from .world import Violation

Conduct = Callable[[View], tuple[Decision, Advance]]


def conduct(view: View) -> tuple[Decision, Advance]:
    """As the conductor decides."""
    decided = decide(view.seen)
    return decided, advance(view.wanted, view.hosts, view.homes, view.seen, decided)


def explore_transition(
    start: Conversion | None = None, conduct: Conduct = conduct, *, most: int = 500_000
) -> Explored:
    """Visit everything. Raises Violation, with the shortest way to it, or when there are more than `most` states."""
    first = start or Conversion()
    known: dict[Conversion, tuple[Decision, Advance]] = {}
    return reach(
        first,
        lambda world: _steps(world, conduct, known),
        lambda world: world.finished is not None,
        broken="7",
        most=most,
    )


def _steps(
    w: Conversion, conduct: Conduct, known: dict[Conversion, tuple[Decision, Advance]]
) -> Iterator[Step]:
    yield from nature(w)
    yield from faults(w)
    if w.seen is None:
        yield Step("look", look(w))
        return
    if w.seen not in known:
        view = as_seen(w.seen)
        known[w.seen] = conduct(view)
        _check_decided(w.seen, view, *known[w.seen])
    decided, following = known[w.seen]
    _check_true(w, following)
    yield from acts(w, w.seen, decided, following)


def _check_true(w: Conversion, following: Advance) -> None:
    """What must not be done in the world as it is now, which is not as it was seen."""
    for name, step in following.steps.items():
        place = w.place(name)
        if (
            step.act in {Act.RUN, Act.TRY}
            and not place.in_place
            and any(name in {vm.host, vm.to} for vm in w.vms)
        ):
            raise Violation(f"1: {step.act} on {name} with servers there")
        if step.act is Act.RUN and (place.ran or place.command is CommandState.RUNNING):
            raise Violation(f"3: the command is run again on {name}")


def _check_decided(w: Conversion, view: View, decided: Decision, following: Advance) -> None:
    for start in decided.start:
        place = next((each for each in w.places if each.name == start.destination), None)
        if place is None or place.stage in {Stage.QUEUED, Stage.DONE}:
            continue
        if place.stage is not Stage.RETURNING or place.backend != view.wanted.to_backend or not place.tried:
            raise Violation(f"2: {start} to a host that is not ready")
    for name, step in following.steps.items():
        in_place = w.place(name).in_place
        away = any(vm.home == name and vm.host not in {name, ""} for vm in w.vms)
        if step.stage is Stage.DONE and away and not in_place:
            raise Violation(f"4: {name} is done, and servers are away")
    _check_limits(w, following)
    _check_in_place(w, decided, following)
    ours = bool(decided.start) or any(each.ours for each in view.seen.running)
    ours = ours or any(vm.wired is Wired.CHANGING and vm.mine for vm in w.vms)
    commands = any(each.command is CommandState.RUNNING for each in w.places)
    if following.outcome is not None and (ours or commands):
        raise Violation("6: it ends, and something of it is under way")
    if following.outcome is Outcome.COMPLETED and any(each.stage is not Stage.DONE for each in w.places):
        raise Violation("6: it completes with hosts that are not done")


def _check_limits(w: Conversion, following: Advance) -> None:
    changed = [name for name, step in following.steps.items() if step.act not in {Act.WAIT, Act.TAKE_BACK}]
    if changed and (w.paused or w.abort):
        raise Violation(f"5: {changed} although it is paused or aborted")
    begun = [name for name in changed if w.place(name).stage is Stage.QUEUED and following.steps[name].stage]
    at_work = sum(each.stage.is_under_way and not each.trouble for each in w.places)
    if begun and at_work + len(begun) > w.at_once:
        raise Violation("5: too many hosts at once")
    if begun and sum(each.trouble for each in w.places) > w.troubled:
        raise Violation("5: a host begins in spite of too much trouble")


def _check_in_place(w: Conversion, decided: Decision, following: Advance) -> None:
    in_place = {each.name: each for each in w.places if each.in_place}
    for start in decided.start:
        vm = w.vms[int(start.server_id)]
        if vm.host == vm.home and vm.home in in_place:
            raise Violation(f"8: {start} although its host is changed in place")
    for name, step in following.steps.items():
        there = [vm for vm in w.vms if vm.host == name]
        if step.act is Act.REWIRE:
            place, begun = w.place(name), [w.vms[int(each)] for each in step.servers]
            if not (place.in_place and place.tried and place.backend == NEW):
                raise Violation(f"8: {step} on a host that is not ready")
            if {each.server_id for each in decided.start} & set(step.servers):
                raise Violation(f"8: {step} of servers that begin to move")
            if any(vm.host != name or vm.to or vm.wired is not Wired.OLD for vm in begun):
                raise Violation(f"8: {step} of servers that can't be rewired now")
            if len(begun) + sum(vm.wired is Wired.CHANGING for vm in there) > AT_ONCE:
                raise Violation(f"8: {step} is too many at once")
        if name in in_place and step.stage is Stage.DONE and any(vm.wired not in _DONE for vm in there):
            raise Violation(f"9: {name} is done, and servers are in the old switch")


_DONE = {Wired.NEW, Wired.OFF}
