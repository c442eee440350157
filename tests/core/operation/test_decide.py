import re
from dataclasses import replace
from typing import Any

import pytest

from kedge.core.operation import Ahead, Move, Outlook, Running, Seen, Start, State, Tried, Tune, decide
from kedge.core.placement import Fleet, HostState, PlacedServer
from kedge.model.operation import Abort, OperationLimits, Outcome

from ..placement.fleets import fleet, host, server

THREE = (
    host("a", gib=64),
    host("b", gib=64),
    host("c", gib=64),
    server("big", "a", gib=8),
    server("mid", "a", gib=4),
    server("small", "a", gib=1),
)
WIDE = OperationLimits(per_source=10, per_destination=10)


def drain(*things: HostState | PlacedServer, limits: OperationLimits = WIDE) -> Seen:
    of: Fleet = fleet(*things)
    moves = tuple(Move(each.id, "a") for each in of.on("a"))
    return Seen(of, moves, limits=limits, emptying=frozenset({"a"}))


def begun(seen: Seen) -> list[str]:
    return [each.server_id for each in decide(seen).start]


def test_the_quick_ones_go_first_or_the_biggest() -> None:
    assert begun(drain(*THREE)) == ["small", "mid", "big"]
    assert begun(drain(*THREE, limits=replace(WIDE, order="biggest-first"))) == ["big", "mid", "small"]


def test_a_label_says_who_goes_first_and_who_has_none_goes_last() -> None:
    hosts = (host("a", gib=64), host("b", gib=64))
    labelled = [server(f"s{value}", "a", labels={"wave": value}) for value in ("10", "9", "b", "a2", "a10")]
    seen = drain(*hosts, server("a-last", "a"), *labelled, limits=replace(WIDE, order="label:wave"))

    assert begun(seen) == ["s9", "s10", "sa2", "sa10", "sb", "a-last"]


def test_the_last_places_are_left_to_who_comes_first() -> None:
    ahead = (Ahead("a"), Ahead("d", ("b",)))
    one_leaves = replace(drain(*THREE, limits=replace(WIDE, per_source=2)), ahead=ahead)
    assert begun(one_leaves) == ["small"]
    one_arrives = replace(drain(*THREE, limits=replace(WIDE, per_destination=1)), ahead=ahead)
    assert [(each.server_id, each.destination) for each in decide(one_arrives).start] == [("small", "c")]


def on_network(state: HostState, name: str) -> HostState:
    return replace(state, host=replace(state.host, migration_network=name))


def test_what_goes_over_one_network_is_limited() -> None:
    things: tuple[HostState | PlacedServer, ...] = (
        on_network(host("a", gib=64), "fast"),
        on_network(host("b", gib=64), "fast"),
        on_network(host("c", gib=64), "slow"),
        *(server(name, "a") for name in ("x", "y", "z")),
    )

    def begins(limit: int, *running: Running) -> int:
        seen = drain(*things, limits=replace(WIDE, per_network=limit))
        return len(decide(replace(seen, running=running)).start)

    assert (begins(0), begins(1), begins(2)) == (3, 1, 2)
    foreign = Running("s", "d", "e", ours=False, networks=frozenset({"fast"}))
    assert begins(2, foreign) == 1
    assert begins(1, foreign) == 0
    assert begins(1, replace(foreign, networks=frozenset({"other"}))) == 1


def test_a_full_network_is_gone_around() -> None:
    arrives = on_network(host("b", gib=64), "full"), host("c", gib=64)
    seen = drain(host("a", gib=64), *arrives, server("s", "a"), limits=replace(WIDE, per_network=1))
    full = Running("t", "d", "e", ours=False, networks=frozenset({"full"}))

    (start,) = decide(replace(seen, running=(full,))).start

    assert start.destination == "c"


def test_nothing_begins_outside_the_window_and_what_runs_goes_on() -> None:
    noon = 12 * 3600.0
    limits = replace(WIDE, window="22:00-05:00", bandwidth_mib=100)
    running = (Running("mid", "a", "b", bandwidth_mib=50),)
    seen = replace(drain(*THREE, limits=limits), now_s=noon, running=running)

    decision = decide(seen)

    assert (decision.start, decision.end, decision.outcome) == ((), (), None)
    assert decision.tune == (Tune("mid", 100),)
    assert decision.wake_s == 22 * 3600
    assert decision.outlooks["big"].why == ("not before 1970-01-01 22:00:00 UTC: the window is 22:00-05:00",)
    assert len(decide(replace(seen, now_s=23 * 3600.0)).start) == 2
    assert decide(replace(seen, abort=Abort.FINISH_RUNNING, running=())).outcome is Outcome.ABORTED


def test_after_each_failure_a_server_waits_longer() -> None:
    limits = replace(WIDE, attempts=9, retry_s=60, max_failures=9)
    seen = drain(host("a", gib=64), host("b", gib=64), server("s", "a"), limits=limits)
    (move,) = seen.moves

    def tried(*at: float) -> Seen:
        moves = (replace(move, tried=tuple(Tried("b", "link down", at_s=each) for each in at)),)
        return replace(seen, moves=moves, now_s=1000.0)

    assert begun(tried(940.0)) == ["s"]
    assert begun(tried(941.0)) == []
    assert decide(tried(941.0)).wake_s == 1001
    assert "link down" in decide(tried(941.0)).outlooks["s"].why[0]
    assert begun(tried(100.0, 880.0)) == ["s"]
    assert decide(tried(100.0, 900.0)).wake_s == 1020
    assert decide(tried(*range(993, 1001))).wake_s == 1000 + 3600


