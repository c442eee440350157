"""When a VM is asked, by libvirt's events and by how far the copying is, with stand-ins for devices and watches."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import time_ns
from typing import cast

import libvirt
import pytest

from kedge.agent.domains.libvirt_events import Events
from kedge.agent.frames import asking
from kedge.agent.frames.asking import Askers
from kedge.agent.frames.device_watch import Heard
from kedge.agent.frames.migration_watches import FrameWatches
from kedge.agent.vif import Pluggers
from kedge.model.domain import FrameTimes
from kedge.model.errors import HostFailure
from kedge.model.network import NetworkType, Segment, Vif, VifType

from ..agent_stand_ins import NotedVifs

SEGMENT = Segment(NetworkType.FLAT, "physnet1")
ONE = Vif("one", "n", "fa:16:3e:00:00:01", SEGMENT, VifType.BRIDGE, fixed_ips=("192.0.2.1",))
OTHER = replace(ONE, port_id="other", mac_address="fa:16:3e:00:00:02", fixed_ips=("192.0.2.2", "2001:db8::2"))
TARGETS = {ONE.mac_address: "tap1", OTHER.mac_address: "tap2"}
STARTED, SUSPENDED = libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED
RESUMED = libvirt.VIR_DOMAIN_EVENT_RESUMED
INCOMING, ARRIVED = libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED, libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED
TO_SWITCH = libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED
NOTHING = Heard()


class Host:
    """Stands for the watches, the transfers and the devices of a host; wakes whoever waits for a question."""

    def __init__(self) -> None:
        self.soon = False
        self.looks = 0
        self.heard_of: dict[str, Heard] = {}
        self.asked: dict[str, int] = {"tap1": 0, "tap2": 0}
        self.without: set[str] = set()
        self.changed = threading.Condition()
        self.events = Events()
        self.askers = Askers(
            cast(Pluggers, NotedVifs()), cast(FrameWatches, self), self.ends_soon, self.events
        )

    def ensure(self, vifs: list[Vif], migration_id: str | None, targets: dict[str, str]) -> None:
        for vif in vifs:
            self.heard_of[vif.port_id] = NOTHING

    def heard(self, vif: Vif, migration_id: str | None) -> Heard | None:
        return self.heard_of.get(vif.port_id)

    def ends_soon(self, uuid: str) -> bool:
        with self.changed:
            self.looks += 1
            self.changed.notify_all()
            return self.soon and uuid == "vm"

    def question(self, device: str, count: int) -> None:
        with self.changed:
            self.asked[device] += count
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, 60), (self.asked, self.looks)

    def wait_looks(self, count: int) -> None:
        """Until the asker has looked so often more, whatever it does in between."""
        until = self.looks + count
        self.wait(lambda: self.looks >= until)

    def event(self, event: int, detail: int) -> None:
        self.events.lifecycle("vm", event, detail)

    def wait_over(self) -> None:
        (asker,) = self.askers.all()
        asker.join()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    made = Host()

    class Device:
        def __init__(self, device: str) -> None:
            if device in made.without:
                raise HostFailure("gone")
            self.device = device

        def send(self, frames: list[bytes]) -> None:
            made.question(self.device, len(frames))

        def close(self) -> None:
            pass

    monkeypatch.setattr(asking, "ToVm", Device)
    yield made
    made.askers.close()


def test_the_source_asks_only_from_when_the_copying_ends_soon_until_the_pause(host: Host) -> None:
    host.askers.ensure("vm", [ONE, OTHER], "m1", TARGETS)
    host.wait_looks(3)
    assert host.asked == {"tap1": 0, "tap2": 0}
    host.soon = True
    host.wait(lambda: host.asked["tap1"] >= 5 and host.asked["tap2"] >= 10)
    host.event(SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED)
    host.wait_looks(3)
    host.event(SUSPENDED, TO_SWITCH)
    host.wait_over()
    asked = dict(host.asked)
    assert asked["tap2"] == 2 * asked["tap1"]
    host.event(RESUMED, 0)
    assert host.asked == asked


def test_who_has_just_spoken_is_not_asked(host: Host) -> None:
    host.soon = True
    host.askers.ensure("vm", [ONE, OTHER], "m1", TARGETS)
    now = time_ns() + 3_600_000_000_000
    host.heard_of["one"] = replace(NOTHING, frames=FrameTimes(now, now, 1))
    host.wait_looks(1)
    before = host.asked["tap1"]
    host.wait(lambda: host.asked["tap2"] >= 20)
    assert host.asked["tap1"] - before <= 1


def test_on_the_destination_one_question_waits_and_more_follow_until_all_are_heard(host: Host) -> None:
    host.askers.ensure("vm", [ONE, OTHER], "m1", TARGETS)
    host.event(STARTED, INCOMING)
    host.wait(lambda: host.asked == {"tap1": 1, "tap2": 2})
    host.event(RESUMED, ARRIVED)
    host.wait(lambda: host.asked["tap1"] >= 4)
    host.heard_of["one"] = replace(NOTHING, answers=FrameTimes(1, 1, 1))
    before = dict(host.asked)
    host.wait(lambda: host.asked["tap2"] >= before["tap2"] + 20)
    host.heard_of["other"] = replace(NOTHING, frames=FrameTimes(1, 1, 1))
    host.wait_over()
    assert host.asked["tap1"] <= before["tap1"] + 1


def test_a_vm_that_is_heard_has_no_other_question_to_answer(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To answer takes it time while it has others to answer; so it gets some before it is asked again."""
    waited: list[tuple[float, int]] = []
    wait = asking.Asker._wait

    def noted(asker: asking.Asker, seconds: float) -> None:
        waited.append((seconds, host.asked["tap1"]))
        wait(asker, seconds)

    monkeypatch.setattr(asking.Asker, "_wait", noted)
    host.askers.ensure("vm", [ONE, OTHER], "m1", TARGETS)
    host.event(STARTED, INCOMING)
    host.wait(lambda: host.asked == {"tap1": 1, "tap2": 2})
    host.heard_of["one"] = replace(NOTHING, frames=FrameTimes(1, 1, 1))
    host.heard_of["other"] = replace(NOTHING, answers=FrameTimes(1, 1, 1))
    host.event(RESUMED, ARRIVED)
    host.wait_over()

    assert waited[-1] == (asking._WAITS_S, 1)
    assert host.asked == {"tap1": 1, "tap2": 2}


