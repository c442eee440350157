from dataclasses import replace

import pytest

from kedge.core.operation import Running, State, TransferModel, decide, forecast, simulate
from kedge.model.operation import Abort, OperationLimits, Outcome
from kedge.model.server import MigrationOptions

from ..placement.fleets import host, server
from .test_decide import THREE, WIDE, drain

PATIENT = MigrationOptions(progress_timeout_s=100)
QUIET = TransferModel(link_mib=1024, copy_mib=1024, assumed_dirty_mib=0, fixed_s=2, lag_s=0)


def test_one_after_the_other_takes_the_sum() -> None:
    prediction = simulate(drain(*THREE, limits=replace(WIDE, in_all=1)), QUIET)

    assert [each.server_id for each in prediction.legs] == ["small", "mid", "big"]
    assert [each.start_s for each in prediction.legs] == pytest.approx([0, 3, 9])
    assert [each.end_s for each in prediction.legs] == pytest.approx([3, 9, 19])
    assert prediction.total_s == pytest.approx(19)
    assert prediction.outcome is Outcome.COMPLETED
    assert not prediction.unmoved


def test_what_runs_at_once_shares_the_link_of_its_source() -> None:
    both = drain(host("a", gib=64), host("b", gib=64), server("x", "a", gib=4), server("y", "a", gib=4))

    prediction = simulate(both, QUIET)

    assert [each.end_s for each in prediction.legs] == pytest.approx([10, 10])


def test_what_shares_a_network_waits_for_it() -> None:
    limits = replace(WIDE, per_network=1)
    seen = drain(host("a", gib=64), host("b", gib=64), server("x", "a"), server("y", "a"), limits=limits)
    named = [
        replace(each, host=replace(each.host, migration_network="n")) for each in seen.fleet.hosts.values()
    ]
    fleet = seen.fleet
    for each in named:
        fleet = fleet.with_host(each)

    first, second = simulate(replace(seen, fleet=fleet), QUIET).legs

    assert second.start_s == first.end_s


def test_bandwidth_that_becomes_free_is_used() -> None:
    seen = drain(
        host("a", gib=64),
        host("b", gib=64),
        server("x", "a", gib=1),
        server("y", "a", gib=4),
        limits=replace(WIDE, bandwidth_mib=512),
    )

    x, y = simulate(seen, QUIET).legs

    assert x.end_s == pytest.approx(2 + 4)  # 1 GiB at 256 MiB/s
    assert y.end_s == pytest.approx(2 + 4 + 6)  # 1 GiB at 256 and 3 GiB at 512 MiB/s


def test_memory_that_changes_is_sent_again_and_makes_a_pause() -> None:
    idle, busy = forecast(1024, 0, 256), forecast(1024, 128, 256)

    assert idle is not None
    assert busy is not None
    assert idle.copy_s == 4
    assert busy.copy_s == pytest.approx(8, rel=0.02)  # the geometric series of 4 s by halves
    assert idle.downtime_ms == 0 < busy.downtime_ms < 100


def test_each_servers_options_are_heeded() -> None:
    seen = drain(
        host("a", gib=64), host("b", gib=64), server("slow", "a", gib=1), server("usual", "a", gib=1)
    )

    prediction = simulate(seen, QUIET, {"slow": MigrationOptions(bandwidth_mib=128)})

    ends = {each.server_id: each.end_s for each in prediction.legs}
    assert ends == pytest.approx({"slow": 2 + 8, "usual": 2 + 2})


def test_a_guest_that_writes_faster_than_it_is_copied_would_not_end() -> None:
    seen = drain(
        host("a", gib=64),
        host("b", gib=64),
        server("busy", "a", gib=8),
        server("idle", "a", gib=1),
        limits=replace(WIDE, attempts=1),
    )
    model = TransferModel(dirty_mib={"busy": 2000}, assumed_dirty_mib=0, lag_s=0)

    prediction = simulate(seen, model, {"busy": PATIENT})

    assert prediction.outcome is Outcome.FAILED
    assert "2000 MiB/s at 1000 MiB/s" in prediction.unmoved["busy"][0]
    assert "auto-converge" in prediction.unmoved["busy"][0]
    assert prediction.total_s == pytest.approx(102)
    assert {each.server_id for each in prediction.legs if each.failed} == {"busy"}


