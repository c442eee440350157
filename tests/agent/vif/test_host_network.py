"""How the host's devices hang together is read from the kernel and Open vSwitch, whatever they are called."""

import pytest

from kedge.model.host import HostBackend
from kedge.model.host_network import SwitchPort, VlanDevice

from .vif_world import INTERFACE, World, cases, run

pytestmark = pytest.mark.lab


@cases(lambda case: case.name == "macvtap-vlan", every_kernel=True)
def test_a_vlan_device_is_known_whatever_its_name(host: World) -> None:
    run("ip", "link", "add", "link", INTERFACE, "name", "storage", "type", "vlan", "id", "7")
    run("ip", "link", "add", "link", INTERFACE, "name", "eth1.7", "type", "vlan", "id", "9")
    run(
        "ip",
        "link",
        "add",
        "link",
        INTERFACE,
        "name",
        "provider",
        "type",
        "vlan",
        "proto",
        "802.1ad",
        "id",
        "7",
    )
    seen = host.pluggers.network()
    assert seen.vlans == {"storage": VlanDevice(INTERFACE, 7), "eth1.7": VlanDevice(INTERFACE, 9)}
    run("ip", "link", "add", "br9", "type", "bridge")
    run("ip", "link", "set", "storage", "master", "br9")
    bridge = HostBackend("linuxbridge", {"physnet1": INTERFACE})
    assert host.pluggers.as_it_is(bridge).bridges == {"physnet1.7": "br9"}


@cases(lambda case: case.name == "bridge-flat")
def test_a_bridge_has_its_members(host: World) -> None:
    run("ip", "link", "add", "br9", "type", "bridge")
    run("ip", "link", "set", INTERFACE, "master", "br9")
    seen = host.pluggers.network()
    assert seen.bridges == {"br9": (INTERFACE,)}
    assert seen.switch_ports == {}


@cases(lambda case: case.name == "bridge-flat")
def test_the_bridge_that_vifs_go_into_is_told_before_they_do(host: World) -> None:
    assert host.pluggers.as_it_is(host.case.backend).bridges == {}
    run("ip", "link", "add", "br9", "type", "bridge")
    run("ip", "link", "set", INTERFACE, "master", "br9")
    assert host.pluggers.as_it_is(host.case.backend).bridges == {"physnet1": "br9"}


@cases(lambda case: case.name == "bridge-flat")
def test_a_bridge_of_kedges_own_goes_with_its_network(host: World) -> None:
    host.pluggers.plug(host.vif())
    assert host.pluggers.as_it_is(host.case.backend).bridges == {}


@cases(lambda case: case.name == "ovs-native-flat")
def test_open_vswitch_is_asked_for_the_bridge_and_tags_of_every_port(host: World) -> None:
    for name in ("plain", "tagged", "trunk", "faked"):
        run("ip", "tuntap", "add", name, "mode", "tap")
    run("ovs-vsctl", "add-br", "br-fake", "br-physnet1", "42")
    run("ovs-vsctl", "add-port", "br-physnet1", "plain",
        "--", "add-port", "br-physnet1", "tagged", "tag=7", "vlan_mode=native-untagged",
        "--", "add-port", "br-physnet1", "trunk", "trunks=5,6", "--", "add-port", "br-fake", "faked")  # fmt: skip
    ports = host.pluggers.network().switch_ports
    assert ports["plain"] == SwitchPort("br-physnet1")
    assert ports["tagged"] == SwitchPort("br-physnet1", 7, vlan_mode="native-untagged")
    assert ports["trunk"] == SwitchPort("br-physnet1", trunks=(5, 6))
    assert ports["faked"] == SwitchPort("br-physnet1", 42)
