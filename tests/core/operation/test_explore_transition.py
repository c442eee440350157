"""A small transition is explored to the end, and every rule that is broken on purpose is noticed."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from kedge.core.operation import Decision, Move, Start
from kedge.core.operation.host_seen import Act, Advance, ServerWired, Step, Wired
from kedge.model.host import Host
from kedge.model.operation import Outcome
from kedge.model.transition import CommandState, Stage
from kedge.testing.explore_transition import Conduct, conduct, explore_transition
from kedge.testing.transition_world import VM, Conversion, Place, View
from kedge.testing.world import Violation

IN_PLACE = Place("a", in_place=True)
TWO_STAY = (VM("a", "a"), VM("a", "a"))


@pytest.mark.parametrize(
    ("start", "states"),
    [
        (Conversion(faults=2), 20_000),
        (Conversion(run=False, faults=2), 5_000),
        (Conversion(troubled=1), 4_000),
        (Conversion(at_once=2, run=False), 2_000),
        (Conversion(TWO_STAY, (IN_PLACE,), faults=2), 15_000),
        (Conversion(TWO_STAY, (IN_PLACE,), run=False, faults=2), 7_000),
        (Conversion(places=(IN_PLACE, Place("b")), run=False), 1_200),
        (Conversion(places=(IN_PLACE, Place("b")), run=False, at_once=2), 4_000),
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


def _with_wired(change: Callable[[View, str, ServerWired], ServerWired]) -> Conduct:
    """As if the ports of servers were seen otherwise."""

    def changed(view: View) -> View:
        return view._replace(
            hosts=tuple(
                replace(
                    each,
                    servers={name: change(view, name, now) for name, now in each.servers.items()},
                )
                for each in view.hosts
            )
        )

    return _as_if(changed)


def _seen_as(before: Wired, after: Wired) -> Conduct:
    return _with_wired(lambda _view, _name, now: replace(now, wired=after) if now.wired is before else now)


def _rewires_without_a_try(view: View, name: str, step: Step) -> Step:
    if _stage(view, name) is Stage.VERIFYING and step.act is Act.TRY:
        there = [each.id for each in view.seen.fleet.on(name)]
        return Step(Act.REWIRE, servers=tuple(there[:1])) if there else step
    return step


def _is_done_with_servers_in_the_old_switch(view: View, name: str, step: Step) -> Step:
    begins = step.act is Act.REWIRE or (step.act is Act.WAIT and not view.seen.paused and not view.seen.abort)
    done = begins and _stage(view, name) is Stage.REWIRING
    return Step(Act.ENTER, stage=Stage.DONE) if done else step


def _empties_what_stays(view: View, decided: Decision, following: Advance) -> tuple[Decision, Advance]:
    stays = {each.name for each in view.hosts if each.in_place and each.stage.is_under_way}
    moving = {each.server_id for each in view.seen.running}
    extra = tuple(
        Start(each.id, "c")
        for each in view.seen.fleet.servers.values()
        if each.host in stays and each.id not in moving
    )
    return replace(decided, start=decided.start + extra), following


def _rewires_while_paused(view: View, name: str, step: Step) -> Step:
    old = [each for each, now in _wired_on(view, name).items() if now.wired is Wired.OLD]
    paused = view.seen.paused and step.act is Act.WAIT
    return Step(Act.REWIRE, servers=tuple(old[:1])) if paused and old else step


def _wired_on(view: View, name: str) -> dict[str, ServerWired]:
    (servers,) = (each.servers for each in view.hosts if each.name == name)
    return dict(servers)


def _does_not_mind_silence(view: View) -> View:
    return view._replace(hosts=tuple(replace(each, silent=False) for each in view.hosts))


BREAKAGES_IN_PLACE: dict[str, Conduct] = {
    "5: rewires while paused": _steps(_rewires_while_paused),
    "6: does not wait for its rewirings": _with_wired(
        lambda _view, _name, now: replace(now, ours=now.wired is not Wired.CHANGING)
    ),
    "7: waits for ever for one that failed": _seen_as(Wired.FAILED, Wired.CHANGING),
    "7: waits for ever for one that is off": _seen_as(Wired.OFF, Wired.CHANGING),
    "8: rewires without a try": _steps(_rewires_without_a_try),
    "8: rewires again what has failed": _seen_as(Wired.FAILED, Wired.OLD),
    "8: rewires what is off": _seen_as(Wired.OFF, Wired.OLD),
    "8: does not ask which servers run": _as_if(_does_not_mind_silence),
    "8: rewires what is migrated": _as_if(_sees_no_migration_of_others),
    "8: rewires too many at once": _with_limits(rewired_at_once=2),
    "8: moves who stays": _decided(_empties_what_stays),
    "9: is done before its servers are": _steps(_is_done_with_servers_in_the_old_switch),
    "9: takes a failure for the end": _seen_as(Wired.FAILED, Wired.NEW),
}


@pytest.mark.parametrize("breakage", BREAKAGES_IN_PLACE)
def test_a_broken_rule_of_changing_in_place_is_noticed(breakage: str) -> None:
    with pytest.raises(Violation, match=f"^{breakage[0]}:"):
        explore_transition(Conversion(TWO_STAY, (IN_PLACE,), faults=2), BREAKAGES_IN_PLACE[breakage])
