"""What a guest may do with its NIC without telling anybody is the same on every backend, macvtap included."""

import pytest

from kedge.model.domain import VifState

from .vif_world import World, cases, run

pytestmark = pytest.mark.lab

IPV6_NEIGHBOURS = "33:33:ff:00:00:51"  # a solicited-node group (RFC 4291, 2.7.1)
VRRP_ROUTERS = "01:00:5e:00:00:12"  # 224.0.0.18 (RFC 5798, 5.1.1.2)
ANOTHER_MAC = "52:54:00:0b:0b:01"


@cases(lambda case: case.name in ("macvtap-flat", "bridge-flat", "ovs-native-flat"))
def test_multicast_reaches_a_guest_that_joined_its_groups_elsewhere(host: World) -> None:
    with host.vm_plugged() as vm:
        host.wire.send(IPV6_NEIGHBOURS, "who has", host.case.vlan)
        host.wire.send(VRRP_ROUTERS, "I am master", host.case.vlan)
        assert vm.heard() == ["I am master", "who has"]


@cases(lambda case: case.name == "macvtap-flat")
def test_a_macvtap_follows_its_guest_to_another_mac(host: World) -> None:
    with host.vm_plugged() as vm:
        host.pluggers.receive_for(vm.vif.tap_name, ANOTHER_MAC)
        assert host.pluggers.heard(vm.vif) == {ANOTHER_MAC}
        host.wire.send(ANOTHER_MAC, "to the new one", host.case.vlan)
        host.wire.send(vm.vif.mac_address, "to the old one", host.case.vlan)
        assert vm.heard() == ["to the new one"]
        assert host.pluggers.plug(vm.vif) is VifState.UP
        assert host.pluggers.heard(vm.vif) == {ANOTHER_MAC}


@cases(lambda case: case.name in ("bridge-flat", "ovs-native-flat", "ovs-hybrid-vlan"))
def test_the_macs_are_heard_that_a_guest_sends_as(host: World) -> None:
    with host.vm_plugged() as vm:
        assert host.pluggers.heard(vm.vif) == frozenset()
        host.wire.send("ff:ff:ff:ff:ff:ff", "not the guest", host.case.vlan)
        vm.send("ff:ff:ff:ff:ff:ff", "as itself")
        vm.mac = ANOTHER_MAC
        vm.send("ff:ff:ff:ff:ff:ff", "as another")
        assert len(host.wire.heard()) == 2
        assert host.pluggers.heard(vm.vif) == {vm.vif.mac_address, ANOTHER_MAC}


@cases(lambda case: case.name == "macvtap-flat")
def test_a_macvtap_receives_for_the_mac_that_it_has(host: World) -> None:
    with host.vm_plugged() as vm:
        assert host.pluggers.heard(vm.vif) == {vm.vif.mac_address}
        run("ip", "link", "set", vm.vif.tap_name, "address", ANOTHER_MAC)
        assert host.pluggers.heard(vm.vif) == {ANOTHER_MAC}