def test_who_never_answers_is_not_asked_for_ever(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_AFTER", 5)
    host.askers.ensure("vm", [ONE], "m1", TARGETS)
    host.event(RESUMED, ARRIVED)
    host.wait_over()
    assert host.asked["tap1"] == 5


def test_a_long_end_of_the_copying_is_asked_during_less(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_OFTEN", 5)
    monkeypatch.setattr(asking, "_SELDOM_S", 3600.0)
    host.soon = True
    host.askers.ensure("vm", [ONE], "m1", TARGETS)
    host.wait(lambda: host.asked["tap1"] == 5)
    host.event(SUSPENDED, TO_SWITCH)
    host.wait_over()
    assert host.asked["tap1"] == 5


def test_it_ends_with_the_watches(host: Host) -> None:
    host.askers.ensure("vm", [ONE], "m1", TARGETS)
    host.wait_looks(1)
    host.heard_of.clear()
    host.wait_over()


def test_each_migration_is_asked_anew_and_only_once(host: Host) -> None:
    host.askers.ensure("vm", [ONE], "m1", TARGETS)
    (first,) = host.askers.all()
    host.askers.ensure("vm", [ONE], "m1", TARGETS)
    assert host.askers.all() == [first]
    host.askers.ensure("vm", [ONE], "m2", TARGETS)
    first.join()
    (second,) = host.askers.all()
    assert second is not first and not second.is_over


def test_without_addresses_nobody_is_asked(host: Host) -> None:
    host.askers.ensure("vm", [replace(ONE, fixed_ips=())], "m1", TARGETS)
    assert host.askers.all() == []
    assert host.heard_of == {"one": NOTHING}


def test_a_device_that_fails_is_tried_again(host: Host) -> None:
    host.soon = True
    host.without.add("tap1")
    host.askers.ensure("vm", [ONE], "m1", TARGETS)
    host.wait_looks(3)
    assert host.asked["tap1"] == 0
    host.without.clear()
    host.wait(lambda: host.asked["tap1"] > 0)
