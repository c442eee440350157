from dataclasses import replace

import pytest

from kedge.core.operation import Move, Outlook, Running, Seen, Start, State, Tried, Tune, decide
from kedge.core.placement import Fleet, HostState, PlacedServer
from kedge.model.operation import Abort, OperationLimits, Order, Outcome

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
    assert begun(drain(*THREE, limits=replace(WIDE, order=Order.BIGGEST_FIRST))) == ["big", "mid", "small"]


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
