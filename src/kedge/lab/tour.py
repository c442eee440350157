"""A VM on the lab's cloud, and hops of it from host to host that are measured from outside.

Used by the demo, the tests of all pairs, and the benchmarks, so that all three look at the same things.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from . import image
from .cloud import Cloud
from .connection import Connection, ConnectionResult
from .echo import AddressResult
from .neighbourhood import Neighbourhood
from .probe import Probe

NETWORKS = {
    "blue": ("physnet1", "198.51.100.0/24", "198.51.100.10"),
    "green": ("physnet2", "203.0.113.0/24", "203.0.113.10"),
}
ADDRESSES = tuple(address for _, _, address in NETWORKS.values())
FIRST_NEIGHBOUR = "198.51.100.101"

TOUR = ("h1", "h2", "h3", "h5", "h4", "h1")
"""macvtap, macvtap over another parent, Open vSwitch native, Linux bridge, Open vSwitch hybrid, macvtap."""

BOOT_S = 60.0
SETTLE_S = 0.4


@dataclass(frozen=True)
class Hop:
    """One migration, as Kedge tells of it and as it was seen from outside; times in ms."""

    source: str
    destination: str
    migration: dict[str, Any]
    outside: dict[str, AddressResult]
    connections: tuple[ConnectionResult, ...]
    left_behind: tuple[str, ...]
    on_source: AddressResult | None = None
    on_destination: AddressResult | None = None
    """What neighbours on the two hosts saw of one of the addresses, where there were any."""

    @property
    def neighbour_source_ms(self) -> float | None:
        """The longest time in which a neighbour on the source had no answer."""
        return self.on_source.blackout_ms if self.on_source else None

    @property
    def neighbour_destination_ms(self) -> float | None:
        """The longest time in which a neighbour on the destination had no answer."""
        return self.on_destination.blackout_ms if self.on_destination else None

    @property
    def blackout_ms(self) -> float:
        """The longest time in which one of the VM's addresses answered nobody, measured from outside."""
        return max(seen.blackout_ms for seen in self.outside.values())

    @property
    def tcp_alive(self) -> bool:
        """Every TCP connection went on."""
        return all(connection.alive for connection in self.connections)

    @property
    def continuous(self) -> bool:
        """The guest's memory went over whole: the same boot, and its counters neither back nor ahead."""
        return all(connection.same_boot and connection.continuous for connection in self.connections)

    @property
    def shortcomings(self) -> list[str]:
        """What this hop falls short in; empty if it is as promised."""
        found = []
        if self.migration["status"] != "completed":
            found.append(f"{self.migration['status']}: {self.migration['error']}")
        if any(seen.answered == 0 for seen in self.outside.values()):
            found.append("an address never answered")
        for host, seen in ((self.source, self.on_source), (self.destination, self.on_destination)):
            if seen is not None and seen.answered == 0:
                found.append(f"a neighbour on {host} never got an answer")
        if not self.tcp_alive:
            errors = {connection.error for connection in self.connections if not connection.alive}
            found.append(f"a TCP connection broke: {', '.join(map(str, errors))}")
        if not self.continuous:
            found.append("the guest's counters are not continuous")
        if self.left_behind:
            found.append(f"left behind on {self.source}: {', '.join(self.left_behind)}")
        return found


def make_networks(cloud: Cloud) -> dict[str, str]:
    """The two networks that the VM has its NICs on, made where they are not there; their ids by name."""
    known = {network["name"]: network["id"] for network in cloud.get("/network/v2.0/networks")["networks"]}
    return {
        name: known.get(name) or cloud.create_network(name, physical_network, cidr)
        for name, (physical_network, cidr, _) in NETWORKS.items()
    }


def make_neighbours(cloud: Cloud) -> Neighbourhood:
    """A place for a neighbour of the VM on each host, on network blue; to be made before any VM."""
    return Neighbourhood(cloud, make_networks(cloud)["blue"], FIRST_NEIGHBOUR)


def make_port(cloud: Cloud, network_id: str, address: str) -> dict[str, Any]:
    """A port with this address, for a NIC whose MAC must be known before the server is made."""
    fixed = [{"ip_address": address}]
    port: dict[str, Any] = cloud.post(
        "/network/v2.0/ports", {"port": {"network_id": network_id, "fixed_ips": fixed}}
    )["port"]
    return port


