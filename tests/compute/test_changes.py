"""A migration that a person, or its operation, changes while its memory is copied."""

import pytest

from kedge.model.errors import BadRequest, Conflict
from kedge.model.server import Migration, MigrationChange, MigrationOptions, Phase
from kedge.testing.simulated.fabric import Step
from kedge.wire.messages import TransferTuning

from .compute_world import ComputeWorld, completed

ENDLESS = 10**9


def changed_while_copying(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch, *changes: MigrationChange
) -> tuple[Migration, list[TransferTuning]]:
    """A migration that is changed so and then told to complete, and what its source was told."""
    world.fabric.rounds = ENDLESS
    migration = world.begin(world.server("h1"), "h3")
    agent, told = world["h1"].agent, []
    tune = agent.tune_transfer

    def noted(migration_id: str, tuning: TransferTuning) -> None:
        told.append(tuning)
        tune(migration_id, tuning)
        if changes and tuning.bandwidth_mib == changes[-1].bandwidth_mib:
            complete()

    def complete() -> None:
        world.tools.migrations.change(
            migration.id, lambda options: MigrationOptions(**{**vars(options), "complete_now": True})
        )

    def change() -> None:
        for each in changes:
            world.tools.migrations.change(migration.id, each.applied)
        if not changes:
            complete()

    monkeypatch.setattr(agent, "tune_transfer", noted)
    world.fabric.on_step(Step.COPYING, change)
    return world.drive(migration), told


def test_it_completes_when_somebody_asks_for_that(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    migration, _ = changed_while_copying(world, monkeypatch)

    assert completed(migration)
    (hurried,) = [each for each in migration.timeline if each.phase == Phase.HURRIED]
    assert hurried.detail == {"why": "somebody asked for it", "done": "force-complete"}


def test_limits_follow_what_is_wanted(world: ComputeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = MigrationChange(downtime_limit_ms=1), MigrationChange(bandwidth_mib=33)

    migration, told = changed_while_copying(world, monkeypatch, *changes)

    assert completed(migration)
    assert (migration.options.downtime_limit_ms, migration.options.bandwidth_mib) == (1, 33)
    assert [each.bandwidth_mib for each in told if each.bandwidth_mib is not None] == [33]


def test_a_share_and_a_limit_hold_both() -> None:
    assert MigrationOptions(bandwidth_mib=10, share_mib=20).rate_mib == 10
    assert MigrationOptions(bandwidth_mib=30, share_mib=20).rate_mib == 20
    assert MigrationOptions(share_mib=20).rate_mib == 20
    assert MigrationOptions().rate_mib == 0


def test_a_new_conductor_tells_it_again(world: ComputeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    migration = world.begin(world.server("h1"), "h3")
    world.tools.migrations.take_over(migration.id)
    world.tools.migrations.write(migration.id, world.tools.migrations.take_over(migration.id), ordered=True)
    world.tools.migrations.change(migration.id, MigrationChange(bandwidth_mib=7).applied)
    told: list[TransferTuning] = []
    monkeypatch.setattr(world["h1"].agent, "tune_transfer", lambda _id, tuning: told.append(tuning))

    assert completed(world.drive(migration))

    assert told[0].bandwidth_mib == 7


def test_what_can_not_be_is_refused(world: ComputeWorld) -> None:
    server = world.server("h1")
    migration = world.begin(server, "h3")
    with pytest.raises(BadRequest, match="bandwidth_mib is -1; give a number of MiB/s"):
        world.tools.migrations.change(migration.id, MigrationChange(bandwidth_mib=-1).applied)
    with pytest.raises(BadRequest, match="downtime_limit_ms is 0; give a number from 1"):
        world.tools.migrations.change(migration.id, MigrationChange(downtime_limit_ms=0).applied)
    assert world.found(migration).options == MigrationOptions()
    world.drive(migration)
    with pytest.raises(Conflict, match="has ended already: completed"):
        world.tools.migrations.change(migration.id, MigrationChange(bandwidth_mib=1).applied)
