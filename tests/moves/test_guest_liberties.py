"""What a guest may do with its NIC on a tap it may do after a move to macvtap too, or the plan says that it can't."""

from collections.abc import Iterator
from typing import Any

import pytest

from kedge.lab import tour
from kedge.lab.cloud import Cloud
from kedge.lab.connection import run_in_guest
from kedge.lab.sniff import Sniffer

pytestmark = pytest.mark.lab

ADDRESS, ADDRESS6, OBSERVER6 = "198.51.100.40", "2001:db8::40", "2001:db8::fe"
ROUTER, ROUTER_MAC = "198.51.100.41", "00:00:5e:00:01:0a"  # RFC 5798, 7.3
BOND_MACS = ("52:54:00:0b:0d:01", "52:54:00:0b:0d:02")


@pytest.fixture
def vm(cloud: Cloud) -> Iterator[dict[str, Any]]:
    """A VM on the Linux bridge of h5, that has an IPv6 address too."""
    port = tour.make_port(cloud, tour.make_networks(cloud)["blue"], ADDRESS)
    made = tour.make_server(cloud, "free", "h5", [(port, ADDRESS)])
    cloud.lab.observer.shell(
        f"echo 0 > /proc/sys/net/ipv6/conf/eth1/disable_ipv6\nip -6 addr add {OBSERVER6}/64 dev eth1 nodad\n"
    )
    guest(cloud, f"ip -6 addr add {ADDRESS6}/64 dev eth0")
    yield {"id": made["id"], "mac": port["mac_address"], "port": port["id"]}
    cloud.lab.observer.shell("echo 1 > /proc/sys/net/ipv6/conf/eth1/disable_ipv6\n")
    cloud.delete(f"/kedge/v1/servers/{made['id']}")


def guest(cloud: Cloud, command: str) -> None:
    assert run_in_guest(cloud.lab.observer, ADDRESS, command) == 0, command


def change_mac(cloud: Cloud, mac: str) -> None:
    """As bonding does when another slave takes over; after the answer has left."""
    guest(cloud, f"(usleep 100000; ip link set dev eth0 address {mac}) &")
    cloud.wait_for(lambda: neighbour(cloud, ADDRESS) == mac, f"the guest with MAC {mac}")


def neighbour(cloud: Cloud, address: str) -> str:
    """The MAC that answers for an address, asked for anew by ARP or neighbour discovery; empty if nobody answers."""
    observer = cloud.lab.observer
    observer.run(["ip", "neigh", "flush", "dev", "eth1"])
    if not tour.answers(cloud, address):
        return ""
    shown = observer.run(["ip", "neigh", "show", address, "dev", "eth1"]).stdout.split()
    return shown[shown.index("lladdr") + 1]


def move(cloud: Cloud, vm: dict[str, Any], host: str) -> None:
    migration = cloud.migrate(vm["id"], host)
    assert migration["status"] == "completed", migration["error"]


def test_ipv6_and_bonding_survive_a_move_to_macvtap(cloud: Cloud, vm: dict[str, Any]) -> None:
    cloud.wait_for(lambda: neighbour(cloud, ADDRESS6) == vm["mac"], "the VM's IPv6 address")
    move(cloud, vm, "h1")
    assert neighbour(cloud, ADDRESS6) == vm["mac"]

    change_mac(cloud, BOND_MACS[0])
    assert neighbour(cloud, ADDRESS6) == BOND_MACS[0]
    move(cloud, vm, "h2")  # libvirt makes the macvtap with the NIC's own MAC there
    cloud.wait_for(lambda: neighbour(cloud, ADDRESS) == BOND_MACS[0], "the VM under its other MAC")
    change_mac(cloud, BOND_MACS[1])
    assert neighbour(cloud, ADDRESS6) == BOND_MACS[1]
    port = cloud.get(f"/network/v2.0/ports/{vm['port']}")["port"]
    assert (port["binding:host_id"], port["status"]) == ("h2", "ACTIVE")
    move(cloud, vm, "h3")
    assert neighbour(cloud, ADDRESS6) == BOND_MACS[1]


def test_a_vrrp_router_stays_where_its_mac_is_received(cloud: Cloud, vm: dict[str, Any]) -> None:
    for command in (
        "insmod /modules/macvlan.ko",
        "ip link add link eth0 name vrrp type macvlan",
        f"ip link set vrrp address {ROUTER_MAC}",
        f"ip addr add {ROUTER}/24 dev vrrp",
        "ip link set vrrp up",
    ):
        guest(cloud, command)
    cloud.lab.observer.run(["ip", "neigh", "replace", ROUTER, "lladdr", ROUTER_MAC, "dev", "eth1"])
    try:
        for host in ("h5", "h3", "h4"):
            if host != "h5":
                move(cloud, vm, host)
            cloud.wait_for(lambda: tour.answers(cloud, ROUTER), "the virtual router")
            # What the master sends every second; a ping from a router's own address would have its NIC's MAC.
            guest(cloud, f"arping -U -c 1 -I vrrp {ROUTER}")
            plan = cloud.post(f"/kedge/v1/servers/{vm['id']}/plan", {"host": "h1"})
            (obstacle,) = plan["obstacles"]
            assert f"NIC {vm['mac']}: the guest was heard to send as {ROUTER_MAC}" in obstacle
    finally:
        cloud.lab.observer.run(["ip", "neigh", "del", ROUTER, "dev", "eth1"])


def test_a_vm_that_says_nothing_is_asked_around_the_pause(cloud: Cloud, vm: dict[str, Any]) -> None:
    """Nobody speaks with it meanwhile. What it is asked and answers is heard by nobody but the agents."""
    where, signs = "h5", list[str]()
    for host in ("h1", "h3", "h4"):
        ports = {each: Sniffer(cloud.lab.fabric, f"{each}-phys1") for each in (where, host)}
        migration = cloud.migrate(vm["id"], host)
        heard = [frame for sniffer in ports.values() for frame in sniffer.stop()]
        assert migration["status"] == "completed", migration["error"]
        assert 0 < migration["network_blackout_ms"] < migration["total_ms"]
        signs.extend(migration["network_blackout_between"])
        assert {frame.source for frame in heard} >= {vm["mac"]}, "not even its announcement was heard"
        answers = [frame for frame in heard if frame.source == frame.destination == vm["mac"]]
        # A macvtap sends all to the wire until it is told that the VM runs here.
        assert answers == [] or host == "h1"
        where = host
    assert "answer" in signs
