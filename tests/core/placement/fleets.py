"""Small fleets for placement."""

from collections.abc import Mapping

from kedge.core.placement import Fleet, HostState, PlacedServer, Promise
from kedge.model.host import Host, HostBackend
from kedge.model.host_facts import MemoryFacts
from kedge.model.network import Network, NetworkType, Port, Segment
from kedge.model.placement import Demand, HostLimits, HostSettings

GIB = 1 << 30
NETWORK = Network("n1", "net", Segment(NetworkType.FLAT, "physnet1"), mtu=1500)
PORT = Port("p1", "n1", "52:54:00:00:00:01")


def host(
    name: str,
    *,
    gib: int = 0,
    available: int | None = None,
    driver: str = "openvswitch",
    mtu: int = 1500,
    alive: bool = True,
    forced_down: bool = False,
    libvirt: int = 9_000_000,
    disabled: str | None = None,
    limits: HostLimits | None = None,
    arriving: int = 0,
) -> HostState:
    backend = HostBackend(driver, {"physnet1": "eth1"}, {"physnet1": mtu})
    return HostState(
        Host(name, alive=alive, backends=(backend,), libvirt_version=libvirt, forced_down=forced_down),
        HostSettings(disabled=disabled, limits=limits or HostLimits()),
        MemoryFacts(gib * GIB, (gib if available is None else available) * GIB, arriving * GIB),
    )


def server(
    name: str, on: str, *, gib: int = 1, vcpus: int = 1, labels: Mapping[str, str] | None = None
) -> PlacedServer:
    return PlacedServer(name, name, on, Demand(gib * GIB, vcpus), labels or {}, ((PORT, NETWORK),))


def promise(server_id: str, to: str, *, gib: int = 1, in_facts: bool = False, **labels: str) -> Promise:
    return Promise(
        server_id, to, Demand(gib * GIB, 1), {k.replace("_", "-"): v for k, v in labels.items()}, in_facts
    )


def fleet(*things: HostState | PlacedServer | Promise) -> Fleet:
    return Fleet(
        [each for each in things if isinstance(each, HostState)],
        [each for each in things if isinstance(each, PlacedServer)],
        [each for each in things if isinstance(each, Promise)],
    )
