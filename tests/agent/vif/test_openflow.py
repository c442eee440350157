"""A bridge's flows, as Kedge writes and reads them, and as Open vSwitch's own client does."""

import pytest

from kedge.agent.vif import openflow, vswitchd
from kedge.agent.vif import ovs_client as ovs
from kedge.agent.vif.openflow import DROP, NORMAL, STRIP_VLAN, UNTAGGED, Flow, match, set_vlan
from kedge.model.errors import HostFailure

from .vif_world import ALL, World, cases, run

pytestmark = pytest.mark.lab

one_bridge = cases(lambda case: case.name == "ovs-native-vlan")

COOKIE = 0x6B65
WRITTEN = {
    "priority=0 actions=NORMAL": Flow(COOKIE, 0, match(), NORMAL),
    "priority=2,in_port=7 actions=drop": Flow(COOKIE, 2, match(7), DROP),
    "priority=3,in_port=7,dl_vlan=100 actions=mod_vlan_vid:5,NORMAL": Flow(
        COOKIE, 3, match(7, 100), set_vlan(5) + NORMAL
    ),
    "priority=3,in_port=7,vlan_tci=0x0000/0x1fff actions=mod_vlan_vid:4094,NORMAL": Flow(
        COOKIE, 3, match(7, UNTAGGED), set_vlan(4094) + NORMAL
    ),
    "priority=4,in_port=8,dl_vlan=4094 actions=strip_vlan,NORMAL": Flow(
        COOKIE, 4, match(8, 4094), STRIP_VLAN + NORMAL
    ),
}


def _shown() -> set[str]:
    lines = run("ovs-ofctl", "--no-stats", "--no-names", "dump-flows", "br-int").splitlines()
    return {line.strip().removeprefix(f"cookie={COOKIE:#x}, ") for line in lines}


@one_bridge
def test_flows_are_those_that_open_vswitch_s_own_client_would_write_and_shows(host: World) -> None:
    openflow.add("br-int", sorted(WRITTEN.values()))
    assert _shown() == set(WRITTEN)
    assert openflow.flows("br-int") == set(WRITTEN.values())
    run("ovs-ofctl", "del-flows", "br-int")
    assert openflow.flows("br-int") == set()
    for text in WRITTEN:
        run("ovs-ofctl", "add-flow", "br-int", f"cookie={COOKIE:#x},{text.replace(' actions', ',actions')}")
    assert openflow.flows("br-int") == set(WRITTEN.values())


@one_bridge
def test_only_the_flow_that_is_named_is_removed(host: World) -> None:
    openflow.add("br-int", sorted(WRITTEN.values()))
    run(
        "ovs-ofctl",
        "add-flow",
        "br-int",
        "cookie=0x1,priority=5,in_port=7,dl_dst=01:02:03:04:05:06,actions=drop",
    )
    gone = "priority=2,in_port=7 actions=drop"
    openflow.remove("br-int", [Flow(COOKIE + 1, 2, match(7), DROP)])  # somebody else's
    openflow.remove("br-int", [Flow(COOKIE, 2, match(9), DROP)])  # not there
    assert set(WRITTEN) < _shown()
    openflow.remove("br-int", [WRITTEN[gone]])
    assert _shown() == set(WRITTEN) - {gone} | {
        "cookie=0x1, priority=5,in_port=7,dl_dst=01:02:03:04:05:06 actions=drop"
    }
    (foreign,) = openflow.flows("br-int") - set(WRITTEN.values())
    openflow.remove("br-int", [foreign])
    assert openflow.flows("br-int") == set(WRITTEN.values()) - {WRITTEN[gone]}


@one_bridge
def test_more_flows_than_one_message_holds_are_all_read(host: World) -> None:
    many = {Flow(COOKIE, 1, match(port, vlan), NORMAL) for port in range(1, 21) for vlan in range(1, 101)}
    openflow.add("br-int", sorted(many))
    assert openflow.flows("br-int") == many


@one_bridge
def test_a_bridge_that_must_not_speak_it_is_named_with_what_to_do(host: World) -> None:
    run("ovs-vsctl", "set", "Bridge", "br-int", "protocols=OpenFlow13")
    with pytest.raises(HostFailure, match=r"br-int does not answer .* `protocols` allow OpenFlow10"):
        openflow.flows("br-int")
    with pytest.raises(HostFailure, match="br-none does not answer"):
        openflow.flows("br-none")


@one_bridge
def test_what_a_vm_sends_as_is_heard(host: World) -> None:
    with host.vm_plugged() as vm:
        vm.send(ALL, "hello")
        assert host.wire.heard(at_least=1) == [(host.case.vlan, "hello")]
        port = ovs.look().ports[vm.vif.tap_name]
        assert port.number is not None
        assert vm.mac in vswitchd.heard("br-int", port.number)
    with pytest.raises(HostFailure, match="br-none"):
        vswitchd.heard("br-none", 1)
