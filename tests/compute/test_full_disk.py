"""The control plane's disk is full: people are told so, nothing is lost, and all goes on once there is room."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from kedge.compute.migrations import conductor as module
from kedge.testing.simulated.fabric import Step
from kedge.testing.started import started

from ..disks import fill, small_disk
from .compute_world import completed, make_compute_world

pytestmark = pytest.mark.root  # to mount file systems


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """4 MiB for the database."""
    with small_disk(tmp_path / "disk", "4m") as mounted:
        yield mounted


@pytest.mark.parametrize("step", [Step.PREPARED, Step.COPYING, Step.PAUSED, Step.OVER])
def test_a_migration_waits_for_room_and_goes_on(
    disk: Path, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.01)
    errors: list[str] = []
    filler: list[Path] = []
    with make_compute_world(disk) as world:
        server = world.server("h1")
        migration = world.begin(server, "h3")
        world.fabric.on_step(step, lambda: filler.append(fill(disk)))

        def noted(context: object) -> None:
            errors.append(str(getattr(context, "original_exception", "")))
            if len(errors) == 3:
                filler.pop().unlink()

        event.listen(world.engine, "handle_error", noted)
        world.conductor(world.new_tools())._drive(migration.id)
        assert completed(world.found(migration))
        world.check(server, "h3")
    assert len(errors) >= 3
    assert all("disk is full" in error or "disk I/O error" in error for error in errors), errors


def test_people_are_told_and_nothing_is_half_written(disk: Path, tmp_path: Path) -> None:
    network = {"provider:network_type": "flat", "provider:physical_network": "physnet1"}
    with started(tmp_path, f"sqlite:///{disk}/kedge.db") as control:
        assert control.ask("POST", "/networks", {"network": {"name": "blue", **network}}).status == 201
        filler = fill(disk)
        # The first ones may still find room in pages that are there.
        answers = (
            control.ask(
                "POST", "/networks", {"network": {**network, "provider:physical_network": f"net{number}"}}
            )
            for number in range(100)
        )
        refused = next(each for each in answers if each.status != 201)
        assert (refused.status, refused.error) == (503, "ServiceUnavailable")
        assert "full" in refused.body["NeutronError"]["message"]
        before = control.ask("GET", "/networks").body["networks"]
        assert "blue" in [each["name"] for each in before]
        filler.unlink()
        network["provider:physical_network"] = "physnet2"
        assert control.ask("POST", "/networks", {"network": {"name": "green", **network}}).status == 201
        assert len(control.ask("GET", "/networks").body["networks"]) == len(before) + 1
