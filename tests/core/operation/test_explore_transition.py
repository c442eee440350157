"""A small transition is explored to the end, and every rule that is broken on purpose is noticed."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from kedge.core.operation import Decision, Move, Start
from kedge.core.operation.stages import Act, Advance, Step
from kedge.model.host import Host
from kedge.model.operation import Outcome
from kedge.model.transition import CommandState, Stage
from kedge.testing.explore_transition import Conduct, conduct, explore_transition
from kedge.testing.transition_world import VM, Conversion, Place, View
from kedge.testing.world import Violation


@pytest.mark.parametrize(
    ("start", "states"),
    [
        (Conversion(faults=2), 20_000),
        (Conversion(run=False, faults=2), 5_000),
        (Conversion(troubled=1), 4_000),
        (Conversion(at_once=2, run=False), 2_000),
    ],
)
def test_nothing_goes_wrong_whatever_happens(start: Conversion, states: int) -> None:
    explored = explore_transition(start)

    assert explored.states > states
    assert explored.endings


def _as_if(change: Callable[[View], View]) -> Conduct:
    return lambda view: conduct(change(view))


def _decided(change: Callable[[View, Decision, Advance], tuple[Decision, Advance]]) -> Conduct:
    return lambda view: change(view, *conduct(view))


def _steps(change: Callable[[View, str, Step], Step]) -> Conduct:
    def changed(view: View) -> tuple[Decision, Advance]:
        decided, following = conduct(view)
        steps = {name: change(view, name, step) for name, step in following.steps.items()}
        return decided, replace(following, steps=steps)

    return changed


def _stage(view: View, name: str) -> Stage:
    return next(each.stage for each in view.hosts if each.name == name)


def _does_not_wait_for_the_last(view: View, name: str, step: Step) -> Step:
    emptying = _stage(view, name) is Stage.EMPTYING and not view.seen.paused and view.seen.abort is None
    return Step(Act.RUN) if emptying and step.act is Act.WAIT else step


def _sees_no_migration_of_others(view: View) -> View:
    return view._replace(
        seen=replace(view.seen, running=tuple(each for each in view.seen.running if each.ours))
    )


def _returns_without_a_try(view: View, name: str, step: Step) -> Step:
    return Step(Act.ENTER, stage=Stage.RETURNING) if step.act is Act.TRY else step


def _returns_to_any_backend(view: View) -> tuple[Decision, Advance]:
    returning = {each.name for each in view.hosts if each.stage is Stage.RETURNING and each.trouble is None}
    moves = tuple(Move(each, hosts=(home,)) for each, home in view.homes.items() if home in returning)
    blind = view._replace(seen=replace(view.seen, moves=view.seen.moves or moves))
    return conduct(blind)


def _runs_again_by_itself(view: View) -> View:
    hosts = tuple(
        replace(each, command=None)
        if each.command and each.command.state is not CommandState.RUNNING
        else each
        for each in view.hosts
    )
    return view._replace(hosts=hosts)


def _runs_beside_another(view: View) -> View:
    return view._replace(hosts=tuple(replace(each, command=None) for each in view.hosts))


def _forgets_who_is_away(view: View, name: str, step: Step) -> Step:
    back = _stage(view, name) is Stage.RETURNING and not view.seen.paused and view.seen.abort is None
    return Step(Act.ENTER, stage=Stage.DONE) if back else step


def _with_limits(**limits: int) -> Conduct:
    def lifted(view: View) -> View:
        changed = replace(view.seen.limits, **limits)  # type: ignore[arg-type]
        return view._replace(seen=replace(view.seen, limits=changed))

    return _as_if(lifted)


def _goes_on_while_paused(view: View) -> View:
    return view._replace(seen=replace(view.seen, paused=False))


def _goes_on_after_an_abort(view: View) -> View:
    return view._replace(seen=replace(view.seen, abort=None))


def _calls_it_complete(_view: View, decided: Decision, following: Advance) -> tuple[Decision, Advance]:
    return decided, replace(following, outcome=following.outcome and Outcome.COMPLETED)


def _does_not_wait_for_commands(view: View) -> View:
    hosts = tuple(
        replace(each, command=replace(each.command, state=CommandState.LOST)) if each.command else each
        for each in view.hosts
    )
    return view._replace(hosts=hosts)


def _never_halts(_view: View, decided: Decision, following: Advance) -> tuple[Decision, Advance]:
    return decided, replace(following, halt=False)


def _waits_where_it_should_stop(_view: View, _name: str, step: Step) -> Step:
    return Step(Act.WAIT) if step.act is Act.STOP else step


def _fills_what_is_emptied(view: View, decided: Decision, following: Advance) -> tuple[Decision, Advance]:
    moving = {each.server_id for each in view.seen.running} | {each.server_id for each in decided.start}
    extra = tuple(
        Start(each.id, name)
        for name in ("a", "b")
        for each in view.seen.fleet.servers.values()
        if _stage(view, name) is Stage.CONVERTING and each.host != name and each.id not in moving
    )
    return (
        (decided, following)
        if following.outcome
        else (replace(decided, start=decided.start + extra), following)
    )


def _believes_the_command(view: View) -> View:
    def believed(host: Host) -> Host:
        return replace(host, backends=tuple(replace(each, driver="openvswitch") for each in host.backends))

    return view._replace(
        hosts=tuple(
            replace(each, host=believed(each.host))
            if each.command and each.command.state is CommandState.SUCCEEDED
            else each
            for each in view.hosts
        )
    )


BREAKAGES: dict[str, Conduct] = {
    "1: does not wait for the last server": _steps(_does_not_wait_for_the_last),
    "1: does not see migrations of others": _as_if(_sees_no_migration_of_others),
    "2: returns without a try": _steps(_returns_without_a_try),
    "2: returns to any backend": _returns_to_any_backend,
    "2: fills what is emptied": _decided(_fills_what_is_emptied),
    "3: runs a command again by itself": _as_if(_runs_again_by_itself),
    "3: runs a command beside another": _as_if(_runs_beside_another),
    "4: forgets who is away": _steps(_forgets_who_is_away),
    "5: too many hosts at once": _with_limits(hosts_at_once=2),
    "5: too much trouble": _with_limits(troubled_hosts=2),
    "5: goes on while paused": _as_if(_goes_on_while_paused),
    "5: goes on after an abort": _as_if(_goes_on_after_an_abort),
    "6: calls any end complete": _decided(_calls_it_complete),
    "6: does not wait for commands": _as_if(_does_not_wait_for_commands),
    "7: never halts": _decided(_never_halts),
    "7: waits where it should stop": _steps(_waits_where_it_should_stop),
    "7: believes the command": _as_if(_believes_the_command),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_rule_is_noticed(breakage: str) -> None:
    with pytest.raises(Violation, match=f"^{breakage[0]}:"):
        explore_transition(Conversion(faults=1 if breakage[0] == "7" else 2), BREAKAGES[breakage])


def test_a_host_without_servers_is_changed_too() -> None:
    assert explore_transition(Conversion((VM("b", "b"),), (Place("a"),))).endings
