"""What is missing of a VIF is mended while its VM runs, whoever took it away, and the VM is heard again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from kedge.agent.vif import openflow, ovsdb
from kedge.agent.vif import ovs_client as ovs
from kedge.core.binding.rules import vlan_device
from kedge.model.domain import VifState
from kedge.model.errors import HostFailure
from kedge.model.network import VifType

from .vif_world import ALL, Vm, World, cases, run

pytestmark = pytest.mark.lab

Damage = Callable[[World, Vm], object]


def is_heard(host: World, vm: Vm) -> bool:
    host.wire.heard()
    vm.heard()
    vm.send(ALL, "from the VM")
    host.wire.send(vm.mac, "to the VM", host.case.vlan)
    outside, inside = host.wire.heard(at_least=1), vm.heard(at_least=1)
    return outside == [(host.case.vlan, "from the VM")] and inside == ["to the VM"]


def mends(host: World, damage: Damage) -> None:
    with host.vm_plugged() as vm:
        assert is_heard(host, vm)
        damage(host, vm)
        assert host.pluggers.states([vm.vif]) == {vm.vif.port_id: VifState.ABSENT}
        assert host.pluggers.mend(vm.vif) is VifState.UP
        assert is_heard(host, vm)
        whole = host.devices()
        assert host.pluggers.mend(vm.vif) is VifState.UP
        assert host.devices() == whole


def bridge_of(vm: Vm) -> str:
    return f"brq{vm.vif.network_id[:11]}"


ON_A_BRIDGE: dict[str, Damage] = {
    "nomaster": lambda _, vm: run("ip", "link", "set", vm.vif.tap_name, "nomaster"),
    "tap down": lambda _, vm: run("ip", "link", "set", vm.vif.tap_name, "down"),
    "bridge down": lambda _, vm: run("ip", "link", "set", bridge_of(vm), "down"),
    "bridge removed": lambda _, vm: run("ip", "link", "del", bridge_of(vm)),
    "interface out of the bridge": lambda host, _: run("ip", "link", "set", member_of(host), "nomaster"),
    "another bridge": lambda _, vm: (
        run("ip", "link", "add", "br-odd", "type", "bridge"),
        run("ip", "link", "set", vm.vif.tap_name, "master", "br-odd"),
    ),
}

ON_MACVTAP: dict[str, Damage] = {
    "macvtap down": lambda _, vm: run("ip", "link", "set", vm.vif.tap_name, "down"),
    "filter removed": lambda _, vm: run("tc", "qdisc", "del", "dev", vm.vif.tap_name, "clsact"),
    "no multicast": lambda _, vm: run("ip", "link", "set", vm.vif.tap_name, "allmulticast", "off"),
}

ON_OPEN_VSWITCH: dict[str, Damage] = {
    "flows wiped": lambda *_: (run("ovs-ofctl", "del-flows", "br-int"), run("ovs-ofctl", "del-flows", "br-physnet1")),
    "flows of one bridge wiped": lambda *_: run("ovs-ofctl", "del-flows", "br-int"),
    "patch removed": lambda *_: run("ovs-vsctl", "del-port", "phy-br-physnet1"),
    "ovs-vswitchd restarted": lambda host, _: host.restart_vswitchd(),
    "tag removed": lambda _, vm: run("ovs-vsctl", "clear", "Port", port_of(vm), "tag"),
    "port removed": lambda _, vm: run("ovs-vsctl", "del-port", port_of(vm)),
}  # fmt: skip


def member_of(host: World) -> str:
    return vlan_device("eth1", host.case.vlan) if host.case.vlan else "eth1"


def port_of(vm: Vm) -> str:
    return next(
        port.name for port in ovs.look().ports.values() if vm.vif.port_id in port.external_ids.values()
    )


@pytest.mark.parametrize("what", ON_A_BRIDGE)
@cases(lambda case: case.name in ("bridge-flat", "bridge-vlan"))
def test_on_a_bridge(host: World, what: str) -> None:
    mends(host, ON_A_BRIDGE[what])


@pytest.mark.parametrize("what", ON_MACVTAP)
@cases(lambda case: case.name == "macvtap-flat")
def test_on_macvtap(host: World, what: str) -> None:
    mends(host, ON_MACVTAP[what])


@cases(lambda case: case.name in ("bridge-flat", "macvtap-flat"))
def test_a_device_that_is_gone_under_its_vm_is_named(host: World) -> None:
    with host.vm_plugged() as vm:
        run("ip", "link", "del", vm.vif.tap_name)
        for _ in range(2):
            assert host.pluggers.state(vm.vif) is VifState.ABSENT
            with pytest.raises(HostFailure, match="is gone while its VM runs"):
                host.pluggers.mend(vm.vif)


@pytest.mark.parametrize("what", ON_OPEN_VSWITCH)
@cases(lambda case: case.is_ovs and case.backend.datapath_type == "netdev" and case.vlan is not None)
def test_on_open_vswitch(host: World, what: str) -> None:
    mends(host, ON_OPEN_VSWITCH[what])


@cases(lambda case: case.name == "ovs-hybrid-vlan")
def test_of_a_hybrid_plug(host: World) -> None:
    mends(host, lambda _, vm: run("ip", "link", "del", f"qbr{vm.vif.port_id[:11]}"))


@cases(lambda case: case.name in ("bridge-flat", "ovs-native-vlan"))
def test_mending_one_disturbs_no_other(host: World) -> None:
    network = host.network(host.case.vlan)
    with host.vm_plugged(network) as whole, host.vm_plugged(network) as broken:
        if host.case.is_ovs:
            run("ovs-vsctl", "del-port", broken.vif.tap_name)
        else:
            run("ip", "link", "set", broken.vif.tap_name, "nomaster")
        states = host.pluggers.states([whole.vif, broken.vif])
        assert states == {whole.vif.port_id: VifState.UP, broken.vif.port_id: VifState.ABSENT}
        host.wire.heard()
        for number in range(20):
            whole.send(ALL, f"{number:02}")
            if number == 10:
                host.pluggers.mend(broken.vif)
        assert [text for _, text in host.wire.heard(at_least=20)] == [f"{number:02}" for number in range(20)]
        assert is_heard(host, broken)


@cases(lambda case: case.name in ("bridge-flat", "macvtap-flat"))
def test_an_interface_that_was_taken_down_stays_down(host: World) -> None:
    with host.vm_plugged() as vm:
        run("ip", "link", "set", "eth1", "down")
        assert host.pluggers.state(vm.vif) is VifState.ABSENT
        with pytest.raises(HostFailure, match="eth1 is down"):
            host.pluggers.mend(vm.vif)
        assert "state DOWN" in run("ip", "link", "show", "eth1")
        run("ip", "link", "set", "eth1", "up")
        assert host.pluggers.state(vm.vif) is VifState.UP


@cases(lambda case: case.name == "bridge-flat")
def test_one_that_can_not_be_told_hides_no_other(host: World) -> None:
    with host.vm_plugged() as vm:
        strange = replace(host.vif(), vif_type=VifType.UNBOUND)
        assert host.pluggers.states([strange, vm.vif]) == {vm.vif.port_id: VifState.UP}


@cases(lambda case: case.name == "ovs-native-vlan")
def test_looking_at_many_vifs_asks_open_vswitch_three_times(
    host: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database once, and each of the two bridges once for its flows; no process is started."""
    vifs = [host.vif(host.network(100)) for _ in range(5)]
    for vif in vifs:
        host.pluggers.plug(vif)
    asked: list[str] = []
    flows, select = openflow.flows, ovsdb.select

    def flows_noted(bridge: str) -> set[openflow.Flow]:
        asked.append(bridge)
        return flows(bridge)

    def selected(tables: Mapping[str, Sequence[str]]) -> list[list[ovsdb.Row]]:
        asked.append("ovsdb")
        return select(tables)

    monkeypatch.setattr(openflow, "flows", flows_noted)
    monkeypatch.setattr(ovsdb, "select", selected)
    states = host.pluggers.states(vifs)
    assert set(states.values()) == {VifState.UP}
    assert sorted(asked) == ["br-int", "br-physnet1", "ovsdb"]
