"""What every plugger must do, whatever the backend, tried on real devices."""

import time
from dataclasses import replace

import pytest

from kedge.agent.vif import Pluggers
from kedge.model.domain import VifState
from kedge.model.errors import HostFailure

from .vif_world import ALL, PEER_MAC, World, cases, run

pytestmark = pytest.mark.lab

OTHER_TAGS = (1, 2, 3, 99, 101, 300, 4094)


@cases()
def test_plugging_twice_is_plugging_once(host: World) -> None:
    vif = host.vif()
    assert host.pluggers.state(vif) is VifState.ABSENT
    assert host.pluggers.plug(vif) is VifState.UP
    once = host.devices()
    assert host.pluggers.plug(vif) is VifState.UP
    assert host.devices() == once
    assert host.pluggers.state(vif) is VifState.UP
    assert [report.port_id for report in host.pluggers.plugged()] == [vif.port_id]
    assert host.pluggers.device(vif) == vif.tap_name


@cases(every_kernel=True)
def test_a_vm_talks_to_the_wire_in_its_own_network(host: World) -> None:
    with host.vm_plugged() as vm:
        assert host.pluggers.state(vm.vif) is VifState.UP
        vm.send(ALL, "to all")
        vm.send(PEER_MAC, "to one")
        assert host.wire.heard(at_least=2) == [(host.case.vlan, "to all"), (host.case.vlan, "to one")]
        host.wire.send(ALL, "hello all", host.case.vlan)
        host.wire.send(vm.mac, "hello", host.case.vlan)
        assert vm.heard(at_least=2) == ["hello", "hello all"]


@cases(every_kernel=True)
def test_a_vm_hears_no_other_network(host: World) -> None:
    with host.vm_plugged() as vm:
        for tag in (*OTHER_TAGS, *([None] if host.case.vlan else [])):
            host.wire.send(ALL, f"all of {tag}", tag)
            host.wire.send(vm.mac, f"one of {tag}", tag)
        assert vm.heard() == []
        host.wire.send(ALL, "still there", host.case.vlan)
        assert vm.heard(at_least=1) == ["still there"]


@cases(every_kernel=True)
def test_a_vm_can_not_send_into_another_network(host: World) -> None:
    with host.vm_plugged() as vm:
        for tag in (*OTHER_TAGS, 100):
            vm.send(ALL, "let me in", tag)
        outside = [vlan for vlan, _ in host.wire.heard() if vlan != host.case.vlan]
        assert outside == []
        vm.send(ALL, "still there")
        assert host.wire.heard(at_least=1) == [(host.case.vlan, "still there")]


@cases()
def test_a_priority_tag_is_no_vlan(host: World) -> None:
    with host.vm_plugged() as vm:
        vm.send(ALL, "important", 0)
        heard = host.wire.raw()
        assert [vlan or 0 for vlan, _ in heard] == [host.case.vlan or 0]


@cases()
def test_plugging_is_silent(host: World) -> None:
    vif = host.vif()
    host.wire.heard()
    host.pluggers.plug(vif)
    with host.vm(vif) as vm:
        host.pluggers.plug(vif)
        assert host.wire.heard(quiet_s=2) == []
        assert vm.heard() == []


@cases(every_kernel=True)
def test_unplugging_leaves_what_was_there_before(host: World) -> None:
    before = host.devices()
    vif = host.vif()
    host.pluggers.plug(vif)
    with host.vm(vif):
        host.pluggers.plug(vif)
    host.pluggers.unplug(vif.port_id)
    assert host.devices() == before
    assert host.pluggers.plugged() == []
    assert host.pluggers.state(vif) is VifState.ABSENT
    host.pluggers.unplug(vif.port_id)
    assert host.devices() == before


@cases()
def test_another_agent_process_finds_and_removes_what_the_first_made(host: World) -> None:
    before = host.devices()
    vif = host.vif()
    host.pluggers.plug(vif)
    with Pluggers([]) as later:
        assert [report.port_id for report in later.plugged()] == [vif.port_id]
        later.unplug(vif.port_id)
        assert later.plugged() == []
    assert host.devices() == before


