"""Filters: why a host can't take a server, as far as records tell it. What only its agent knows, a plan asks.

Each is a function of (server, host, fleet) that gives the obstacles it finds, with the codes of `docs/plan.md`.
"""

from collections.abc import Callable, Sequence

from kedge.core.binding import bind_port
from kedge.model.errors import CannotBind
from kedge.model.host import Host
from kedge.model.network import Network, Port
from kedge.model.obstacle import Obstacle
from kedge.model.placement import HostSettings

from .capacity import shortages
from .fleet import Fleet, HostState, PlacedServer
from .groups import beside

_MOST_DRIVERS = 20_000

Filter = Callable[[PlacedServer, HostState, Fleet], Sequence[Obstacle]]


def elsewhere(server: PlacedServer, state: HostState, _fleet: Fleet) -> Sequence[Obstacle]:
    """That it is there already."""
    if state.host.name != server.host:
        return ()
    name = f"server {server.name}"
    return (Obstacle("same-host", name, f"is on {server.host} already", "choose another host"),)


def alive(_server: PlacedServer, state: HostState, _fleet: Fleet) -> Sequence[Obstacle]:
    """That the host is off, or that its agent is silent."""
    found = silence(state.host)
    return () if found is None else (found,)


def enabled(_server: PlacedServer, state: HostState, _fleet: Fleet) -> Sequence[Obstacle]:
    """That the host is disabled."""
    found = disabled(state.host.name, state.settings)
    return () if found is None else (found,)


def able(_server: PlacedServer, state: HostState, _fleet: Fleet) -> Sequence[Obstacle]:
    """That its libvirt does not answer its agent."""
    host = state.host
    if host.libvirt_version or not host.alive:
        return ()
    that = f"destination {host.name}"
    return (
        Obstacle(
            "destination-failed", that, f"libvirtd on {host.name} does not answer its agent", "start it there"
        ),
    )


def network(server: PlacedServer, state: HostState, fleet: Fleet) -> Sequence[Obstacle]:
    """That none of its backends binds a port: no mapping, too small an MTU on the way, out of use."""
    if not state.host.alive:
        return ()
    found = []
    for port, of_port in server.nics:
        if driver_of(port, of_port, state.host, fleet) is not None:
            continue
        try:
            bind_port(port, of_port, state.host)
        except CannotBind as error:
            found.append(Obstacle("nic-cannot-bind", f"NIC {port.mac_address}", str(error)))
    return found


def capacity(server: PlacedServer, state: HostState, fleet: Fleet) -> Sequence[Obstacle]:
    """That it has too little left."""
    name = state.host.name
    return shortages(name, server.demand, state.memory, state.settings.limits, fleet.load(name))


def groups(server: PlacedServer, state: HostState, fleet: Fleet) -> Sequence[Obstacle]:
    """That another server is there which this one must be apart from."""
    found = beside(server, state.host.name, fleet)
    return () if found is None else (found,)


def driver_of(port: Port, of_port: Network, host: Host, fleet: Fleet) -> str | None:
    """Which of the host's backends binds the port; None if none does. Asked once for each port and host."""
    known = fleet.drivers.get((port.id, id(host)))
    if known is not None:
        return known[1]
    try:
        driver = bind_port(port, of_port, host).driver
    except CannotBind:
        driver = None
    if len(fleet.drivers) >= _MOST_DRIVERS:
        fleet.drivers.clear()
    fleet.drivers[port.id, id(host)] = (host, driver)  # With the host, so that no other gets its id.
    return driver


FILTERS: tuple[Filter, ...] = (elsewhere, alive, enabled, able, network, capacity, groups)
"""All of them; their order is the one in which reasons are told."""


RECORDED: tuple[Filter, ...] = (enabled, groups, capacity)
"""Those that go by what Kedge itself has written down, of which the database is sure."""


def silence(host: Host) -> Obstacle | None:
    """That the host is forced down, or its agent dead."""
    that = f"destination {host.name}"
    if host.forced_down:
        return Obstacle(
            "forced-down", that, "is forced down", f"`kedge hosts up {host.name}` once it is back"
        )
    if not host.alive:
        problem = f"the agent of {host.name} is dead (no report lately)"
        return Obstacle("agent-dead", that, problem, "start `kedge agent` there, or choose another")
    return None


def disabled(host: str, settings: HostSettings) -> Obstacle | None:
    """That the host receives no server, and why."""
    if settings.disabled is None:
        return None
    return Obstacle(
        "host-disabled",
        f"destination {host}",
        f"is disabled: {settings.disabled}",
        f"choose another host, or `kedge hosts enable {host}`",
    )
