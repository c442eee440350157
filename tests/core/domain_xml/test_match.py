"""Two NICs with the same MAC, on two networks: which is which?"""

from dataclasses import replace
from itertools import permutations

import pytest

from kedge.core.domain_xml import NicChange, attachments, rewrite
from kedge.model.errors import CannotMigrate
from kedge.model.network import Vif

from .fleet import BACKENDS, HOSTS, PORTS, linuxbridge, macvtap, openvswitch

MAC = "fa:16:3e:11:22:33"


def same_mac(vifs: tuple[Vif, Vif]) -> list[Vif]:
    return [replace(vif, mac_address=MAC) for vif in vifs]


def domain(*interfaces: str) -> str:
    nics = (
        f"<interface type={text}</interface>".replace("<mac/>", f"<mac address='{MAC}'/>")
        for text in interfaces
    )
    return f"<domain><devices>{''.join(nics)}</devices></domain>"


def moves(source: tuple[Vif, Vif] | None, target: tuple[Vif, Vif]) -> list[NicChange]:
    sources = same_mac(source) if source else [None, None]
    return [NicChange(*pair) for pair in zip(sources, same_mac(target), strict=True)]


def taps(xml: str) -> list[str | None]:
    return [nic.target_dev for nic in attachments(xml)]


TAPS = [f"tap{port[:11]}" for port in PORTS]

# The second port's interface comes first in all of these, so that nothing is right by chance.
SWAPPED = {
    "macvtap-eth1": domain(
        "'direct'><mac/><source dev='eth1.101' mode='bridge'/><target dev='macvtap0'/>",
        "'direct'><mac/><source dev='eth1' mode='bridge'/><target dev='macvtap1'/>",
    ),
    "ovs-native": domain(*(f"'ethernet'><mac/><target dev='{tap}' managed='no'/>" for tap in reversed(TAPS))),
    "ovs-hybrid": domain(
        *(
            f"'bridge'><mac/><source bridge='qbr{port[:11]}'/><target dev='vnet1'/>"
            for port in reversed(PORTS)
        )
    ),
    "linuxbridge": domain(
        *(
            f"'bridge'><mac/><source bridge='{vif.vif_details['bridge_name']}'/><target dev='vnet1'/>"
            for vif in reversed(linuxbridge())
        )
    ),
}


@pytest.mark.parametrize("source", SWAPPED)
@pytest.mark.parametrize("target", BACKENDS)
def test_they_are_told_apart_by_what_the_source_binding_says(source: str, target: str) -> None:
    xml = rewrite(SWAPPED[source], moves(BACKENDS[source], BACKENDS[target]))
    assert taps(xml) == TAPS[::-1]


def test_they_are_told_apart_by_the_virtual_ports_id_and_by_kedges_alias() -> None:
    by_id = domain(
        *(
            "'bridge'><mac/><source bridge='br-int'/><virtualport type='openvswitch'>"
            f"<parameters interfaceid='{port}'/></virtualport>"
            for port in reversed(PORTS)
        )
    )
    by_alias = domain(
        *(f"'bridge'><mac/><source bridge='br-int'/><alias name='ua-{port}'/>" for port in reversed(PORTS))
    )
    for xml in (by_id, by_alias):
        assert taps(rewrite(xml, moves(BACKENDS["ovs-native"], linuxbridge()))) == TAPS[::-1]


@pytest.mark.parametrize("source", SWAPPED)
@pytest.mark.parametrize("target", HOSTS)
def test_twice_is_once(source: str, target: str) -> None:
    there = moves(BACKENDS[source], HOSTS[target])
    once = rewrite(SWAPPED[source], there)
    assert rewrite(once, there) == once


@pytest.mark.parametrize("source", SWAPPED)
@pytest.mark.parametrize(("first", "second"), [*permutations(HOSTS, 2)])
def test_from_host_to_host_each_stays_itself(source: str, first: str, second: str) -> None:
    here = rewrite(SWAPPED[source], moves(BACKENDS[source], HOSTS[first]))
    there = rewrite(here, moves(HOSTS[first], HOSTS[second]))
    home = rewrite(there, moves(HOSTS[second], macvtap("eth1")))
    assert taps(home) == TAPS[::-1]


def test_what_is_left_over_belongs_together_only_if_nothing_else_is_known_of_the_port() -> None:
    xml = domain("'bridge'><mac/><source bridge='br9'/>", f"'ethernet'><mac/><target dev='{TAPS[0]}'/>")
    assert taps(rewrite(xml, moves(None, linuxbridge()))) == TAPS[::-1]
    with pytest.raises(CannotMigrate, match="can't be told which interface"):
        rewrite(xml, moves(linuxbridge(), linuxbridge()))


@pytest.mark.parametrize("source", [None, macvtap("ens5")])
def test_the_place_on_the_target_says_nothing(source: tuple[Vif, Vif] | None) -> None:
    """The names of interfaces may be swapped between two hosts."""
    with pytest.raises(CannotMigrate, match="can't be told which interface"):
        rewrite(SWAPPED["macvtap-eth1"], moves(source, macvtap("eth1")))


@pytest.mark.parametrize(
    "xml",
    [
        domain("'bridge'><mac/><source bridge='br-int'/>", "'bridge'><mac/><source bridge='br-int'/>"),
        domain(f"'ethernet'><mac/><target dev='{TAPS[0]}'/>", f"'ethernet'><mac/><target dev='{TAPS[0]}'/>"),
        domain("'network'><mac/><source network='a'/>", "'network'><mac/><source network='b'/>"),
    ],
)
def test_a_doubt_is_refused(xml: str) -> None:
    with pytest.raises(CannotMigrate) as refused:
        rewrite(xml, moves(openvswitch(hybrid=False), linuxbridge()))
    (reason,) = refused.value.reasons
    assert MAC in reason and all(port in reason for port in PORTS) and "different MACs" in reason


def test_two_interfaces_and_one_port_leave_one_interface_without_port() -> None:
    xml = domain(f"'ethernet'><mac/><target dev='{TAPS[1]}'/>", f"'ethernet'><mac/><target dev='{TAPS[0]}'/>")
    with pytest.raises(CannotMigrate, match=f"device {TAPS[1]}.* has no port"):
        rewrite(xml, moves(openvswitch(hybrid=False), linuxbridge())[:1])


def test_one_interface_and_two_ports_leave_one_port_without_interface() -> None:
    with pytest.raises(CannotMigrate, match=f"port {PORTS[1]} .* has no interface"):
        rewrite(
            domain(f"'ethernet'><mac/><target dev='{TAPS[0]}'/>"),
            moves(openvswitch(hybrid=False), linuxbridge()),
        )
