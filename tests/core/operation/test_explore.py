"""A small drain is explored to the end, and every rule that is broken on purpose is noticed."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from kedge.core.operation import Decision, Move, Seen, Start, Tried, decide
from kedge.core.placement import Fleet, HostState
from kedge.model.operation import Abort, Outcome
from kedge.testing.explore_operation import Decide, explore_operation
from kedge.testing.operation_world import NIGHT_S, VM, Fleetlet
from kedge.testing.world import Violation


@pytest.mark.parametrize(("servers", "faults", "states"), [(2, 2, 10_000), (3, 1, 2_000)])
def test_nothing_goes_wrong_whatever_happens(servers: int, faults: int, states: int) -> None:
    explored = explore_operation(Fleetlet((VM(),) * servers, faults=faults))

    assert explored.states > states
    assert explored.endings


def test_nothing_goes_wrong_where_each_server_has_one_destination() -> None:
    assert explore_operation(Fleetlet((VM(), VM()), faults=1, to=("b",))).endings


def _blind(**changes: object) -> Decide:
    """Decides as if this were seen."""
    return lambda seen: decide(replace(seen, **changes))  # type: ignore[arg-type]


def _forgets_what_was_tried(seen: Seen) -> Decision:
    return decide(replace(seen, moves=tuple(replace(each, tried=()) for each in seen.moves)))


def _tries_again_at_once(seen: Seen) -> Decision:
    return decide(replace(seen, moves=tuple(replace(each, tried=_long_ago(each)) for each in seen.moves)))


def _long_ago(move: Move) -> tuple[Tried, ...]:
    return tuple(replace(each, at_s=0.0) for each in move.tried)


def _forgets_where_it_may_go(seen: Seen) -> Decision:
    return decide(replace(seen, moves=tuple(replace(each, hosts=()) for each in seen.moves)))


def _forgets_who_is_to_stay(seen: Seen) -> Decision:
    return decide(replace(seen, moves=tuple(replace(each, left=None) for each in seen.moves)))


def _forgets_limit(name: str) -> Decide:
    return lambda seen: decide(replace(seen, limits=replace(seen.limits, **{name: 100})))  # type: ignore[arg-type]


def _takes_dead_hosts_for_alive(seen: Seen) -> Decision:
    hosts = [
        HostState(replace(each.host, alive=True), each.settings, each.memory)
        for each in seen.fleet.hosts.values()
    ]
    return decide(replace(seen, fleet=Fleet(hosts, seen.fleet.servers.values())))


def _does_not_see_migrations_of_others(seen: Seen) -> Decision:
    return decide(replace(seen, running=tuple(each for each in seen.running if each.ours)))


def _changed(change: Callable[[Seen, Decision], Decision]) -> Decide:
    return lambda seen: change(seen, decide(seen))


def _starts_twice(_seen: Seen, decision: Decision) -> Decision:
    return replace(decision, start=decision.start + decision.start)


def _brings_what_has_arrived_back_and_forth(seen: Seen, decision: Decision) -> Decision:
    arrived = [each for each in seen.fleet.servers.values() if each.host == "b"]
    moving = {each.server_id for each in seen.running}
    extra = tuple(Start(each.id, "c") for each in arrived if each.id not in moving)
    return decision if decision.outcome else replace(decision, start=decision.start + extra)


def _ends_too_soon(_seen: Seen, decision: Decision) -> Decision:
    return replace(decision, outcome=None if decision.start else decision.outcome or Outcome.FAILED)


def _calls_it_complete(_seen: Seen, decision: Decision) -> Decision:
    return replace(decision, outcome=decision.outcome and Outcome.COMPLETED)


def _never_begins(seen: Seen, decision: Decision) -> Decision:
    return replace(decision, start=())


def _never_ends(_seen: Seen, decision: Decision) -> Decision:
    return replace(decision, outcome=None)


def _stays_paused_for_ever(seen: Seen, decision: Decision) -> Decision:
    return replace(decision, outcome=None) if seen.abort is Abort.FINISH_RUNNING else decision


BREAKAGES: dict[str, Decide] = {
    "1: begins while paused": _blind(paused=False),
    "1: begins after an abort": _blind(abort=None),
    "1: goes on after too many failures": _forgets_limit("max_failures"),
    "1: begins outside its window": _blind(now_s=NIGHT_S),
    "2: moves what a person wants left alone": _forgets_who_is_to_stay,
    "2: begins what runs already": _blind(running=()),
    "2: begins what somebody else moves": _does_not_see_migrations_of_others,
    "2: begins twice": _changed(_starts_twice),
    "2: moves what has arrived": _changed(_brings_what_has_arrived_back_and_forth),
    "3: tries the same host again": _forgets_what_was_tried,
    "3: moves to dead hosts": _takes_dead_hosts_for_alive,
    "3: tries again at once": _tries_again_at_once,
    "3: tries again for ever": _forgets_limit("attempts"),
    "3: goes where it may not": _forgets_where_it_may_go,
    "4: too many to one host": _forgets_limit("per_destination"),
    "4: too many leave": _forgets_limit("per_source"),
    "4: takes the place of who comes first": _blind(ahead=()),
    "4: too many in all": _forgets_limit("in_all"),
    "5: ends with migrations under way": _changed(_ends_too_soon),
    "5: calls any end complete": _changed(_calls_it_complete),
    "6: never begins": _changed(_never_begins),
    "6: never ends": _changed(_never_ends),
    "6: never ends an abort": _changed(_stays_paused_for_ever),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_rule_is_noticed(breakage: str) -> None:
    start = Fleetlet((VM(), VM()), faults=1)
    if "for ever" in breakage or "may not" in breakage:
        start = start._replace(to=("b",), faults=2)
    if "leave" in breakage or "place" in breakage:
        start = start._replace(vms=(VM(), VM(), VM()), in_all=3, per_destination=2)
    if "in all" in breakage:
        start = start._replace(in_all=1)
    if "failures" in breakage:
        start = start._replace(max_failures=0)

    with pytest.raises(Violation, match=f"^{breakage[0]}:"):
        explore_operation(start, BREAKAGES[breakage])
