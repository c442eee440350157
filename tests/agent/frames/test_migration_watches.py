"""Which watches run, with a stand-in for the packet sockets."""

import threading
import time
from collections.abc import Callable
from typing import cast

import pytest

from kedge.agent.frames import migration_watches
from kedge.agent.frames.device_watch import Heard
from kedge.agent.frames.migration_watches import FrameWatches
from kedge.agent.vif import Pluggers
from kedge.model.domain import FrameTimes
from kedge.model.network import NetworkType, Segment, Vif, VifType

from ..agent_stand_ins import NotedVifs

VIF = Vif("p", "n", "fa:16:3e:00:00:01", Segment(NetworkType.FLAT, "physnet1"), VifType.MACVTAP)


class Watch:
    made: list["Watch"]
    fails = False
    may_stop = threading.Event()

    def __init__(self, device: Callable[[], str | None], mac: str) -> None:
        if self.fails:
            raise OSError("no packet sockets")
        self.device, self.mac, self.stopped = device, mac, False
        self.made.append(self)

    def heard(self) -> Heard:
        return Heard(FrameTimes(frames=len(self.made)))

    def stop(self) -> Heard:
        assert self.may_stop.wait(60)
        self.stopped = True
        return self.heard()


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    Watch.made, Watch.fails = [], False
    Watch.may_stop.set()
    monkeypatch.setattr(migration_watches, "FrameWatch", Watch)


@pytest.fixture
def watches() -> FrameWatches:
    return FrameWatches(cast(Pluggers, NotedVifs()))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_whoever_asks_does_not_wait_for_the_end_of_the_former_watch(watches: FrameWatches) -> None:
    watches.ensure([VIF], "m1", {})
    wait_until(lambda: len(Watch.made) == 1)
    Watch.may_stop.clear()
    watches.ensure([VIF], "m2", {})
    wait_until(lambda: len(Watch.made) == 2)
    assert not Watch.made[0].stopped
    Watch.may_stop.set()
    wait_until(lambda: Watch.made[0].stopped)
    watches.close()


def test_a_vif_is_watched_once_per_migration(watches: FrameWatches) -> None:
    assert watches.missing([VIF], "m1")
    watches.ensure([VIF], "m1", {VIF.mac_address: "macvtap0"})
    assert not watches.missing([VIF], "m1")
    watches.ensure([VIF], "m1", {})
    wait_until(lambda: len(Watch.made) == 1)
    assert (Watch.made[0].mac, Watch.made[0].device()) == (VIF.mac_address, "macvtap0")
    assert watches.times([VIF], "m1") == {"p": Heard(FrameTimes(frames=1))}
    assert watches.times([VIF], "m2") == {}
    watches.ensure([VIF], "m2", {})
    wait_until(lambda: [watch.stopped for watch in Watch.made] == [True, False])
    watches.close()
    assert all(watch.stopped for watch in Watch.made)


def test_a_watch_that_nobody_asks_about_ends(watches: FrameWatches, monkeypatch: pytest.MonkeyPatch) -> None:
    watches.ensure([VIF], "m1", {})
    wait_until(lambda: len(Watch.made) == 1)
    watches.expire()
    assert not Watch.made[0].stopped
    monkeypatch.setattr(migration_watches, "_FORGOTTEN_S", 0.0)
    watches.expire()
    wait_until(lambda: Watch.made[0].stopped)
    assert watches.missing([VIF], "m1")
    watches.close()


def test_what_can_not_be_watched_is_left_out(watches: FrameWatches) -> None:
    Watch.fails = True
    watches.ensure([VIF], "m1", {})
    assert watches.times([VIF], "m1") == {"p": Heard()}
    watches.close()
    assert watches.times([VIF], "m1") == {}