def boot_server(
    cloud: Cloud,
    name: str,
    host: str,
    ports: Sequence[tuple[dict[str, Any], str]],
    memory_mib: int = image.MEMORY_MIB,
) -> dict[str, Any]:
    """A server with the lab's guest and a NIC for each (port, address). It does not answer yet."""
    nics = [(port["mac_address"], f"{address}/24") for port, address in ports]
    server: dict[str, Any] = cloud.post(
        "/kedge/v1/servers",
        {
            "name": name,
            "host": host,
            "virt_type": "qemu",
            "memory_mib": memory_mib,
            "kernel": str(image.KERNEL),
            "initrd": str(image.INITRD),
            "cmdline": image.command_line(nics),
            "nics": [{"port": port["id"]} for port, _ in ports],
        },
    )
    return server


def make_server(
    cloud: Cloud, name: str, host: str, ports: Sequence[tuple[dict[str, Any], str]]
) -> dict[str, Any]:
    """A server with the lab's guest and a NIC for each (port, address), whose addresses answer."""
    server = boot_server(cloud, name, host, ports)
    for _, address in ports:
        cloud.wait_for(lambda address=address: answers(cloud, address), f"{name} on {address}", BOOT_S)  # type: ignore[misc]
    return server


def make_vm(cloud: Cloud, name: str = "vm1", host: str = "h1") -> dict[str, Any]:
    """The tour's VM: two NICs, on two networks."""
    networks = make_networks(cloud)
    ports = [(make_port(cloud, networks[net], address), address) for net, (_, _, address) in NETWORKS.items()]
    return make_server(cloud, name, host, ports)


def answers(cloud: Cloud, address: str) -> bool:
    """Whether an address answers a ping from the observer."""
    ping = ["ping", "-c1", "-W1", "-q", address]
    return cloud.lab.observer.run(ping, check=False).returncode == 0


def hop(
    cloud: Cloud,
    server: str,
    source: str,
    destination: str,
    *,
    addresses: Sequence[str] = ADDRESSES,
    interval_ms: float = 2.0,
    options: dict[str, Any] | None = None,
    neighbourhood: Neighbourhood | None = None,
) -> Hop:
    """Migrate the VM while its addresses are probed, neighbours ask it, and TCP connections to it are held."""
    neighbours = [
        neighbourhood.start(host, server) for host in (source, destination) if neighbourhood is not None
    ]
    connections = [Connection(cloud.lab.observer, address) for address in addresses]
    probe = Probe(cloud.lab.observer, addresses, interval_ms)
    time.sleep(SETTLE_S)
    migration = cloud.migrate(server, destination, **(options or {}))
    time.sleep(SETTLE_S)
    outside = probe.stop()
    near = [neighbour.stop() for neighbour in neighbours]
    talked = tuple(connection.stop() for connection in connections)
    old = source if migration["status"] == "completed" else destination
    left = left_behind(cloud, server, old, neighbourhood.things(old) if neighbourhood else ())
    return Hop(source, destination, migration, outside, talked, tuple(left), *near)


def left_behind(cloud: Cloud, server: str, host: str, others: Collection[str] = ()) -> list[str]:
    """What is left of a server on a host that it is not on, as bindings, devices, OVS ports and domains.

    Looks at the host itself. Other servers' things must not be on that host, but for devices and ports in `others`.
    """
    ports = cloud.get(f"/kedge/v1/servers/{server}")["ports"]
    bindings = [
        f"binding {binding['port_id']}"
        for port in ports
        for binding in port["bindings"]
        if binding["host"] == host
    ]
    node = cloud.lab.hosts[host]
    return [
        *bindings,
        *(f"device {name}" for name in node.devices() if name not in others),
        *(f"OVS port {name}" for name in node.ovs_ports() if name not in others),
        *(f"domain {name}" for name in node.domains()),
    ]


def every_pair(hosts: Sequence[str]) -> list[str]:
    """A way over the hosts, back to the first, that takes every ordered pair exactly once (an Eulerian circuit)."""
    todo = {host: [other for other in hosts if other != host] for host in hosts}
    way: list[str] = []
    trail = [hosts[0]]
    while trail:
        if todo[trail[-1]]:
            trail.append(todo[trail[-1]].pop())
        else:
            way.append(trail.pop())
    return way[::-1]
