"""What Kedge did not make is used where it fits, never taken over, and never removed."""

import json
from pathlib import Path

import pytest

from kedge.agent.vif import ovs_client as ovs
from kedge.model.domain import VifState
from kedge.model.errors import HostFailure

from .vif_world import ALL, World, cases, run

pytestmark = pytest.mark.lab


@cases(lambda case: case.name == "bridge-flat")
def test_a_bridge_that_holds_the_interface_is_used_and_kept(host: World) -> None:
    run("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
    run("sysctl", "-qw", "net.ipv6.conf.br0.disable_ipv6=1")
    run("ip", "link", "set", "eth1", "master", "br0")
    run("ip", "link", "set", "br0", "up")
    before = host.devices()
    with host.vm_plugged() as vm:
        assert host.pluggers.state(vm.vif) is VifState.UP
        assert _link(vm.vif.tap_name)["master"] == "br0"
        vm.send(ALL, "hello")
        assert host.wire.heard(at_least=1) == [(None, "hello")]
    host.pluggers.unplug(vm.vif.port_id)
    assert host.devices() == before


@cases(lambda case: case.name == "bridge-flat")
def test_an_interface_with_an_address_is_not_put_into_a_bridge(host: World) -> None:
    run("ip", "addr", "add", "192.0.2.1/24", "dev", "eth1")
    before = host.devices()
    with pytest.raises(HostFailure, match=r"eth1 has the address 192\.0\.2\.1"):
        host.pluggers.plug(host.vif())
    assert host.devices() == before


@cases(lambda case: case.name == "bridge-flat")
def test_a_bridge_of_the_networks_name_without_the_interface_is_left_alone(host: World) -> None:
    vif = host.vif()
    run("ip", "link", "add", str(vif.vif_details["bridge_name"]), "type", "bridge")
    before = host.devices()
    with pytest.raises(HostFailure, match="was not made by Kedge"):
        host.pluggers.plug(vif)
    host.pluggers.unplug(vif.port_id)
    assert host.devices() == before


@cases()
def test_a_device_that_has_the_taps_name_is_left_alone(host: World) -> None:
    vif = host.vif()
    run("ip", "tuntap", "add", vif.tap_name, "mode", "tap")
    with pytest.raises(HostFailure, match="that Kedge did not make"):
        host.pluggers.plug(vif)
    host.pluggers.unplug(vif.port_id)
    assert _link(vif.tap_name)["ifname"] == vif.tap_name
    assert host.pluggers.plugged() == []


@cases(lambda case: case.name == "macvtap-flat")
def test_a_macvtap_of_another_vm_on_the_interface_is_left_alone(host: World) -> None:
    run("ip", "link", "add", "link", "eth1", "name", "theirs", "type", "macvtap", "mode", "bridge")
    vif = host.vif()
    assert host.pluggers.plug(vif) is VifState.UP
    host.pluggers.place("theirs", vif.mac_address, here=False)
    host.pluggers.receive_for("theirs", vif.mac_address)
    host.pluggers.unplug(vif.port_id)
    assert _link("theirs")["ifname"] == "theirs"


@cases(lambda case: case.name == "macvtap-flat")
def test_an_interface_in_a_bridge_carries_no_macvtap(host: World) -> None:
    run("ip", "link", "add", "br0", "type", "bridge")
    run("ip", "link", "set", "eth1", "master", "br0")
    with pytest.raises(HostFailure, match="eth1 is in a bridge"):
        host.pluggers.plug(host.vif())


@cases(lambda case: case.needs_8021q, every_kernel=True)
def test_a_vlan_device_that_was_there_is_used_and_kept(host: World) -> None:
    run("ip", "link", "add", "link", "eth1", "name", "eth1.100", "type", "vlan", "id", "100")
    Path("/proc/sys/net/ipv6/conf/eth1.100/disable_ipv6").write_text("1")  # Not Kedge's to silence.
    before = host.devices()
    with host.vm_plugged() as vm:
        vm.send(ALL, "hello")
        assert host.wire.heard(at_least=1) == [(100, "hello")]
    host.pluggers.unplug(vm.vif.port_id)
    assert host.devices() == before


@cases(lambda case: case.name == "macvtap-vlan", every_kernel=True)
def test_a_vlan_device_of_another_name_is_named(host: World) -> None:
    run("ip", "link", "add", "link", "eth1", "name", "blue", "type", "vlan", "id", "100")
    with pytest.raises(HostFailure, match=r"is there as blue and not as eth1\.100"):
        host.pluggers.plug(host.vif())


@cases(lambda case: case.is_ovs)
def test_ports_and_flows_of_others_stay_and_their_tags_are_not_used(host: World) -> None:
    run("ip", "link", "add", "theirs", "type", "veth", "peer", "name", "theirs-far")
    run("ovs-vsctl", "add-port", "br-int", "theirs", "tag=1")
    run("ovs-ofctl", "add-flow", "br-int", "cookie=0x1,priority=7,dl_dst=01:02:03:04:05:06,actions=drop")
    before = host.devices()
    vif = host.vif()
    host.pluggers.plug(vif)
    ours = next(
        port for port in ovs.look().ports.values() if port.external_ids.get("kedge-port") == vif.port_id
    )
    assert ours.tag == 2
    host.pluggers.unplug(vif.port_id)
    assert host.devices() == before


@cases(lambda case: case.is_ovs)
def test_patch_ports_of_another_agent_are_not_taken_over(host: World) -> None:
    run("ovs-vsctl", "add-port", "br-int", "int-br-physnet1", "--", "set", "Interface", "int-br-physnet1",
        "type=patch", "options:peer=phy-br-physnet1")  # fmt: skip
    before = host.devices()
    vif = host.vif()
    with pytest.raises(HostFailure, match="that Kedge did not make"):
        host.pluggers.plug(vif)
    host.pluggers.unplug(vif.port_id)
    assert host.devices() == before


@cases(lambda case: case.is_ovs)
def test_a_bridge_that_is_missing_is_named(host: World) -> None:
    run("ovs-vsctl", "del-br", "br-physnet1")
    with pytest.raises(HostFailure, match="no Open vSwitch bridge br-physnet1"):
        host.pluggers.plug(host.vif())


def _link(name: str) -> dict[str, str]:
    answer: list[dict[str, str]] = json.loads(run("ip", "-j", "link", "show", name))
    return answer[0]
