"""What is particular to Open vSwitch: local VLANs, restarts, and both forms of plugging."""

import pytest

from kedge.agent.vif import ovs_changes, ovsdb
from kedge.agent.vif import ovs_client as ovs
from kedge.model.domain import VifState
from kedge.model.errors import HostFailure

from .vif_world import ALL, World, cases, changed, run

pytestmark = pytest.mark.lab


@cases(lambda case: case.is_ovs)
def test_after_a_restart_of_the_switch_nothing_passes_until_it_is_mended(host: World) -> None:
    with host.vm_plugged() as vm, host.vm_plugged(host.network(200)) as other:
        host.restart_vswitchd()
        assert host.pluggers.state(vm.vif) is VifState.ABSENT
        vm.send(ALL, "where am I?")
        host.wire.send(ALL, "anybody", host.case.vlan)
        host.wire.send(ALL, "anybody", 1)
        host.wire.send(ALL, "anybody", 2)
        assert (host.wire.heard(), vm.heard(), other.heard()) == ([], [], [])
        assert host.pluggers.plug(vm.vif) is VifState.UP
        other.send(ALL, "where am I?")
        assert host.wire.heard() == []
        vm.send(ALL, "back again")
        assert host.wire.heard() == [(host.case.vlan, "back again")]
        assert host.pluggers.state(other.vif) is VifState.ABSENT
        assert host.pluggers.plug(other.vif) is VifState.UP


@cases(lambda case: case.is_ovs)
def test_local_vlans_are_remembered_and_given_back(host: World) -> None:
    vifs = [host.vif(host.network(vlan)) for vlan in (100, 200, 100, None)]
    for vif in vifs:
        host.pluggers.plug(vif)
    assert _tags(host) == {1: 2, 2: 1, 3: 1}
    host.pluggers.unplug(vifs[0].port_id)
    host.pluggers.unplug(vifs[1].port_id)
    assert _tags(host) == {1: 1, 3: 1}
    host.pluggers.plug(host.vif(host.network(300)))
    assert _tags(host) == {1: 1, 2: 1, 3: 1}


@cases(lambda case: case.is_ovs)
@pytest.mark.parametrize("harm", ["tag", "flow", "peer", "port", "down"])
def test_what_is_missing_is_seen_and_mended(host: World, harm: str) -> None:
    with host.vm_plugged() as vm:
        port = next(port for port in ovs.look().ports.values() if "kedge-port" in port.external_ids)
        run(*{
            "tag": ("ovs-vsctl", "set", "Port", port.name, "tag=77"),
            "flow": ("ovs-ofctl", "del-flows", "br-physnet1", "in_port=phy-br-physnet1"),
            "peer": ("ovs-vsctl", "set", "Interface", "int-br-physnet1", "options:peer=elsewhere"),
            "port": ("ovs-vsctl", "del-port", "br-int", port.name),
            "down": ("ip", "link", "set", port.name, "down"),
        }[harm])  # fmt: skip
        assert host.pluggers.state(vm.vif) is VifState.ABSENT
        assert host.pluggers.plug(vm.vif) is VifState.UP
        host.wait_until_forwarding(vm.vif)
        vm.send(ALL, "mended")
        assert host.wire.heard() == [(host.case.vlan, "mended")]


@cases(lambda case: case.is_ovs)
def test_a_vif_is_plugged_the_other_way_under_its_vm_and_without_one(host: World) -> None:
    vif = host.vif()
    hybrid = bool(vif.vif_details["ovs_hybrid_plug"])
    host.pluggers.plug(vif)
    other = changed(vif, ovs_hybrid_plug=not hybrid)
    assert host.pluggers.state(other) is VifState.ABSENT
    with host.vm(vif) as vm:
        assert host.pluggers.plug(other) is VifState.UP
        assert host.pluggers.state(vif) is VifState.ABSENT
        host.wait_until_forwarding(other)
        vm.send(ALL, "moved over")
        assert host.wire.heard() == [(host.case.vlan, "moved over")]
    assert host.pluggers.plug(vif) is VifState.UP
    assert host.pluggers.state(other) is VifState.ABSENT
    with host.vm(vif) as vm:
        vm.send(ALL, "and back")
        assert host.wire.heard() == [(host.case.vlan, "and back")]
    assert len([port for port in ovs.look().ports.values() if "kedge-port" in port.external_ids]) == 1


