"""A migration whose VM stands still goes first, and many migrations look less often each."""

import threading

import pytest

from kedge.compute.migrations import right_of_way
from kedge.compute.migrations.conductor import LONGEST_WAIT_MS, WAIT_MS, Drive, longest_look_ms
from kedge.compute.migrations.right_of_way import RightOfWay
from kedge.model.server import MigrationStatus

from .compute_world import ComputeWorld

GENEROUS_S = 60.0


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> RightOfWay:
    monkeypatch.setattr(right_of_way, "LONGEST_S", GENEROUS_S)
    return RightOfWay()


def test_the_others_wait_until_it_is_done(way: RightOfWay) -> None:
    way.hurry("a")
    way.hurry("b")
    passed: list[bool] = []
    other = threading.Thread(target=lambda: passed.append(way.give_way("c")))
    other.start()
    assert way.give_way("a"), "who hurries waits for nobody"
    way.done("a")
    way.done("a")
    assert passed == []
    way.done("b")
    other.join(GENEROUS_S)
    assert passed == [True]


def test_nobody_waits_for_ever(way: RightOfWay, monkeypatch: pytest.MonkeyPatch) -> None:
    way.hurry("a")
    monkeypatch.setattr(right_of_way, "LONGEST_S", 0.01)
    assert not way.give_way("b")


def test_nobody_hurries_for_ever(way: RightOfWay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "LONGEST_S", 0.01)
    way.hurry("a")
    monkeypatch.setattr(right_of_way, "LONGEST_S", GENEROUS_S)
    assert way.give_way("b")


def test_a_migration_hurries_from_the_pause_to_the_switch(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    way, told = RightOfWay(), list[str]()

    def tell(what: object, name: str) -> None:
        whole = getattr(what, name)

        def telling(*args: object) -> object:
            told.append(name)
            return whole(*args)

        monkeypatch.setattr(what, name, telling)

    tell(way, "hurry")
    tell(way, "done")
    tell(world.network, "switch")
    migration = world.begin(world.server(), "h3")

    Drive(migration.id, world.new_tools(), threading.Event(), way=way).run()

    assert world.found(migration).status is MigrationStatus.COMPLETED
    switched = told.index("switch")
    assert told[switched - 1 : switched + 2] == ["hurry", "switch", "done"]
    assert "hurry" not in told[switched:]
    assert way.give_way("another")


def test_many_migrations_look_less_often_each() -> None:
    assert [longest_look_ms(drives) for drives in (1, 100, 10_000)] == [WAIT_MS, 1000, LONGEST_WAIT_MS]
