from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.core.operation import Levels, level
from kedge.core.placement import Fleet, HostState, PlacedServer, stands_against
from kedge.model.placement import HostLimits
from kedge.model.rebalance import Levelling, Measure

from ..placement.fleets import fleet, host, server

BY_COUNT = Levelling(Measure.SERVERS)


def moves(levels: Levels) -> list[tuple[str, str]]:
    return [(each.server_id, each.hosts[0]) for each in levels.moves]


def after(levels: Levels) -> dict[str, Any]:
    return {each.host: each.after for each in levels.levels}


def test_the_move_that_levels_most_comes_first() -> None:
    of = fleet(
        host("a", gib=100),
        host("b", gib=100),
        host("c", gib=100),
        server("big", "a", gib=40),
        server("mid", "a", gib=20),
        server("small", "a", gib=10),
        server("other", "b", gib=20),
    )

    levels = level(of, Levelling())

    assert moves(levels) == [("big", "c")]  # 30, 20 and 40: moving on would only swap who is high
    assert after(levels) == {"a": 30, "b": 20, "c": 40}
    assert moves(level(of, Levelling(threshold=1))) == [("big", "c")]


def test_shares_of_memory_count_and_not_bytes() -> None:
    of = fleet(
        host("large", gib=200),
        host("small", gib=50),
        server("x", "large", gib=60),
        server("y", "small", gib=15),
    )

    assert moves(level(of, Levelling())) == []  # both have promised 30 percent


def test_servers_are_counted_and_the_smallest_moved() -> None:
    of = fleet(
        host("a"),
        host("b"),
        server("x", "a", gib=4),
        server("y", "a", gib=1),
        server("z", "a", gib=2),
        host("c"),
    )

    levels = level(of, BY_COUNT)

    assert moves(levels) == [("y", "b"), ("z", "c")]
    assert set(after(levels).values()) == {1}


def test_within_the_threshold_nothing_is_moved() -> None:
    of = fleet(host("a", gib=100), host("b", gib=100), server("x", "a", gib=5), server("y", "a", gib=5))

    assert moves(level(of, Levelling())) == []
    assert moves(level(of, Levelling(threshold=9))) == [("x", "b")]


def test_so_many_moves_at_most() -> None:
    of = fleet(host("a"), host("b"), *(server(f"s{number}", "a") for number in range(8)))

    assert len(level(of, Levelling(Measure.SERVERS, moves=2)).moves) == 2
    assert len(level(of, BY_COUNT).moves) == 4


def test_hosts_that_can_not_take_part_say_why() -> None:
    of = fleet(
        host("a", gib=100),
        host("dead", gib=100, alive=False),
        host("off", gib=100, disabled="new disks"),
        host("unknown"),
        host("kept", gib=1, limits=HostLimits(memory_reserve_mib=1024)),
        server("x", "a", gib=50),
    )

    levels = level(of, Levelling())

    reasons = {each.host: each.left_out for each in levels.levels if each.left_out}
    assert levels.moves == ()
    assert reasons.keys() == {"dead", "off", "unknown", "kept"}
    assert "new disks" in reasons["off"] and "kept for the host" in reasons["kept"]


def test_only_the_hosts_and_servers_asked_for() -> None:
    of = fleet(host("a"), host("b"), host("c"), *(server(f"s{number}", "a") for number in range(4)))

    levels = level(of, BY_COUNT, ("a", "c"), {"s3", "s1"})

    assert moves(levels) == [("s1", "c"), ("s3", "c")]
    assert after(levels) == {"a": 2, "c": 2}


def test_never_what_placement_refuses() -> None:
    apart = {"anti-affinity": "web"}
    of = fleet(
        host("a", gib=100),
        host("b", gib=100),
        server("web1", "a", gib=30, labels=apart),
        server("db", "a", gib=20),
        server("web2", "b", gib=1, labels=apart),
    )

    assert moves(level(of, Levelling())) == [("db", "b")]


HOSTS = ("a", "b", "c", "d")


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    hosts: list[HostState] = [host(name, gib=draw(st.sampled_from([16, 32, 64]))) for name in HOSTS]
    groups = st.sampled_from([{}, {}, {"anti-affinity": "x"}])
    servers: list[PlacedServer] = []
    for number in range(draw(st.integers(0, 12))):
        on, gib = draw(st.sampled_from(HOSTS)), draw(st.sampled_from([1, 2, 4, 8]))
        servers.append(server(f"s{number}", on, gib=gib, labels=draw(groups)))
    return fleet(*hosts, *servers)


@given(fleets(), st.sampled_from(list(Measure)), st.integers(1, 6))
def test_what_comes_of_it_is_more_level_and_stays(of: Fleet, by: Measure, most: int) -> None:
    wanted = Levelling(by, moves=most)
    levels = level(of, wanted)

    assert len(levels.moves) <= most
    assert len({each.server_id for each in levels.moves}) == len(levels.moves)
    now = of
    for each in levels.moves:
        placed = now.servers[each.server_id]
        assert not stands_against(placed, now.hosts[each.hosts[0]], now)
        now = now.moved(each.server_id, each.hosts[0])
    before = sorted((each.before or 0 for each in levels.levels), reverse=True)
    later = sorted((each.after or 0 for each in levels.levels), reverse=True)
    assert later < before if levels.moves else later == before
    assert later[-1] >= before[-1]
    if len(levels.moves) < most:
        assert level(now, wanted).moves == ()


@pytest.mark.parametrize(
    "wrong", [{"moves": 0}, {"threshold": -1}, {"threshold": 101}, {"threshold": float("nan")}]
)
def test_what_can_not_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*; give a number from"):
        Levelling(**wrong)