@cases()
def test_unplugging_one_port_leaves_the_other_of_its_network_working(host: World) -> None:
    network = host.network(host.case.vlan)
    with host.vm_plugged(network) as stays:
        with host.vm_plugged(network) as goes:
            stays.send(goes.mac, "here I am")
            goes.heard()
            goes.send(stays.mac, "from my neighbour")
            assert stays.heard(at_least=1) == ["from my neighbour"]
        host.pluggers.unplug(goes.vif.port_id)
        host.wire.heard()
        assert [report.port_id for report in host.pluggers.plugged()] == [stays.vif.port_id]
        host.wire.send(stays.mac, "hello", host.case.vlan)
        assert stays.heard(at_least=1) == ["hello"]
        stays.send(ALL, "to all")
        assert host.wire.heard(at_least=1) == [(host.case.vlan, "to all")]


@cases(lambda case: case.vlan is not None, every_kernel=True)
def test_networks_on_one_host_do_not_mix(host: World) -> None:
    with host.vm_plugged(host.network(100)) as blue, host.vm_plugged(host.network(200)) as red:
        blue.send(ALL, "blue")
        red.send(ALL, "red")
        assert host.wire.heard(at_least=2) == [(100, "blue"), (200, "red")]
        assert (blue.heard(), red.heard()) == ([], [])
        blue.send(red.mac, "blue to red")
        assert red.heard() == []
        host.wire.heard()
        host.wire.send(ALL, "to blue", 100)
        host.wire.send(ALL, "to red", 200)
        assert (blue.heard(at_least=1), red.heard(at_least=1)) == (["to blue"], ["to red"])
        host.pluggers.unplug(blue.vif.port_id)
        host.wire.send(ALL, "to red", 200)
        assert red.heard(at_least=1) == ["to red"]


@cases()
def test_plugging_and_unplugging_does_not_disturb_others(host: World) -> None:
    count = 0
    with host.vm_plugged() as vm:
        end = time.monotonic() + 0.3
        vifs = [host.vif(host.network(host.case.vlan)) for _ in range(3)]
        for vif in vifs:
            host.pluggers.plug(vif)
            host.wire.send(vm.mac, "x", host.case.vlan)
            host.pluggers.unplug(vif.port_id)
            host.wire.send(vm.mac, "x", host.case.vlan)
            count += 2
        while time.monotonic() < end:
            time.sleep(0.01)
        assert vm.heard(at_least=count) == ["x"] * count


@cases()
def test_a_vm_that_comes_and_goes_finds_its_vif_again(host: World) -> None:
    vif = host.vif()
    host.pluggers.plug(vif)
    for turn in range(3):
        with host.vm(vif) as vm:
            host.pluggers.plug(vif)
            vm.send(ALL, f"turn {turn}")
            assert host.wire.heard(at_least=1) == [(host.case.vlan, f"turn {turn}")]


@cases(lambda case: case.backend.driver != "macvtap")
def test_a_tap_has_the_queues_and_the_mtu_that_the_vm_needs(host: World) -> None:
    vif = host.vif()
    host.pluggers.plug(vif)
    with host.vm(vif), pytest.raises(HostFailure, match="is open"):
        host.pluggers.plug(vif, queues=4)
    host.pluggers.plug(vif, queues=4)
    with host.vm(vif, queues=4) as vm:
        vm.send(ALL, "four queues")
        assert host.wire.heard(at_least=1) == [(host.case.vlan, "four queues")]
    told = run("ip", "link", "show", vif.tap_name)
    assert "mtu 1500" in told
    assert f"fe:{vif.mac_address[3:]}" in told


@cases()
def test_a_physical_network_that_is_not_mapped_is_named(host: World) -> None:
    vif = replace(host.vif(), vif_details={})
    with Pluggers([]) as unconfigured, pytest.raises(HostFailure, match="'physnet1'"):
        unconfigured.plug(vif)


@cases(lambda case: not case.is_ovs)
def test_an_interface_that_is_missing_or_too_small_is_named(host: World) -> None:
    vif = host.vif()
    with pytest.raises(HostFailure, match=r"eth1 has MTU 1500 .* needs 9000"):
        host.pluggers.plug(replace(vif, mtu=9000))
    run("ip", "link", "set", "eth1", "name", "elsewhere")
    with pytest.raises(HostFailure, match="no device eth1"):
        host.pluggers.plug(vif)
