"""Choosing a host: the filters leave hosts out, and the weights order the others."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kedge.model.obstacle import Obstacle

from .filters import FILTERS, Filter
from .fleet import Fleet, HostState, PlacedServer
from .weights import Weight, weigh


@dataclass(frozen=True)
class LeftOut:
    """A host that can't take the server, and everything that speaks against it."""

    host: str
    obstacles: tuple[Obstacle, ...]


@dataclass(frozen=True)
class Ranked:
    """A host that can take the server, as far as records tell."""

    host: str
    weight: Weight


@dataclass(frozen=True)
class Placement:
    """The hosts for a server, the best first, and those that were left out, by name."""

    ranked: tuple[Ranked, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def best(self) -> str | None:
        """The first, if there is one."""
        return self.ranked[0].host if self.ranked else None


def place(server: PlacedServer, fleet: Fleet, among: Collection[str] | None = None) -> Placement:
    """Where the server could go: among these hosts, or any but its own.

    Hosts of equal weight come by the number of their servers, then by name. A host that is not in the fleet is an error
    of the caller (KeyError).
    """
    names = sorted(fleet.hosts.keys() - {server.host}) if among is None else sorted(set(among))
    ranked: list[Ranked] = []
    left_out: list[LeftOut] = []
    for name in names:
        state = fleet.hosts[name]
        obstacles = stands_against(server, state, fleet)
        if obstacles:
            left_out.append(LeftOut(name, obstacles))
        else:
            ranked.append(Ranked(name, weigh(server, state, fleet)))
    ranked.sort(key=lambda each: (-round(each.weight.total, 9), fleet.load(each.host).servers, each.host))
    return Placement(tuple(ranked), tuple(left_out))


def stands_against(
    server: PlacedServer, state: HostState, fleet: Fleet, filters: Sequence[Filter] = FILTERS
) -> tuple[Obstacle, ...]:
    """Everything that keeps this host from taking the server."""
    return tuple(obstacle for filter_ in filters for obstacle in filter_(server, state, fleet))