def test_who_has_no_place_is_said() -> None:
    seen = drain(host("a", gib=64), host("b", gib=10), *THREE[3:])

    prediction = simulate(seen, QUIET)

    assert [each.server_id for each in prediction.legs] == ["small", "mid"]
    assert list(prediction.unmoved) == ["big"]
    assert prediction.outcome is Outcome.FAILED


def test_what_is_under_way_takes_its_part_and_is_aborted_if_asked() -> None:
    seen = replace(
        drain(*THREE, limits=replace(WIDE, per_destination=1)),
        running=(Running("big", "a", "b", ours=False), Running("small", "a", "c")),
    )

    legs = {each.server_id: each for each in simulate(seen, QUIET).legs}
    aborted = simulate(replace(seen, abort=Abort.ABORT_RUNNING), QUIET)

    assert not legs["big"].ours
    assert legs["mid"].start_s == legs["small"].end_s > 0
    assert {each.server_id for each in aborted.legs if each.failed == "aborted"} == {"small"}


def test_a_paused_operation_waits_for_a_person() -> None:
    prediction = simulate(replace(drain(*THREE), paused=True), QUIET)

    assert prediction.outcome is None
    assert prediction.legs == ()
    assert set(prediction.unmoved) == {"big", "mid", "small"}


def test_the_simulation_begins_with_what_would_be_decided() -> None:
    seen = drain(*THREE, limits=OperationLimits(per_source=2))
    first = [(each.server_id, each.destination) for each in decide(seen).start]

    legs = [each for each in simulate(seen, QUIET).legs if each.start_s == 0]

    assert sorted(first) == sorted((each.server_id, each.destination) for each in legs)
    assert decide(seen).outlooks["big"].state is State.WAITING


def test_an_operation_takes_time_to_begin_each_migration_and_to_end() -> None:
    seen = drain(host("a", gib=64), host("b", gib=64), server("x", "a", gib=1), server("y", "a", gib=1))

    prediction = simulate(seen, replace(QUIET, link_mib=4096, lag_s=3))

    assert [each.start_s for each in prediction.legs] == pytest.approx([3, 6])
    assert [each.end_s for each in prediction.legs] == pytest.approx([6, 9])
    assert prediction.total_s == pytest.approx(12)


def test_migrations_that_run_at_once_slow_each_other_down() -> None:
    seen = drain(host("a", gib=64), host("b", gib=64), server("x", "a", gib=1), server("y", "a", gib=4))

    x, y = simulate(seen, replace(QUIET, link_mib=4096, slowdown=0.5)).legs

    assert x.end_s == pytest.approx(4.5)  # 3 s, half as long again beside y
    assert y.end_s == pytest.approx(4.5 + 3)  # half of its 6 s are done by then


def test_what_it_was_based_on_is_said() -> None:
    assert simulate(drain(*THREE), QUIET).basis == QUIET.basis()
    assert QUIET.basis()["learned_from"] == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"link_mib": 0},
        {"copy_mib": 0},
        {"slowdown": 2},
        {"lag_s": -1},
        {"assumed_dirty_mib": -1},
        {"dirty_mib": {"x": float("nan")}},
    ],
)
def test_a_model_that_can_not_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}.* is .*; give a number"):
        TransferModel(**wrong)  # type: ignore[arg-type]


def test_a_window_is_waited_for_and_what_runs_goes_on_after_it() -> None:
    six = 6 * 3600.0
    limits = replace(WIDE, in_all=1, window="06:10-06:11")
    seen = replace(drain(*THREE, limits=limits), now_s=six)

    legs = {each.server_id: each for each in simulate(seen, replace(QUIET, copy_mib=20, link_mib=20)).legs}

    assert legs["small"].start_s == pytest.approx(600, abs=0.01)
    assert legs["mid"].start_s < 660 < legs["mid"].end_s
    assert legs["big"].start_s == pytest.approx(600 + 86_400, abs=0.01)


def test_pauses_after_failures_are_waited_for() -> None:
    seen = drain(
        host("a", gib=64),
        host("b", gib=64),
        host("c", gib=32),
        server("busy", "a", gib=8),
        limits=replace(WIDE, attempts=3, retry_s=50),
    )
    seen = replace(seen, now_s=1e9)

    prediction = simulate(seen, replace(QUIET, dirty_mib={"busy": 2000}), {"busy": PATIENT})

    took = 102
    assert [each.destination for each in prediction.legs] == ["b", "c", "b"]
    assert [each.start_s for each in prediction.legs] == pytest.approx(
        [0, took + 50, took + 50 + took + 100], abs=0.01
    )
    assert prediction.outcome is Outcome.FAILED
