"""The announcement of a VM: its frames byte by byte, and what switches make of them."""

import time

import pytest

from kedge.agent.frames.announce import Announcer, frames

from .vif_world import ALL, PEER_MAC, World, cases

MAC = "52:54:00:12:34:56"
RARP, ARP, IPV6 = bytes.fromhex("8035"), bytes.fromhex("0806"), bytes.fromhex("86dd")


def test_without_addresses_there_is_only_a_rarp() -> None:
    assert frames(MAC, []) == [
        bytes.fromhex(
            "ffffffffffff 525400123456 80350001 0800 06 04 0003525400123456 00000000 525400123456 00000000"
        ).ljust(60, b"\0")
    ]


def test_an_ipv4_address_is_announced_by_a_gratuitous_arp_request() -> None:
    assert frames(MAC, ["10.1.2.3"])[1] == bytes.fromhex(
        "ffffffffffff 525400123456 08060001 0800 06 04 0001525400123456 0a010203 000000000000 0a010203"
    ).ljust(60, b"\0")


def test_an_ipv6_address_is_announced_by_an_unsolicited_neighbour_advertisement() -> None:
    assert frames(MAC, ["2001:db8::5"])[1] == bytes.fromhex(
        "333300000001 525400123456 86dd"
        "60000000 0020 3a ff"
        "20010db8000000000000000000000005 ff020000000000000000000000000001"
        "88 00 7467 20000000"
        "20010db8000000000000000000000005"
        "02 01 525400123456"
    )


def test_each_address_is_announced_after_the_rarp_in_order() -> None:
    kinds = [frame[12:14] for frame in frames(MAC, ["2001:db8::5", "10.1.2.3", "10.1.2.4"])]
    assert kinds == [RARP, IPV6, ARP, ARP]


@pytest.mark.parametrize("text", ["10.1.2", "", "::g", "10.1.2.3/24"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        frames(MAC, [text])


@pytest.mark.lab
@cases()
def test_the_fabric_hears_it_with_the_right_tag_and_the_vm_does_not(host: World) -> None:
    ips = ["10.1.2.3", "2001:db8::5"]
    with host.vm_plugged(ips=ips) as vm:
        Announcer(host.pluggers).announce(vm.vif, repeat=1)
        expected = [(host.case.vlan, each) for each in frames(vm.mac, ips)]
        assert sorted(host.wire.raw(), key=str) == sorted(expected, key=str)
        assert vm.heard() == []


@pytest.mark.lab
@cases(every_kernel=True)
def test_frames_for_a_vm_that_was_elsewhere_reach_it_from_then_on(host: World) -> None:
    with host.vm_plugged() as vm, host.vm_plugged(host.network(host.case.vlan)) as neighbour:
        # Until now the VM ran at the other end of the wire, and this host has learned so.
        host.wire.send(ALL, "I am elsewhere", host.case.vlan, source=vm.mac)
        # A macvtap takes a frame from another's MAC for one that the other has spread itself.
        spread = int(host.case.backend.driver != "macvtap")
        assert neighbour.heard(at_least=spread) == ["I am elsewhere"] * spread
        vm.heard()
        Announcer(host.pluggers).announce(vm.vif, repeat=1)
        neighbour.heard()
        host.wire.send(vm.mac, "welcome", host.case.vlan)
        assert vm.heard(at_least=1) == ["welcome"]
        assert neighbour.heard() == []
        neighbour.send(PEER_MAC, "not for you")
        assert vm.heard() == []


@pytest.mark.lab
@cases()
def test_it_is_repeated_and_can_be_ended(host: World) -> None:
    with host.vm_plugged() as vm:
        announcer = Announcer(host.pluggers)
        begun = time.monotonic()
        announcer.announce(vm.vif, repeat=4, interval_ms=50)
        assert time.monotonic() - begun < 1
        assert [data[12:14] for _, data in host.wire.raw(at_least=4)] == [RARP] * 4
        announcer.announce(vm.vif, repeat=100_000, interval_ms=20)
        assert len(host.wire.raw(0, at_least=2)) >= 2
        announcer.cancel(vm.vif.port_id)
        host.wire.raw()
        assert host.wire.raw() == []


@pytest.mark.lab
@cases()
def test_it_ends_by_itself_when_the_vif_is_gone(host: World) -> None:
    with host.vm_plugged() as vm:
        announcer = Announcer(host.pluggers)
        announcer.announce(vm.vif, repeat=1000, interval_ms=20)
    announcer.cancel(vm.vif.port_id)
