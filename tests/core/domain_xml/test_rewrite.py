"""Forms other than the golden ones: what libvirt plugged itself, odd layouts, tuning that does not fit."""

import pytest

from kedge.core.domain_xml import NicChange, rewrite
from kedge.model.network import Vif

from .fleet import BACKENDS, HOSTS, MACS, PORTS, linuxbridge, macvtap, openvswitch

PLUGGED_BY_LIBVIRT = openvswitch(hybrid=False, create_tap=False)[0]

OVS_PORT = f"""      <source bridge='br-int'/>
      <virtualport type='openvswitch'>
        <parameters interfaceid='{PORTS[0]}'/>
      </virtualport>
"""
TAP = f"      <target dev='tap{PORTS[0][:11]}' managed='no'/>\n"
MACVTAP = "      <source dev='eth1' mode='bridge'/>\n"
TRUST, NO_TRUST = " trustGuestRxFilters='yes'", " trustGuestRxFilters='no'"


def domain(kind: str, host_side: str, attributes: str = "") -> str:
    return f"""<domain type='kvm'>
  <devices>
    <interface type='{kind}'{attributes}>
      <mac address='{MACS[0]}'/>
{host_side}      <model type='virtio'/>
    </interface>
  </devices>
</domain>
"""


def move(xml: str, target: Vif, source: Vif | None = None) -> str:
    return rewrite(xml, [NicChange(source, target)])


FORMS = {
    "macvtap": (domain("ethernet", TAP), macvtap("eth1")[0]),
    "ovs": (domain("ethernet", TAP), openvswitch(hybrid=False)[0]),
    "ovs that libvirt plugs": (domain("bridge", OVS_PORT), PLUGGED_BY_LIBVIRT),
    "linuxbridge": (domain("ethernet", TAP), linuxbridge()[0]),
}

LEFT_BY_OTHERS = [
    domain("bridge", OVS_PORT + "      <target dev='vnet3'/>\n"),
    domain("bridge", "      <source bridge='br-int'/>\n      <vlan>\n        <tag id='7'/>\n      </vlan>\n"),
    domain("bridge", "      <source bridge='brq1'/>\n      <target dev='vnet3'/>\n"),
    domain(
        "network",
        "      <source network='default' portid='x' bridge='virbr0'/>\n      <target dev='vnet0'/>\n",
    ),
    domain("direct", "      <source dev='em1' mode='vepa'/>\n", TRUST),
    domain("direct", MACVTAP + "      <target dev='macvtap0'/>\n", TRUST),
    domain(
        "ethernet",
        "      <script path='/etc/up'/>\n      <downscript path='/etc/down'/>\n      <target dev='t0'/>\n",
    ),
]


@pytest.mark.parametrize("xml", [*LEFT_BY_OTHERS, *(form for form, _ in FORMS.values())])
@pytest.mark.parametrize("name", FORMS)
def test_nothing_of_the_old_host_side_is_left_and_the_text_is_laid_out_as_libvirts(
    xml: str, name: str
) -> None:
    expected, vif = FORMS[name]
    assert move(xml, vif) == expected
    assert move(move(xml, vif), vif) == expected


# How it is attached, and said, before; what is said then, wherever it goes. Nothing said: the guest chooses what it
# receives, but for a macvtap that libvirt made.
MAY_THE_GUEST_CHANGE_ITS_MAC = [
    ("ethernet", "", ""),
    ("ethernet", NO_TRUST, NO_TRUST),
    ("bridge", TRUST, ""),
    ("network", NO_TRUST, NO_TRUST),
    ("direct", "", NO_TRUST),
    ("direct", NO_TRUST, NO_TRUST),
    ("direct", TRUST, ""),
]


@pytest.mark.parametrize("target", HOSTS)
@pytest.mark.parametrize(("kind", "said", "expected"), MAY_THE_GUEST_CHANGE_ITS_MAC)
def test_the_guest_may_change_its_mac_where_it_could_before_and_nowhere_else(
    kind: str, said: str, expected: str, target: str
) -> None:
    moved = move(domain(kind, "      <source dev='eth7'/>\n", said), HOSTS[target][0])
    new = "bridge" if target == "ovs-by-libvirt" else "ethernet"
    assert f"<interface type='{new}'{expected}>" in moved
    assert f"<interface type='ethernet'{expected}>" in move(moved, macvtap("eth7")[0])


@pytest.mark.parametrize("target", HOSTS)
@pytest.mark.parametrize("xml", [*LEFT_BY_OTHERS, *(form for form, _ in FORMS.values())])
def test_the_mtu_that_the_guest_sees_goes_along(xml: str, target: str) -> None:
    mtu = "      <mtu size='9000'/>\n"
    xml = xml.replace("    </interface>", f"{mtu}    </interface>")
    there = move(xml, HOSTS[target][0])
    assert mtu in there
    for vif, _ in HOSTS.values():
        assert mtu in move(there, vif)


