"""Where neighbours on a VM's host find it: behind its device while it runs here, in the network while it does not."""

import pytest

from kedge.model.domain import VifState

from .vif_world import ALL, Vm, World, cases

pytestmark = pytest.mark.lab


def goes_out(host: World, neighbour: Vm, vm: Vm) -> bool:
    """Whether what a neighbour sends to the VM leaves the host."""
    host.wire.heard()
    vm.heard()
    neighbour.send(vm.mac, "are you there")
    return (host.case.vlan, "are you there") in host.wire.heard()


@cases()
def test_a_neighbour_finds_a_vm_elsewhere_until_it_runs_here(host: World) -> None:
    network = host.network(host.case.vlan)
    vif = host.vif(network)
    assert host.pluggers.plug(vif) is VifState.UP
    with host.vm_plugged(network) as neighbour, host.vm(vif) as vm:
        assert goes_out(host, neighbour, vm)
        host.wire.send(ALL, "from elsewhere", host.case.vlan, source=vm.mac)
        assert neighbour.heard() == ["from elsewhere"]
        assert goes_out(host, neighbour, vm)

        for _ in range(2):
            host.pluggers.place(vif.tap_name, vm.mac, here=True)
            vm.send(ALL, "now here")
            assert neighbour.heard() == ["now here"]
            assert not goes_out(host, neighbour, vm)
            assert vm.heard() == ["are you there"]


@cases()
def test_a_neighbour_finds_a_vm_elsewhere_once_it_has_left(host: World) -> None:
    network = host.network(host.case.vlan)
    with host.vm_plugged(network) as neighbour, host.vm_plugged(network) as vm:
        vm.send(ALL, "here")
        assert not goes_out(host, neighbour, vm)
        host.pluggers.place(vm.vif.tap_name, vm.mac, here=False)
        host.wire.send(ALL, "from elsewhere", host.case.vlan, source=vm.mac)
        assert goes_out(host, neighbour, vm)
        assert host.pluggers.state(vm.vif) is VifState.UP


@cases(lambda case: case.backend.driver != "linuxbridge")
def test_a_neighbour_finds_a_vm_that_leaves_elsewhere_before_it_is_heard_there(host: World) -> None:
    """A Linux bridge heeds the first frame from elsewhere at once; Open vSwitch would only some time after it."""
    network = host.network(host.case.vlan)
    with host.vm_plugged(network) as neighbour, host.vm_plugged(network) as vm:
        vm.send(ALL, "here")
        for _ in range(3):
            assert not goes_out(host, neighbour, vm)
        host.pluggers.place(vm.vif.tap_name, vm.mac, here=False)
        assert goes_out(host, neighbour, vm)


@cases()
def test_a_vm_whose_host_knows_nothing_of_its_arrival_reaches_the_outside(host: World) -> None:
    """The agent may be dead in that instant."""
    vif = host.vif()
    host.pluggers.plug(vif)
    with host.vm(vif) as vm:
        vm.send(ALL, "hello")
        assert host.wire.heard() == [(host.case.vlan, "hello")]
        host.wire.send(vm.mac, "welcome", host.case.vlan)
        assert vm.heard() == ["welcome"]
