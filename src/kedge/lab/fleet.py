"""Many VMs on the lab's cloud, each watched from outside while operations move them.

Used by the demo, the chaos trials and the tests, so that all of them look at the same things.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from . import tour
from .cloud import Cloud
from .connection import Connection, ConnectionResult
from .echo import AddressResult
from .probe import Probe

BOOT_S = 300.0
TALK_MS = 50.0
"""Every VM has a client that talks to it this often."""


@dataclass(frozen=True)
class Vm:
    """A VM with one NIC on network blue."""

    id: str
    name: str
    address: str
    port: str
    memory_mib: int


@dataclass(frozen=True)
class Seen:
    """What was seen of one VM from outside."""

    outside: AddressResult
    connection: ConnectionResult

    @property
    def shortcomings(self) -> list[str]:
        """How its network was not kept; empty if it was."""
        found = []
        if self.outside.answered == 0:
            found.append("it never answered")
        if not self.connection.alive:
            found.append(f"its TCP connection broke: {self.connection.error}")
        if not (self.connection.same_boot and self.connection.continuous):
            found.append("its counter is not continuous")
        return found


@dataclass
class Watch:
    """What was seen of each VM, by name; filled when the watch ends."""

    seen: dict[str, Seen] = field(default_factory=dict)

    @property
    def shortcomings(self) -> list[str]:
        """Whose network was not kept, and how."""
        return [f"{name}: {each}" for name, seen in self.seen.items() for each in seen.shortcomings]


def make_vms(cloud: Cloud, places: Sequence[tuple[str, int]], first: str, prefix: str = "vm") -> list[Vm]:
    """A VM for each (host, MiB of memory), with addresses from `first` on; all of them boot at once, and answer."""
    network = tour.make_networks(cloud)["blue"]
    front, _, last = first.rpartition(".")
    vms = []
    for number, (host, memory_mib) in enumerate(places):
        address = f"{front}.{int(last) + number}"
        port = tour.make_port(cloud, network, address)
        name = f"{prefix}{number + 1}"
        server = tour.boot_server(cloud, name, host, [(port, address)], memory_mib)
        vms.append(Vm(server["id"], name, address, port["id"], memory_mib))
    for vm in vms:
        cloud.wait_for(lambda vm=vm: tour.answers(cloud, vm.address), vm.name, BOOT_S)  # type: ignore[misc]
    return vms


@contextmanager
def watched(cloud: Cloud, vms: Sequence[Vm], interval_ms: float = 5.0) -> Iterator[Watch]:
    """While the block runs, every VM is asked all the time and a TCP connection to it is held."""
    watch = Watch()
    observer = cloud.lab.observer
    connections = {vm.name: Connection(observer, vm.address, TALK_MS) for vm in vms}
    probe = Probe(observer, [vm.address for vm in vms], interval_ms)
    try:
        yield watch
    finally:
        outside = probe.stop()
        talked = {name: connection.stop() for name, connection in connections.items()}
        watch.seen = {vm.name: Seen(outside[vm.address], talked[vm.name]) for vm in vms}


def places(cloud: Cloud, vms: Sequence[Vm]) -> dict[str, str]:
    """Where each VM is, by its name, as Kedge says."""
    hosts = {each["id"]: each["host"] for each in cloud.get("/kedge/v1/servers")}
    return {vm.name: hosts[vm.id] for vm in vms}


def misplaced(cloud: Cloud, vms: Sequence[Vm]) -> list[str]:
    """What of a VM is where it is not, and what it lacks where it is, as the hosts and bindings themselves show."""
    found = []
    where = places(cloud, vms)
    for name, host in cloud.lab.hosts.items():
        things, domains = [*host.devices(), *host.ovs_ports()], host.domains()
        for vm in vms:
            own = [each for each in things if vm.port[:11] in each]
            if where[vm.name] == name:
                found += [] if vm.name in domains else [f"{vm.name} does not run on {name}"]
            else:
                found += [f"{name} still has {each} of {vm.name}" for each in own]
                found += [f"{name} still has the domain of {vm.name}"] if vm.name in domains else []
    for vm in vms:
        (port,) = cloud.get(f"/kedge/v1/servers/{vm.id}")["ports"]
        bindings = [(each["host"], each["status"]) for each in port["bindings"]]
        if bindings != [(where[vm.name], "ACTIVE")]:
            found.append(f"{vm.name} on {where[vm.name]} has the bindings {bindings}")
    return found
