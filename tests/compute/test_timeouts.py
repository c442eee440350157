"""A migration whose time is up: given up, or ended sooner, as its options say."""

from dataclasses import replace
from datetime import timedelta

import pytest

from kedge.compute.records import plain_records
from kedge.core.migration.pace import LowMark, low_mark
from kedge.model.domain import JobProgress
from kedge.model.server import Migration, MigrationOptions, MigrationStatus, Phase, TimeoutAction
from kedge.testing.simulated.fabric import Step

from .compute_world import ComputeWorld, completed, phases

ENDLESS = 10**9
HURRIES = [TimeoutAction.FORCE_COMPLETE, TimeoutAction.POST_COPY]


@pytest.fixture
def busy(world: ComputeWorld) -> ComputeWorld:
    """A world whose guests change memory faster than it can be copied."""
    world.fabric.rounds = ENDLESS
    return world


def let_time_pass(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = plain_records._now
    monkeypatch.setattr(plain_records, "_now", lambda bind: now(bind) + timedelta(seconds=seconds))


def late(world: ComputeWorld, monkeypatch: pytest.MonkeyPatch, options: MigrationOptions) -> Migration:
    """A migration during whose copying an hour passes."""
    server = world.server("h1")
    world.fabric.on_step(Step.COPYING, lambda: let_time_pass(monkeypatch, 3600))
    return world.move(server, "h3", options)


def test_the_completion_timeout_ends_it_with_everything_as_it_was(
    busy: ComputeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    migration = late(busy, monkeypatch, MigrationOptions(completion_timeout_s=60))
    assert migration.status is MigrationStatus.FAILED
    assert migration.error == "the completion time-out of 60 s passed"
    busy.check(busy.tools.servers.find(migration.server_id), "h1")


@pytest.mark.parametrize("action", HURRIES)
def test_or_it_is_ended_sooner(
    busy: ComputeWorld, monkeypatch: pytest.MonkeyPatch, action: TimeoutAction
) -> None:
    options = MigrationOptions(completion_timeout_s=60, timeout_action=action)
    migration = late(busy, monkeypatch, options)
    assert completed(migration)
    (hurried,) = [entry for entry in migration.timeline if entry.phase == Phase.HURRIED]
    assert hurried.detail == {"why": "the completion time-out of 60 s passed", "done": action}
    busy.check(busy.tools.servers.find(migration.server_id), "h3")


@pytest.mark.parametrize("memory_lost", [False, True])
def test_post_copy_that_breaks_off_is_gone_on_with(busy: ComputeWorld, memory_lost: bool) -> None:
    server = busy.server("h1")

    def break_off() -> None:
        transfer = busy.fabric.running(server.id)
        assert transfer is not None and transfer.over_there
        transfer.break_off("job 'migration out' failed in post-copy phase")
        if memory_lost:
            busy["h1"].agent.restart(memory_lost=True)

    busy["h3"].agent.faults.on("announce", break_off)
    options = MigrationOptions(progress_timeout_s=0.05, timeout_action=TimeoutAction.POST_COPY)
    migration = busy.move(server, "h3", options)
    assert completed(migration)
    assert Phase.RECOVERED in phases(migration)
    busy.check(server, "h3")


@pytest.mark.parametrize("action", TimeoutAction)
def test_no_progress_is_noticed(busy: ComputeWorld, action: TimeoutAction) -> None:
    options = MigrationOptions(progress_timeout_s=0.05, timeout_action=action)
    migration = busy.move(busy.server("h1"), "h3", options)
    if action is TimeoutAction.ABORT:
        assert migration.error == "no progress was made for 0.05 s"
    assert completed(migration) is (action is not TimeoutAction.ABORT)


def test_a_chosen_downtime_limit_gives_way_to_the_timeout(busy: ComputeWorld) -> None:
    options = MigrationOptions(
        downtime_limit_ms=5, progress_timeout_s=0.05, timeout_action=TimeoutAction.FORCE_COMPLETE
    )
    assert completed(busy.move(busy.server("h1"), "h3", options))


@pytest.mark.parametrize("action", TimeoutAction)
def test_before_the_transfer_every_timeout_gives_up(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch, action: TimeoutAction
) -> None:
    server = world.server("h1")
    migration = world.begin(server, "h3", MigrationOptions(completion_timeout_s=60, timeout_action=action))
    let_time_pass(monkeypatch, 61)
    ended = world.drive(migration)
    assert ended.status is MigrationStatus.FAILED
    assert Phase.TRANSFER not in phases(ended)
    world.check(server, "h1")


def test_in_time_nothing_happens(world: ComputeWorld) -> None:
    migration = world.move(world.server("h1"), "h3", MigrationOptions(completion_timeout_s=60))
    assert completed(migration)
    assert Phase.HURRIED not in phases(migration)


@pytest.mark.parametrize("name", ["completion_timeout_s", "progress_timeout_s"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_timeout_that_makes_no_sense_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is"):
        replace(MigrationOptions(), **{name: value})  # type: ignore[arg-type]


def test_only_a_new_low_is_progress() -> None:
    mark: LowMark | None = None
    for now, remaining in enumerate([900, 500, 700, 600, 500, 499]):
        mark = low_mark(mark, JobProgress(memory_remaining=remaining), now)
        assert mark.stalled_s(now) == (0 if remaining in (900, 499) or now == 1 else now - 1)
