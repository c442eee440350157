"""What a transition would do, in virtual time."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

import pytest

from kedge.core.operation import Decision, Prediction, Seen, TransferModel, decide, excerpt
from kedge.core.operation.simulate_transition import simulate_transition
from kedge.core.placement import HostState, PlacedServer
from kedge.model.operation import OperationLimits, Outcome
from kedge.model.server import MigrationOptions
from kedge.model.transition import Transition

from ..placement.fleets import fleet, host, server

SIMULATE = import_module("kedge.core.operation.simulate")
MODEL = TransferModel(link_mib=1024, assumed_dirty_mib=0, fixed_s=2, convert_s=27, try_s=3, rewire_s=3)
THREE = tuple(host(name, gib=64, driver="linuxbridge") for name in "abc")
VMS = (server("vm1", "a", gib=4), server("vm2", "a", gib=4), server("vm3", "b", gib=4))


def predicted(
    *things: HostState | PlacedServer,
    hosts: tuple[str, ...] = ("a", "b"),
    to: str = "openvswitch",
    in_place: tuple[str, ...] = (),
    options: Mapping[str, MigrationOptions] = MappingProxyType({}),
    left: Mapping[str, str] = MappingProxyType({}),
    **limits: int,
) -> Prediction:
    of = fleet(*things)
    homes = {each.id: each.host for each in of.servers.values() if each.host in hosts}
    bounds = OperationLimits(**limits)  # type: ignore[arg-type]
    seen = Seen(of, (), limits=bounds)
    wanted = Transition(hosts, to)
    return simulate_transition(wanted, seen, homes, MODEL, in_place=in_place, options=options, left=left)


def test_who_goes_where_and_when_each_hosts_turn_is() -> None:
    found = predicted(*THREE, *VMS)

    assert (found.outcome, found.unmoved) == (Outcome.COMPLETED, {})
    assert [(each.server_id, each.source) for each in found.legs[:2]] == [("vm1", "a"), ("vm2", "a")]
    assert {each.server_id: each.destination for each in found.legs[2:4]} == {"vm1": "a", "vm2": "a"}
    assert [(each.server_id, each.source) for each in found.legs[4:5]] == [("vm3", "b")]
    assert [(each.server_id, each.destination) for each in found.legs[5:]] == [("vm3", "b")]
    first, second = found.turns
    # Two servers of 4 GiB share a link of 1 GiB/s, away and back; then the other host's one, alone.
    assert (first.host, first.start_s) == ("a", 0)
    assert first.end_s == pytest.approx(2 * (2 + 8) + 30, rel=0.05)
    assert (second.host, second.start_s) == ("b", first.end_s)
    assert second.end_s == pytest.approx(50 + 2 * (2 + 4) + 30, rel=0.05)
    assert second.end_s is not None
    assert found.total_s == second.end_s + MODEL.lag_s


def test_each_servers_options_are_heeded_both_ways() -> None:
    slow = predicted(*THREE, *VMS, hosts=("b",), options={"vm3": MigrationOptions(bandwidth_mib=256)})
    assert [each.end_s - each.start_s for each in slow.legs] == pytest.approx([2 + 16] * 2)


def test_a_server_that_is_left_where_it_is_stops_its_host() -> None:
    found = predicted(*THREE, *VMS, left={"vm3": "there is no policy 'x'"})
    assert found.outcome is Outcome.FAILED
    assert "there is no policy 'x'" in found.unmoved["vm3"][0]
    assert "vm3" not in {each.server_id for each in found.legs}


def many(spare_gib: int = 64) -> Prediction:
    """24 hosts of one backend with two servers each, and four spare ones, which are looked at first."""
    names = [f"h{number:02}" for number in range(24)]
    hosts = [host(name, gib=64, driver="linuxbridge") for name in names]
    spare = [host(f"s{number}", gib=spare_gib, driver="linuxbridge") for number in range(4)]
    vms = [server(f"vm-{name}-{number}", name, gib=4) for name in names for number in range(2)]
    return predicted(*hosts, *spare, *vms, hosts=tuple(names), hosts_at_once=2)


def test_a_part_of_a_large_fleet_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = many()
    looks: list[int] = []

    def looking(seen: Seen) -> Decision:
        looks.append(len(seen.fleet.hosts))
        return decide(seen)

    monkeypatch.setattr(excerpt, "FIRST", 4)
    monkeypatch.setattr(SIMULATE, "decide", looking)
    part = many()
    assert max(looks) <= 4 + 2 + 2 + 2, "those looked at first, at work, next, and just done"
    assert (part.outcome, part.unmoved, len(part.legs)) == (Outcome.COMPLETED, {}, 4 * 24)
    assert part.total_s == pytest.approx(whole.total_s, rel=0.01)
    assert [each.host for each in part.turns] == [each.host for each in whole.turns]
    assert all(each.end_s is not None for each in part.turns)


def test_more_of_it_is_looked_at_where_there_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excerpt, "FIRST", 4)
    found = many(spare_gib=1)
    assert (found.outcome, found.unmoved) == (Outcome.COMPLETED, {})


def test_those_that_are_too_many_to_be_told_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SIMULATE, "MOST", 10)
    found = many()
    assert (len(found.legs), found.more_legs) == (10, 4 * 24 - 10)
    small = (host(f"b{number}", gib=1) for number in range(2))
    vms = (server(f"vm{number}", "a", gib=4) for number in range(12))
    found = predicted(host("a", gib=64, driver="linuxbridge"), *small, *vms, hosts=("a",))
    assert (len(found.unmoved), found.more_unmoved) == (10, 2)


def test_several_hosts_at_once_are_quicker() -> None:
    assert predicted(*THREE, *VMS, hosts_at_once=2).total_s < predicted(*THREE, *VMS).total_s - 30


def test_capacity_that_is_too_small_is_said_with_the_arithmetic() -> None:
    found = predicted(host("a", gib=64, driver="linuxbridge"), host("b", gib=5), *VMS[:2], hosts=("a",))

    assert found.outcome is Outcome.FAILED
    assert found.legs == ()
    (why,) = found.unmoved["vm1"]
    assert why.startswith("a: vm2 fits nowhere else: b: ")
    assert "GiB" in why or "MiB" in why


def test_hosts_without_servers_are_changed_too() -> None:
    assert predicted(*THREE).total_s == 60
    assert [each.host for each in predicted(*THREE).turns] == ["a", "b"]


def test_in_place_nobody_moves_and_a_few_are_rewired_at_once() -> None:
    found = predicted(host("a", gib=64, driver="linuxbridge"), *VMS[:2], hosts=("a",), in_place=("a",))
    assert (found.outcome, found.unmoved, found.legs) == (Outcome.COMPLETED, {}, ())
    (turn,) = found.turns
    assert (turn.in_place, turn.rewired) == (True, 2)
    assert turn.end_s == pytest.approx(30 + MODEL.lag_s + 3)
    one_at_a_time = predicted(
        host("a", gib=64, driver="linuxbridge"), *VMS[:2], hosts=("a",), in_place=("a",), rewired_at_once=1
    )
    assert one_at_a_time.total_s == pytest.approx(30 + 2 * (MODEL.lag_s + 3))


def test_hosts_in_place_and_by_moves_one_after_the_other() -> None:
    found = predicted(*THREE, *VMS, in_place=("a",))
    assert found.outcome is Outcome.COMPLETED
    assert [(each.host, each.in_place, each.rewired) for each in found.turns] == [
        ("a", True, 2),
        ("b", False, 0),
    ]
    assert {each.server_id for each in found.legs} == {"vm3"}