def test_limits_hold_and_count_migrations_of_others() -> None:
    assert begun(drain(*THREE, limits=replace(WIDE, in_all=2))) == ["small", "mid"]
    assert begun(drain(*THREE, limits=replace(WIDE, per_source=1))) == ["small"]
    one_each = drain(*THREE, limits=replace(WIDE, per_destination=1))
    assert {each.destination for each in decide(one_each).start} == {"b", "c"}
    others = (Running("x", "d", "b", ours=False), Running("y", "a", "d", ours=False))
    assert {each.destination for each in decide(replace(one_each, running=others)).start} == {"c"}
    two_leave = replace(drain(*THREE, limits=replace(WIDE, per_source=2)), running=others)
    assert begun(two_leave) == ["small"]


def test_bandwidth_is_shared_and_shared_anew() -> None:
    seen = drain(*THREE, limits=replace(WIDE, bandwidth_mib=300))
    assert {each.bandwidth_mib for each in decide(seen).start} == {100}

    alone = replace(
        seen,
        fleet=seen.fleet.moved("small", "b").moved("mid", "c"),
        running=(Running("big", "a", "b", bandwidth_mib=100),),
    )
    assert decide(alone).tune == (Tune("big", 300),)


def test_never_more_migrations_than_mib_per_second() -> None:
    assert len(begun(drain(*THREE, limits=replace(WIDE, bandwidth_mib=2)))) == 2


def test_a_place_is_promised_to_what_begins() -> None:
    seen = drain(host("a", gib=64), host("b", gib=10), *THREE[3:])

    decision = decide(seen)

    assert decision.start == (Start("small", "b"), Start("mid", "b"))
    assert decision.outlooks["big"].state is State.WAITING
    assert "promised" in decision.outlooks["big"].why[0]


def test_what_finds_no_place_is_stuck_once_nothing_runs() -> None:
    seen = drain(host("a", gib=64), host("b", gib=4), server("big", "a", gib=8))

    decision = decide(seen)

    assert decision.outcome is Outcome.FAILED
    assert decision.outlooks["big"].state is State.STUCK
    assert "b: " in decision.outlooks["big"].why[0]


def test_another_destination_is_tried_and_then_no_more() -> None:
    seen = drain(host("a", gib=64), host("b", gib=64), host("c", gib=32), server("s", "a"))
    seen = replace(seen, now_s=100.0)
    assert decide(seen).start[0].destination == "b"
    (move,) = seen.moves
    once = replace(seen, moves=(replace(move, tried=(Tried("b", "link down"),)),))
    assert decide(once).start[0].destination == "c"
    refused = replace(seen, moves=(replace(move, tried=(Tried("b", "no disk", failed=False),)),))
    assert decide(refused).start[0].destination == "c"

    only_once = replace(once, limits=replace(WIDE, attempts=1))

    assert decide(only_once).outlooks["s"] == Outlook(State.STUCK, ("b: link down",))
    assert decide(only_once).outcome is Outcome.FAILED


def test_after_too_many_failures_what_runs_ends_and_nothing_begins() -> None:
    seen = drain(*THREE, limits=replace(WIDE, max_failures=0))
    moves = tuple(replace(each, tried=(Tried("b", "no"),)) for each in seen.moves if each.server_id == "big")
    seen = replace(seen, moves=(*moves, *(each for each in seen.moves if each.server_id != "big")))

    assert decide(seen).start == ()
    assert decide(seen).outcome is Outcome.FAILED
    assert decide(replace(seen, running=(Running("mid", "a", "c"),))).outcome is None


def test_a_pause_begins_nothing_and_ends_nothing() -> None:
    paused = replace(drain(*THREE), paused=True)

    assert decide(paused).start == ()
    assert decide(paused).outcome is None


@pytest.mark.parametrize(("how", "ended"), [(Abort.FINISH_RUNNING, ()), (Abort.ABORT_RUNNING, ("mid",))])
def test_an_abort_ends_what_runs_if_asked_to(how: Abort, ended: tuple[str, ...]) -> None:
    seen = replace(drain(*THREE), abort=how, running=(Running("mid", "a", "b"),))

    decision = decide(seen)

    assert (decision.start, decision.end, decision.outcome) == ((), ended, None)
    assert decide(replace(seen, running=())).outcome is Outcome.ABORTED


def test_it_completes_when_nothing_is_left() -> None:
    seen = drain(*THREE)
    empty = seen.fleet.moved("big", "b").moved("mid", "c").moved("small", "c")

    assert decide(replace(seen, fleet=empty)).outcome is Outcome.COMPLETED


def test_a_server_of_a_list_goes_only_where_it_may() -> None:
    seen = replace(
        drain(*THREE),
        moves=(Move("big", hosts=("c", "unknown")), Move("mid", hosts=("a",))),
        emptying=frozenset(),
    )

    decision = decide(seen)

    assert decision.start == (Start("big", "c"),)
    assert decision.outlooks["mid"].state is State.ARRIVED


@pytest.mark.parametrize("name", ["per_source", "per_destination", "in_all", "attempts"])
def test_a_limit_of_zero_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0; give a number from 1"):
        OperationLimits(**{name: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"window": "22-5"}, "window is '22-5'; write it as 22:00-05:00"),
        ({"window": "22:00-22:00"}, "no span of a day"),
        ({"window": "25:00-05:00"}, "no span of a day"),
        ({"order": "label:"}, "'' is no label's key"),
        ({"order": "slow-first"}, "write quick-first, biggest-first or label:KEY"),
        ({"retry_s": -1}, "retry_s is -1; give a number from 0"),
        ({"priority": 101}, "priority is 101; give a number from -100 to 100"),
    ],
)
def test_a_limit_that_can_not_be_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        OperationLimits(**wrong)
