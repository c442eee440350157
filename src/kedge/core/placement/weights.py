"""Weights: which of the hosts that can take a server is the best.

Each weigher gives a host a number from -1 to 1; a host's weight is their sum, each times its factor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .capacity import memory_left
from .filters import driver_of
from .fleet import Fleet, HostState, PlacedServer
from .groups import closeness

Weigher = Callable[[PlacedServer, HostState, Fleet], float]


@dataclass(frozen=True)
class Weight:
    """A host's weight; `parts` says what it is made of, by the weighers' names."""

    total: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)


def memory(server: PlacedServer, state: HostState, fleet: Fleet) -> float:
    """The share of its memory that would be left; where its memory is not known, how empty of servers it is."""
    load = fleet.load(state.host.name)
    left = memory_left(state.memory, state.settings.limits, load)
    if left is None:
        return 1 / (1 + load.servers)
    return max(-1.0, min(1.0, (left - server.demand.memory) / state.memory.total))


def group(server: PlacedServer, state: HostState, fleet: Fleet) -> float:
    """How well it meets the wishes of the server's groups."""
    return closeness(server, state.host.name, fleet)


def backend(server: PlacedServer, state: HostState, fleet: Fleet) -> float:
    """The share of its NICs that are attached there as they are where it is."""
    source = fleet.hosts.get(server.host)
    if source is None or not server.nics:
        return 0.0
    same = [
        driver_of(port, of_port, source.host, fleet)
        == driver_of(port, of_port, state.host, fleet)
        is not None
        for port, of_port in server.nics
    ]
    return sum(same) / len(same)


WEIGHERS: Mapping[str, tuple[float, Weigher]] = {
    "memory": (1.0, memory),
    "group": (2.0, group),
    "backend": (0.25, backend),
}
"""Each weigher with its factor: an equal backend outweighs a quarter of a host's memory, a group's wish all of it."""


def weigh(server: PlacedServer, state: HostState, fleet: Fleet) -> Weight:
    """The weight of a host for this server."""
    parts = {name: factor * of(server, state, fleet) for name, (factor, of) in WEIGHERS.items()}
    return Weight(sum(parts.values()), parts)
