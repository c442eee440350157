"""When a VM's own frames were seen, on real taps and macvtaps."""

import time
from collections.abc import Iterator

import pytest

from kedge.agent.frames.device_watch import FrameWatch
from kedge.model.network import Vif

from .vif_world import ALL, CASES, Vm, World, run, world

pytestmark = pytest.mark.lab

SETTLED_S = 0.05
RARP = 0x8035


@pytest.fixture(params=["macvtap-flat", "bridge-flat"])
def place(request: pytest.FixtureRequest) -> Iterator[World]:
    """A tap and a macvtap; what is behind them makes no difference."""
    with world(next(case for case in CASES if case.name == request.param)) as made:
        yield made


def watch(place: World, vif: Vif) -> FrameWatch:
    return FrameWatch(lambda: place.pluggers.device(vif), vif.mac_address)


def test_the_first_and_last_frame_and_their_number(place: World) -> None:
    with place.vm_plugged() as vm:
        vm.send(ALL, "before the watch")
        seen = watch(place, vm.vif)
        assert seen.heard().frames.first_ns is None
        before = time.time_ns()
        vm.send(ALL, "first")
        between = time.time_ns()
        time.sleep(0.03)
        vm.send(ALL, "second")
        time.sleep(0.03)
        later = time.time_ns()
        vm.send(ALL, "third")
        after = time.time_ns()
        time.sleep(SETTLED_S)
        times = seen.heard().frames
        assert times.first_ns is not None and times.last_ns is not None
        assert before <= times.first_ns <= between
        assert later <= times.last_ns <= after
        assert times.frames == 3
        assert seen.stop().frames == times
        vm.send(ALL, "after the watch")
        assert seen.stop().frames == times


def test_stopping_takes_in_what_has_just_been_sent(place: World) -> None:
    with place.vm_plugged() as vm:
        seen = watch(place, vm.vif)
        vm.send(ALL, "at the last moment")
        assert seen.stop().frames.frames == 1


def test_frames_to_the_vm_and_its_own_from_elsewhere_do_not_count(place: World) -> None:
    with place.vm_plugged() as vm:
        seen = watch(place, vm.vif)
        place.wire.send(vm.mac, "to the VM", None)
        place.wire.send(ALL, "from the VM as it still runs elsewhere", None, source=vm.mac)
        assert "to the VM" in vm.heard(at_least=1)
        vm.send(ALL, "by QEMU", ethertype=RARP)
        assert seen.stop().frames.frames == 0


def test_a_device_that_is_not_there_yet_is_waited_for(place: World) -> None:
    vif = place.vif()
    seen = watch(place, vif)
    time.sleep(0.1)
    place.pluggers.plug(vif)
    with place.vm(vif) as vm:
        time.sleep(0.1)
        vm.send(ALL, "here I am")
        assert seen.stop().frames.frames == 1


def test_a_device_may_go_down_and_away_and_come_back(place: World) -> None:
    with place.vm_plugged() as vm:
        seen = watch(place, vm.vif)
        vm.send(ALL, "one")
        device = place.pluggers.device(vm.vif)
        assert device is not None
        run("ip", "link", "set", device, "down")
        run("ip", "link", "set", device, "up")
        vm.send(ALL, "two")
        time.sleep(SETTLED_S)
        assert seen.heard().frames.frames == 2
    place.pluggers.unplug(vm.vif.port_id)
    time.sleep(SETTLED_S)
    place.pluggers.plug(vm.vif)
    with place.vm(vm.vif) as again:
        time.sleep(0.1)
        again.send(ALL, "three")
        assert seen.stop().frames.frames == 3


def test_every_frame_of_a_busy_vm_is_counted(place: World) -> None:
    with place.vm_plugged() as vm:
        seen = watch(place, vm.vif)
        for _ in range(50_000):
            vm.send(ALL, "busy")
        last = time.time_ns()
        times = seen.stop().frames
        assert times.frames == 50_000
        assert times.last_ns is not None and 0 <= last - times.last_ns < 5_000_000


def test_two_vms_are_told_apart(place: World) -> None:
    network = place.network(None)
    with place.vm_plugged(network) as one, place.vm_plugged(network) as other:
        watches = [watch(place, each.vif) for each in (one, other)]
        _send(one, 3)
        _send(other, 5)
        assert [each.stop().frames.frames for each in watches] == [3, 5]


def _send(vm: Vm, count: int) -> None:
    for number in range(count):
        vm.send(ALL, f"frame {number}")
