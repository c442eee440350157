"""Which hosts are left out and why, and in which order the others come."""

import pytest

from kedge.core.placement import HostState, PlacedServer, Placement, Promise, place
from kedge.model.placement import HostLimits

from .fleets import fleet, host, promise, server


def codes(placement: Placement, name: str) -> list[str]:
    return [each.code for left in placement.left_out if left.host == name for each in left.obstacles]


def order(placement: Placement) -> list[str]:
    return [each.host for each in placement.ranked]


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (host("b"), []),
        (host("b", alive=False), ["agent-dead"]),
        (host("b", alive=False, forced_down=True), ["forced-down"]),
        (host("b", disabled="new disks"), ["host-disabled"]),
        (host("b", libvirt=0), ["destination-failed"]),
        (host("b", mtu=1400), ["nic-cannot-bind"]),
        (host("b", driver="unheard-of"), ["nic-cannot-bind"]),
        (host("b", gib=2), ["memory-committed", "memory-short"]),
        (host("b", gib=4, available=2), ["memory-short"]),
        (host("b", limits=HostLimits(vcpus=1)), ["vcpus-short"]),
        (host("b", disabled="why", libvirt=0, gib=1, mtu=1400),
         ["host-disabled", "destination-failed", "nic-cannot-bind", "memory-committed", "memory-short"]),
    ],
)  # fmt: skip
def test_what_leaves_a_host_out(there: HostState, expected: list[str]) -> None:
    one = server("one", "a", gib=3, vcpus=2)
    placement = place(one, fleet(host("a"), there, one))
    assert codes(placement, "b") == expected
    assert order(placement) == ([] if expected else ["b"])


def test_the_reasons_say_why() -> None:
    one = server("one", "a")
    placement = place(one, fleet(host("a"), host("b", disabled="new disks"), host("c", mtu=1400), one))
    said = {each.host: str(each.obstacles[0]) for each in placement.left_out}
    assert said["b"] == (
        "destination b: is disabled: new disks; choose another host, or `kedge hosts enable b`"
    )
    assert "has MTU 1400 and network n1 needs 1500" in said["c"]


def test_its_own_host_is_left_out_only_when_it_is_asked_for() -> None:
    one = server("one", "a")
    of_two = fleet(host("a"), host("b"), one)
    assert place(one, of_two).left_out == ()
    assert codes(place(one, of_two, {"a", "b"}), "a") == ["same-host"]
    assert place(one, of_two, {"a"}).best is None


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ((host("b", gib=8), host("c", gib=64), server("x", "c", gib=2)), ["c", "b"]),
        ((host("b", gib=8), host("c", gib=8), promise("x", "b")), ["c", "b"]),
        ((host("b", gib=8), host("c", gib=8), server("x", "c", gib=0)), ["b", "c"]),
        ((host("b", gib=8, driver="linuxbridge"), host("c", gib=8, available=7)), ["c", "b"]),
        ((host("b", gib=8, driver="linuxbridge"), host("c", gib=8, available=4)), ["b", "c"]),
        ((host("b"), host("c"), server("x", "b")), ["c", "b"]),
        ((host("b"), host("c")), ["b", "c"]),
    ],
    ids=["free memory", "promises", "servers", "same backend", "memory over backend", "unknown memory", "names"],
)  # fmt: skip
def test_the_order(others: tuple[HostState | PlacedServer | Promise, ...], expected: list[str]) -> None:
    one = server("one", "a")
    assert order(place(one, fleet(host("a"), one, *others))) == expected


def test_a_weight_says_what_it_is_made_of() -> None:
    one = server("one", "a", gib=2)
    ranked = place(one, fleet(host("a"), host("b", gib=8), one)).ranked[0]
    assert ranked.weight.parts == {"memory": 0.75, "group": 0.0, "backend": 0.25}
    assert ranked.weight.total == 1.0


def test_servers_that_are_placed_one_after_the_other_share_what_there_is() -> None:
    servers = [server(f"s{number}", "a", gib=3) for number in range(4)]
    then = fleet(host("a"), host("b", gib=7), host("c", gib=4), *servers)
    chosen = []
    for each in servers:
        best = place(each, then).best
        chosen.append(best)
        then = then.promising(each.id, best) if best else then
    assert chosen == ["b", "c", "b", None]


def test_what_moved_makes_room_and_comes_back() -> None:
    one, two = server("one", "a", gib=4), server("two", "b", gib=4)
    before = fleet(host("a", gib=6, available=2), host("b", gib=12, available=8), one, two)
    assert place(two, before).best is None
    after = before.moved("one", "b")
    assert [each.name for each in after.on("b")] == ["one", "two"] and after.on("a") == []
    assert place(after.servers["two"], after).best == "a"
    back = after.moved("one", "a")
    assert (back.load("a"), back.load("b")) == (before.load("a"), before.load("b"))
    assert before.on("a") == [one]
