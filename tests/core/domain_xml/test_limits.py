"""The limits of `<bandwidth>` change places between a tap and a macvtap of Kedge's, and nowhere else."""

import pytest

from kedge.core.domain_xml import NicChange, rewrite
from kedge.model.network import Vif

from .fleet import HOSTS, MACS, PORTS

TAP = f"<target dev='tap{PORTS[0][:11]}' managed='no'/>"
# How a NIC is attached, by the host that it is on: as Kedge does it, and as others do.
BY_KEDGE = dict.fromkeys(HOSTS, ("ethernet", TAP)) | {
    "ovs-by-libvirt": ("bridge", "<source bridge='br-int'/>")
}
BY_OTHERS = {
    "linuxbridge": ("bridge", "<source bridge='br7'/>"),
    "ovs-native": ("bridge", "<source bridge='br7'/><virtualport type='openvswitch'/>"),
    "macvtap-eth1": ("direct", "<source dev='eth1' mode='bridge'/>"),
}
MACVTAPS = ["macvtap-eth1", "macvtap-ens5"]
OTHERS = [name for name in HOSTS if name not in MACVTAPS]

# As a tap has them, and as a macvtap has the same.
LIMITS = [
    (
        "<inbound average='7' peak='9' burst='5'/><outbound average='6'/>",
        "<inbound average='6'/><outbound average='7' peak='9' burst='5'/>",
    ),
    (
        "<outbound average='6'/><!-- why --><inbound average='7' peak='9'/>",
        "<outbound average='7' peak='9'/><!-- why --><inbound average='6'/>",
    ),
    ("<inbound average='7' burst='5'/>", "<outbound average='7' burst='5'/>"),
    ("<outbound average='6' peak='8'/>", "<inbound average='6' peak='8'/>"),
]


def nic(kind: str, host_side: str, limits: str, mac: str = MACS[0]) -> str:
    bandwidth = f"<bandwidth>{limits}</bandwidth>" if limits else ""
    return (
        f"<interface type='{kind}'><mac address='{mac}'/>{host_side}{bandwidth}<link state='up'/></interface>"
    )


def domain(*nics: str) -> str:
    return f"<domain><devices>{''.join(nics)}</devices></domain>"


def moved(attached: tuple[str, str], limits: str, source: str | None, target: str) -> str:
    """The XML after the move of a NIC that is attached like this, on the host `source` or one that is no host's."""
    vif: Vif | None = HOSTS[source][0] if source else None
    return rewrite(domain(nic(*attached, limits)), [NicChange(vif, HOSTS[target][0])])


def has(xml: str, limits: str) -> bool:
    return f"<bandwidth>{limits}</bandwidth>" in xml


@pytest.mark.parametrize(("on_tap", "on_macvtap"), LIMITS)
@pytest.mark.parametrize("target", MACVTAPS)
@pytest.mark.parametrize("source", OTHERS)
def test_they_change_places_from_a_tap_to_a_macvtap_and_back(
    source: str, target: str, on_tap: str, on_macvtap: str
) -> None:
    there = moved(BY_KEDGE[source], on_tap, source, target)
    assert has(there, on_macvtap)
    assert has(rewrite(there, [NicChange(HOSTS[target][0], HOSTS[source][0])]), on_tap)


@pytest.mark.parametrize(("on_tap", "on_macvtap"), LIMITS)
@pytest.mark.parametrize("source", BY_OTHERS)
@pytest.mark.parametrize("known", [True, False])
def test_they_change_places_once_from_what_others_attached(
    source: str, known: bool, on_tap: str, on_macvtap: str
) -> None:
    """A macvtap that libvirt made is among it: libvirt turns its limits by itself."""
    here = source if known else None
    for target in MACVTAPS:
        there = moved(BY_OTHERS[source], on_tap, here, target)
        assert has(there, on_macvtap)
        assert rewrite(there, [NicChange(HOSTS[target][0], HOSTS[target][0])]) == there
    for target in OTHERS:
        assert has(moved(BY_OTHERS[source], on_tap, here, target), on_tap)


@pytest.mark.parametrize("limits", [pair[0] for pair in LIMITS])
@pytest.mark.parametrize("hosts", [MACVTAPS, OTHERS])
def test_they_stay_between_hosts_of_one_kind(hosts: list[str], limits: str) -> None:
    for source in hosts:
        for target in hosts:
            assert has(moved(BY_KEDGE[source], limits, source, target), limits)


@pytest.mark.parametrize(
    ("limits", "on_tap", "on_macvtap"),
    [
        ("<inbound average='7' floor='2'/>", "<inbound average='7'/>", "<outbound average='7'/>"),
        (
            "<inbound average='7' floor='2'/><outbound average='6'/>",
            "<inbound average='7'/><outbound average='6'/>",
            "<inbound average='6'/><outbound average='7'/>",
        ),
        ("<inbound floor='2'/><outbound average='6'/>", "<outbound average='6'/>", "<inbound average='6'/>"),
    ],
)
def test_a_floor_does_not_go_over_to_the_other_limit(limits: str, on_tap: str, on_macvtap: str) -> None:
    network = ("network", "<source network='default'/>")
    assert has(moved(network, limits, None, "linuxbridge"), on_tap)
    assert has(moved(network, limits, None, "macvtap-eth1"), on_macvtap)


@pytest.mark.parametrize("limits", ["", "<inbound floor='2'/>"])
def test_where_no_limit_is_left_none_is_made(limits: str) -> None:
    assert "bound" not in moved(("network", "<source network='default'/>"), limits, None, "macvtap-eth1")


def test_each_nic_goes_by_its_own_vifs() -> None:
    """One leaves a macvtap, while the other goes onto one."""
    on_tap, on_macvtap = LIMITS[0]
    other_tap = f"<target dev='tap{PORTS[1][:11]}' managed='no'/>"
    before = domain(nic("ethernet", TAP, on_macvtap), nic("ethernet", other_tap, on_tap, MACS[1]))
    macvtaps, bridges = HOSTS["macvtap-eth1"], HOSTS["linuxbridge"]
    after = rewrite(before, [NicChange(macvtaps[0], bridges[0]), NicChange(bridges[1], macvtaps[1])])
    first, second = after.split("</interface>")[:2]
    assert has(first, on_tap) and has(second, on_macvtap)
