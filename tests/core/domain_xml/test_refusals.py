"""What can't be rewritten is refused, all reasons at once, naming the NIC and what to do."""

from dataclasses import replace

import pytest

from kedge.core.domain_xml import NicChange, rewrite
from kedge.model.errors import CannotMigrate
from kedge.model.network import Vif, VifType

from .fleet import BACKENDS, MACS, PORTS, changes, linuxbridge, macvtap, openvswitch

TAPS = [f"<target dev='tap{port[:11]}' managed='no'/>" for port in PORTS]


def domain(*interfaces: str, devices: str = "") -> str:
    return f"<domain type='kvm'><devices>{''.join(interfaces)}{devices}</devices></domain>"


def nic(number: int = 0, inner: str = "", kind: str = "ethernet", target: str | None = None) -> str:
    target = TAPS[number] if target is None else target
    return f"<interface type='{kind}'><mac address='{MACS[number]}'/>{target}{inner}</interface>"


def reasons(xml: str, moves: list[NicChange]) -> tuple[str, ...]:
    with pytest.raises(CannotMigrate) as refused:
        rewrite(xml, moves)
    assert str(refused.value)
    return refused.value.reasons


def only(vif: Vif) -> list[NicChange]:
    return [NicChange(None, vif)]


def test_an_interface_without_port_and_a_port_without_interface_are_both_named() -> None:
    stray = "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br7'/></interface>"
    said = reasons(domain(nic(0), stray), changes("ovs-native", "linuxbridge"))
    assert len(said) == 2
    assert "interface 52:54:00:00:00:01 (bridge on br7) has no port" in said[0]
    assert f"port {PORTS[1]} ({MACS[1]}) has no interface" in said[1]
    assert "detach it" in said[0] and "attach one" in said[1]


def test_an_interface_without_mac_is_refused() -> None:
    said = reasons(domain("<interface type='ethernet'><target dev='x0'/></interface>"), [])
    assert said == ("an interface (ethernet device x0) has no MAC address; give it one",)


def test_no_interfaces_and_no_ports_is_no_problem() -> None:
    assert rewrite("<domain/>", []) == "<domain/>\n"


def test_a_port_that_is_named_twice_is_refused() -> None:
    said = reasons(domain(nic(0)), changes("ovs-native", "linuxbridge")[:1] * 2)
    assert any(f"port {PORTS[0]} is named 2 times" in reason for reason in said)


@pytest.mark.parametrize("vif_type", [VifType.UNBOUND, VifType.BINDING_FAILED])
def test_a_port_that_is_not_bound_there_is_refused(vif_type: VifType) -> None:
    said = reasons(domain(nic(0)), only(replace(BACKENDS["ovs-native"][0], vif_type=vif_type)))
    assert len(said) == 1
    assert PORTS[0] in said[0] and str(vif_type) in said[0] and "bind the port" in said[0]


@pytest.mark.parametrize("bridge", [{}, {"bridge_name": ""}, {"bridge_name": 7}])
def test_libvirt_can_not_make_a_port_in_an_open_vswitch_bridge_without_a_name(
    bridge: dict[str, object],
) -> None:
    details = {"ovs_hybrid_plug": False, "ovs_create_tap": False} | bridge
    said = reasons(domain(nic(0)), only(replace(openvswitch(hybrid=False)[0], vif_details=details)))
    assert len(said) == 1
    assert PORTS[0] in said[0] and "'bridge_name'" in said[0] and "anew" in said[0]


def test_a_nic_that_is_a_device_of_the_host_is_refused() -> None:
    (said,) = reasons(domain(nic(0, kind="hostdev", target="")), only(linuxbridge()[0]))
    assert MACS[0] in said and "detach it first" in said


def test_a_vdpa_interface_is_refused() -> None:
    assert "<interface type='vdpa'>" in reasons(domain(nic(0, kind="vdpa")), only(linuxbridge()[0]))[0]


FILTER = "<filterref filter='clean-traffic'/>"


@pytest.mark.parametrize(
    "vif", [macvtap("eth1")[0], openvswitch(hybrid=False)[0], openvswitch(hybrid=False, create_tap=False)[0]]
)
def test_a_network_filter_that_would_have_no_effect_is_refused(vif: Vif) -> None:
    said = reasons(domain(nic(0, FILTER)), only(vif))
    assert len(said) == 1
    assert "'clean-traffic'" in said[0] and MACS[0] in said[0] and "remove the <filterref>" in said[0]


@pytest.mark.parametrize("vif", [linuxbridge()[0], openvswitch(hybrid=True)[0]])
def test_a_network_filter_goes_along_to_a_linux_bridge(vif: Vif) -> None:
    assert FILTER in rewrite(domain(nic(0, FILTER)), only(vif))


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_isolated_port_is_refused(backend: str) -> None:
    said = reasons(domain(nic(0, "<port isolated='yes'/>")), only(BACKENDS[backend][0]))
    assert len(said) == 1
    assert "isolated" in said[0]


def test_all_reasons_come_at_once() -> None:
    xml = domain(nic(0, FILTER + "<port isolated='yes'/>"), nic(1, FILTER))
    assert len(reasons(xml, changes("ovs-native", "macvtap-eth1"))) == 3


@pytest.mark.parametrize(
    "vlan",
    [
        "<vlan trunk='yes'><tag id='7'/></vlan>",
        "<vlan><tag id='7'/><tag id='8'/></vlan>",
        "<vlan><tag id='7' nativeMode='untagged'/></vlan>",
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_vlan_trunk_is_not_made_an_access_port(vlan: str, backend: str) -> None:
    said = reasons(domain(nic(0, vlan, "bridge")), only(BACKENDS[backend][0]))
    assert len(said) == 1
    assert "VLAN trunk (<vlan> with 7" in said[0] and "a NIC for each VLAN" in said[0]


def test_a_user_mode_nic_is_refused() -> None:
    said = reasons(domain(nic(0, "<backend type='passt'/>", "user", "")), only(linuxbridge()[0]))
    assert len(said) == 1
    assert "user-mode NIC" in said[0] and "detach it" in said[0]


@pytest.mark.parametrize("kind", ["hostdev", "network"])
def test_of_a_teaming_pair_the_transient_nic_is_to_be_detached(kind: str) -> None:
    standby = nic(0, "<teaming type='persistent'/><alias name='ua-backup0'/>")
    transient = nic(
        0, "<teaming type='transient' persistent='ua-backup0'/>", kind, "<source network='pool'/>"
    )
    said = reasons(domain(standby, transient), only(linuxbridge()[0]))
    assert len(said) == 1
    assert "detach it, and the server moves with its standby NIC 'ua-backup0'" in said[0]
    assert "different MAC" not in said[0]


def test_a_mac_of_single_digits_is_the_same_mac() -> None:
    short = domain("<interface type='ethernet'><mac address='0:1:2:A:b:C'/></interface>")
    vif = replace(linuxbridge()[0], mac_address="00:01:02:0a:0b:0c")
    assert f"dev='{vif.tap_name}'" in rewrite(short, only(vif))