def test_the_mac_is_compared_without_regard_to_case_and_kept_as_it_is() -> None:
    xml = domain("ethernet", TAP).replace(MACS[0], MACS[0].upper())
    assert f"address='{MACS[0].upper()}'" in move(xml, BACKENDS["macvtap-eth1"][0])


def test_tuning_that_the_new_type_does_not_take_is_dropped() -> None:
    tuning = (
        "<bandwidth><inbound average='100' floor='50'/></bandwidth>"
        "<backend tap='/dev/net/tun' vhost='/dev/vhost-net'/><coalesce><rx><frames max='7'/></rx></coalesce>"
    )
    xml = domain("network", f"      <source network='default'/>{tuning}\n")
    on_tap = move(xml, BACKENDS["linuxbridge"][0])
    assert "<inbound average='100'/>" in on_tap
    assert "tap='/dev/net/tun' vhost='/dev/vhost-net'" in on_tap
    assert "coalesce" not in on_tap
    on_macvtap = move(xml, BACKENDS["macvtap-eth1"][0])
    assert "<backend vhost='/dev/vhost-net'/>" in on_macvtap
    assert "coalesce" not in on_macvtap
    assert "<coalesce>" in move(xml, PLUGGED_BY_LIBVIRT)


def test_elements_out_of_libvirts_order_stay_where_they_are() -> None:
    xml = (
        "<domain><devices><interface type='direct'><model type='virtio'/><!-- one --><?two?>"
        f"<source dev='eth9' mode='bridge'/><mac address='{MACS[0]}'/><boot order='1'/></interface></devices></domain>"
    )
    for vif in (macvtap("ens5")[0], linuxbridge()[0]):
        assert (
            "<model type='virtio'/><!-- one --><?two?>"
            f"<mac address='{MACS[0]}'/><target dev='tap{PORTS[0][:11]}' managed='no'/><boot order='1'/>"
        ) in move(xml, vif)
    bridge = xml.replace("direct", "bridge").replace("dev='eth9' mode='bridge'", "bridge='br7'")
    assert "<!-- one --><?two?><source bridge='br-int'/><mac" in move(bridge, PLUGGED_BY_LIBVIRT)


def test_an_interface_is_a_device_and_nothing_else() -> None:
    """What looks like one in the metadata, or under a namespace, is left alone."""
    note = (
        f"<interface type='direct'><mac address='{MACS[0]}'/><source dev='eth1' mode='bridge'/></interface>"
    )
    xml = domain("direct", MACVTAP).replace(
        "  <devices>", f"  <metadata><m:m xmlns:m='http://m'>{note}</m:m></metadata>\n  <devices>"
    )
    assert note in move(xml, linuxbridge()[0])


def test_hybrid_plug_has_its_tap_made_by_the_agent_whatever_else_is_said() -> None:
    expected, _ = FORMS["linuxbridge"]
    assert move(domain("direct", MACVTAP, TRUST), openvswitch(hybrid=True, create_tap=False)[0]) == expected


def test_the_layout_stays_where_the_host_side_comes_last() -> None:
    short = domain("direct", MACVTAP, TRUST).replace("      <model type='virtio'/>\n", "")
    there = move(short, linuxbridge()[0])
    assert there == domain("ethernet", TAP).replace("      <model type='virtio'/>\n", "")
    behind = short.replace(MACVTAP, MACVTAP + "      <target dev='macvtap0'/>\n")
    assert move(behind, macvtap("eth1")[0]) == there
    port = domain("bridge", OVS_PORT).replace("      <model type='virtio'/>\n", "")
    assert (
        move(port.replace(OVS_PORT, OVS_PORT + "      <target dev='vnet3'/>\n"), PLUGGED_BY_LIBVIRT) == port
    )


BANDWIDTHS = {
    "<bandwidth><inbound floor='50'/></bandwidth>": "",
    "<bandwidth><inbound floor='50'/><outbound average='9'/></bandwidth>": (
        "<bandwidth><outbound average='9'/></bandwidth>"
    ),
    "<bandwidth><inbound average='7' floor='50'/></bandwidth>": "<bandwidth><inbound average='7'/></bandwidth>",
}


@pytest.mark.parametrize(("said", "left"), BANDWIDTHS.items())
def test_of_a_floor_that_only_a_libvirt_network_holds_nothing_stays_that_libvirt_refuses(
    said: str, left: str
) -> None:
    moved = move(domain("network", f"      <source network='default'/>{said}\n"), linuxbridge()[0])
    assert (left or "model") in moved
    assert "floor" not in moved and ("bandwidth" in moved) is bool(left)
