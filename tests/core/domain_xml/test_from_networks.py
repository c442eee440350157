"""What libvirt's networks give an interface is kept when it is attached without them."""

import pytest

from kedge.core.domain_xml import NicChange, rewrite, uses_networks, with_what_networks_gave
from kedge.model.errors import CannotMigrate, Conflict

from .fleet import BACKENDS, MACS


def domain(*interfaces: str) -> str:
    return f"<domain type='kvm'>\n  <devices>\n{''.join(interfaces)}  </devices>\n</domain>\n"


def nic(kind: str, inner: str = "", attributes: str = "", mac: str = MACS[0]) -> str:
    return (
        f"    <interface type='{kind}'{attributes}>\n      <mac address='{mac}'/>\n{inner}    </interface>\n"
    )


BY_NAME = nic("network", "      <source network='corp' portgroup='slow'/>\n      <model type='virtio'/>\n")
SOURCE = "      <source network='corp' portgroup='slow' portid='x' bridge='br0'/>\n"
VLAN = "      <vlan>\n        <tag id='42'/>\n      </vlan>\n"
BANDWIDTH = "      <bandwidth>\n        <inbound average='100'/>\n      </bandwidth>\n"
ISOLATED = "      <port isolated='yes'/>\n"
TARGET = "      <target dev='vnet0'/>\n"


def test_vlan_bandwidth_and_isolation_come_from_the_live_xml_in_libvirts_order() -> None:
    live = domain(nic("bridge", SOURCE + VLAN + BANDWIDTH + ISOLATED + TARGET))
    told = "      <source network='corp' portgroup='slow'/>\n" + VLAN + BANDWIDTH + ISOLATED
    expected = domain(nic("network", told + "      <model type='virtio'/>\n"))
    assert with_what_networks_gave(domain(BY_NAME), live) == expected


def test_a_bandwidth_goes_along_and_isolation_is_refused() -> None:
    change = [NicChange(None, BACKENDS["linuxbridge"][0])]
    slow = with_what_networks_gave(domain(BY_NAME), domain(nic("bridge", SOURCE + BANDWIDTH)))
    assert BANDWIDTH in rewrite(slow, change)
    isolated = with_what_networks_gave(domain(BY_NAME), domain(nic("bridge", SOURCE + ISOLATED)))
    with pytest.raises(CannotMigrate) as refused:
        rewrite(isolated, change)
    assert any("isolated" in reason for reason in refused.value.reasons)


def test_what_is_in_force_counts() -> None:
    """An interface's own limit goes before its network's, and libvirt shows the one that holds."""
    source = "      <source network='corp'/>\n"
    own = domain(nic("network", source + BANDWIDTH))
    assert with_what_networks_gave(own, domain(nic("bridge", SOURCE))) == own
    slower = BANDWIDTH.replace("100", "7")
    assert with_what_networks_gave(own, domain(nic("bridge", SOURCE + slower))) == domain(
        nic("network", source + slower)
    )


def test_a_virtual_port_that_is_the_networks_is_not_lost() -> None:
    """An interface may leave its type to the network."""
    own = "      <virtualport>\n        <parameters profileid='gold'/>\n      </virtualport>\n"
    for said in ("", own):
        live = domain(nic("bridge", SOURCE + own.replace("<virtualport>", "<virtualport type='midonet'>")))
        stored = domain(nic("network", "      <source network='corp'/>\n" + said))
        with pytest.raises(CannotMigrate, match="'midonet'"):
            rewrite(with_what_networks_gave(stored, live), [NicChange(None, BACKENDS["linuxbridge"][0])])


def test_a_macvtap_of_a_network_trusts_its_guest_only_if_it_did() -> None:
    change = [NicChange(None, BACKENDS["macvtap-ens5"][0])]
    source = "      <source network='lan' dev='eth1' mode='bridge'/>\n"
    for said, expected in (("", " trustGuestRxFilters='no'"), (" trustGuestRxFilters='yes'", "")):
        text = with_what_networks_gave(domain(BY_NAME), domain(nic("direct", source, said)))
        assert f"<interface type='ethernet'{expected}>" in rewrite(text, change)


def test_other_interfaces_are_left_alone() -> None:
    plain = domain(nic("bridge", "      <source bridge='br0'/>\n"))
    assert not uses_networks(plain)
    assert uses_networks(domain(BY_NAME))
    assert with_what_networks_gave(plain, domain(nic("bridge", SOURCE + BANDWIDTH))) == plain


def test_a_nic_that_came_in_between_is_noticed() -> None:
    with pytest.raises(Conflict, match="came or went"):
        with_what_networks_gave(domain(BY_NAME), domain(nic("bridge", SOURCE), nic("bridge", mac=MACS[1])))