@cases(lambda case: case.is_ovs)
def test_a_standalone_integration_bridge_is_made_secure(host: World) -> None:
    run("ovs-vsctl", "set-fail-mode", "br-int", "standalone")
    with host.vm_plugged() as vm:
        assert ovs.look().bridges["br-int"].secure
        vm.send(ALL, "hello")
        assert host.wire.heard() == [(host.case.vlan, "hello")]


@cases(lambda case: case.is_ovs)
def test_a_port_whose_device_is_gone_is_reported_and_can_be_unplugged(host: World) -> None:
    vif = host.vif()
    host.pluggers.plug(vif)
    links = [
        name for name in (vif.tap_name, f"qvo{vif.port_id[:11]}", f"qbr{vif.port_id[:11]}") if _is_there(name)
    ]
    for name in links:
        run("ip", "link", "del", name)
    reports = host.pluggers.plugged()
    assert [(report.port_id, report.state) for report in reports] == [(vif.port_id, VifState.ABSENT)]
    host.pluggers.unplug(vif.port_id)
    assert host.pluggers.plugged() == []


@cases(lambda case: case.is_ovs)
def test_a_port_that_libvirt_made_is_up_and_can_be_announced(host: World) -> None:
    vif = host.vif()
    run("ip", "tuntap", "add", "vnet7", "mode", "tap")
    run("ip", "link", "set", "vnet7", "up")
    run("ovs-vsctl", "add-port", "br-int", "vnet7", "tag=5")
    assert host.pluggers.state(vif, "vnet7") is VifState.UP
    assert host.pluggers.device(vif, "vnet7") == "vnet7"
    host.pluggers.inject(vif, [bytes(60)], "vnet7")
    assert host.pluggers.plugged() == []


@cases(lambda case: case.is_ovs)
def test_vifs_that_are_plugged_or_unplugged_together_are_waited_for_once(
    host: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []
    wait_for = ovsdb.wait_for

    def wait(number: int) -> None:
        waited.append(number)
        wait_for(number)

    vifs = [host.vif(host.network(vlan)) for vlan in (100, 200)]
    with host.vm_plugged():
        monkeypatch.setattr(ovsdb, "wait_for", wait)
        plugged = host.pluggers.plug_all((vif, 1) for vif in vifs)
        assert (set(plugged.states.values()), plugged.failed) == ({VifState.UP}, {})
        assert len(waited) == 1
        host.pluggers.unplug(*(vif.port_id for vif in vifs))
        assert len(waited) == 2
        assert len(host.pluggers.plugged()) == 1


@cases(lambda case: case.is_ovs)
def test_a_change_that_the_database_refuses_changes_nothing(host: World) -> None:
    refused = [
        ovs_changes.add_port("br-gone", "lost", {}, {}),
        ovs_changes.set_port("lost", {"tag": 1}, {}),
        [*ovs_changes.set_bridge("br-int", {"external_ids": {"a": "b"}}), {"op": "abort"}],
    ]
    for operations in refused:
        with pytest.raises(HostFailure, match="refused"):
            ovs.change(operations)
    assert "lost" not in ovs.look().ports
    assert "a" not in ovs.look().bridges["br-int"].external_ids


@cases(lambda case: case.is_ovs)
def test_a_switch_that_does_not_do_what_it_is_told_is_named(
    host: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ovsdb, "TIMEOUT_S", 0.1)
    with pytest.raises(HostFailure, match="ovs-vswitchd"):
        ovsdb.wait_for(ovsdb.change([]) + 1)


def _tags(host: World) -> dict[int, int]:
    tags = [port.tag for port in ovs.look().ports.values() if port.tag is not None]
    return {tag: tags.count(tag) for tag in sorted(set(tags))}


def _is_there(name: str) -> bool:
    return f" {name}" in run("ip", "-o", "link", "show") and not name.startswith("qvb")
