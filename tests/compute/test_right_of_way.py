"""A migration whose VM stands still goes first, and many migrations look less often each."""

import queue
import threading
import time

import pytest

from kedge.compute.migrations import right_of_way
from kedge.compute.migrations.conductor import LONGEST_WAIT_MS, WAIT_MS, Drive, longest_look_ms
from kedge.compute.migrations.right_of_way import RightOfWay
from kedge.model.server import MigrationStatus
from kedge.testing.simulated.transfer import SimulatedTransfer, Step

from .compute_world import ComputeWorld

GENEROUS_S = 60.0


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> RightOfWay:
    monkeypatch.setattr(right_of_way, "LONGEST_S", GENEROUS_S)
    return RightOfWay()


class Steps:
    """Steps that wait in threads of their own until a test lets them end."""

    def __init__(self, way: RightOfWay) -> None:
        self._way = way
        self._ends: dict[str, threading.Event] = {}
        self._threads: dict[str, threading.Thread] = {}
        self.begun: queue.Queue[str] = queue.Queue()

    def ask(self, name: str, *, moved: bool = False) -> None:
        """Ask for a turn, and come back once it is waited for, or had."""
        self._ends[name] = threading.Event()
        waiting = self._way.waiting + 1
        self._threads[name] = threading.Thread(target=self._step, args=(name, moved))
        self._threads[name].start()
        until = time.monotonic() + GENEROUS_S
        while self._way.waiting < waiting and self.begun.empty() and time.monotonic() < until:
            time.sleep(0.001)

    def _step(self, name: str, moved: bool) -> None:
        with self._way.turn(name, moved=moved):
            self.begun.put(name)
            assert self._ends[name].wait(GENEROUS_S)

    def next(self) -> str:
        return self.begun.get(timeout=GENEROUS_S)

    def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
            self._threads[name].join(GENEROUS_S)


def test_the_others_wait_until_it_is_done(way: RightOfWay) -> None:
    steps = Steps(way)
    way.hurry("a")
    way.hurry("b")
    steps.ask("c")
    with way.turn("a"):
        assert way.waiting == 1, "who hurries waits for nobody"
    way.done("a")
    way.done("a")
    assert (way.waiting, steps.begun.empty()) == (1, True)
    way.done("b")
    assert steps.next() == "c"
    steps.end("c")


def test_no_more_steps_are_made_at_once_than_there_are_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "LONGEST_S", GENEROUS_S)
    way = RightOfWay(turns=2)
    steps = Steps(way)
    for name in ("a", "b"):
        steps.ask(name)
        assert steps.next() == name
    steps.ask("c")
    steps.ask("d")
    steps.ask("e", moved=True)
    assert (way.waiting, steps.begun.empty()) == (3, True)
    way.hurry("f")
    with way.turn("f"):
        assert way.waiting == 3, "who hurries needs no turn"
    way.done("f")
    steps.end("a")
    assert steps.next() == "e", "whose VM has moved comes first"
    steps.end("b")
    assert steps.next() == "c"
    steps.end("e")
    assert steps.next() == "d"
    steps.end("c", "d")
    assert way.waiting == 0


def test_nobody_waits_for_ever(way: RightOfWay, monkeypatch: pytest.MonkeyPatch) -> None:
    way.hurry("a")
    monkeypatch.setattr(right_of_way, "LONGEST_S", 0.01)
    with way.turn("b"):
        pass


def test_nobody_hurries_for_ever(way: RightOfWay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "LONGEST_S", 0.01)
    way.hurry("a")
    with way.turn("b"):
        pass


def test_a_step_that_takes_too_long_is_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(right_of_way, "LONGEST_S", 0.01)
    way = RightOfWay(turns=1)
    with way.turn("a"), way.turn("b"):
        pass


@pytest.mark.parametrize("seen_when", [Step.PAUSED, Step.ARRIVED, Step.OVER])
def test_a_migration_hurries_from_the_pause_to_the_switch(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch, seen_when: Step
) -> None:
    way, told = RightOfWay(), list[str]()
    advance = world.fabric._advance

    def at_once(transfer: SimulatedTransfer) -> None:
        advance(transfer)
        while transfer.step in {Step.PAUSED, Step.ARRIVED} and transfer.step is not seen_when:
            advance(transfer)

    monkeypatch.setattr(world.fabric, "_advance", at_once)

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
    with way.turn("another"):
        assert way.waiting == 0


def test_many_migrations_look_less_often_each() -> None:
    assert [longest_look_ms(drives) for drives in (1, 100, 10_000)] == [WAIT_MS, 1000, LONGEST_WAIT_MS]
