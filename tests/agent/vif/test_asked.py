"""What a VM is asked and answers stays between it and the host, on real taps and macvtaps."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from kedge.agent.frames.device_watch import FrameWatch
from kedge.agent.frames.to_vm import ToVm
from kedge.model.errors import HostFailure

from .vif_world import ALL, CASES, World, cases, frame, world

pytestmark = pytest.mark.lab

ASKER = "fe:54:00:00:00:01"


@cases()
def test_a_question_reaches_the_vm_alone_and_its_answer_nobody(host: World) -> None:
    with host.vm_plugged() as vm, host.vm_plugged() as neighbour, closing(ToVm(vm.vif.tap_name)) as to_vm:
        watch = FrameWatch(vm.vif.tap_name, vm.mac)
        to_vm.send([frame(vm.mac, ASKER, "are you there?")])
        assert "are you there?" in vm.heard(at_least=1)
        vm.send(vm.mac, "yes")
        vm.send(ALL, "something of its own")
        assert [label for _, label in host.wire.heard(at_least=1)] == ["something of its own"]
        assert "yes" not in neighbour.heard()
        heard = watch.stop()
        assert (heard.frames.frames, heard.answers.frames) == (1, 1)


@pytest.fixture(params=["macvtap-flat", "bridge-flat"])
def place(request: pytest.FixtureRequest) -> Iterator[World]:
    """What is not different from one switch to the other."""
    with world(next(case for case in CASES if case.name == request.param)) as made:
        yield made


def test_a_vm_that_is_still_to_run_finds_the_question(place: World) -> None:
    vif = place.vif()
    place.pluggers.plug(vif)
    with place.vm(vif) as vm, closing(ToVm(vif.tap_name)) as to_vm:
        # Standing by, as the agent has not been told yet that the VM runs here.
        to_vm.send([frame(vm.mac, ASKER, "are you there?")])
        assert place.wire.heard() == []
        assert vm.heard(at_least=1) == ["are you there?"]


def test_without_its_device_nobody_can_be_asked(place: World) -> None:
    with pytest.raises(HostFailure, match="no-such: "):
        ToVm("no-such")
    with place.vm_plugged() as vm, closing(ToVm(vm.vif.tap_name)) as to_vm:
        vm.stop()
        place.pluggers.unplug(vm.vif.port_id)
        with pytest.raises(HostFailure, match="can't hand a frame to a VM"):
            to_vm.send([frame(vm.mac, ASKER, "are you there?")])
