"""The part of a large fleet that matters while a few of its hosts have their turn.

What a transition decides depends on the hosts whose turn it is, their servers, and the hosts that may take those. So
the cost of a decision does not grow with the fleet: a host comes into the excerpt before its turn, and leaves it once
its servers are back. If a server finds no place, the excerpt grows, up to the whole fleet.
"""

from collections.abc import Collection, Iterable

from kedge.core.placement import Fleet, HostState

FIRST = 32
"""So many hosts with the fewest servers are always in it, for the servers of others."""

WIDER = 4
"""So many times as many are there once a server has found no place on those."""


class Excerpt:
    """Which hosts of a fleet are looked at. What is done with the fleet meanwhile is the caller's."""

    def __init__(self, whole: Fleet) -> None:
        self._whole = whole
        self._by_servers = sorted(whole.hosts, key=lambda name: (whole.load(name).servers, name))
        self._most = FIRST
        self._kept = set(self._by_servers[: self._most])
        self._left: dict[str, HostState] = {}
        self._leaving: set[str] = set()

    def begin(self, names: Iterable[str]) -> Fleet:
        """The first one, with these hosts, too."""
        return self._whole.part(self._kept.union(names))

    def add(self, fleet: Fleet, names: Iterable[str]) -> Fleet:
        """The same with these hosts, as they were when they left it."""
        new = [name for name in names if name not in fleet.hosts]
        if not new:
            return fleet
        fleet = fleet.joined(self._whole.part(new))
        for name in new:
            if name in self._left:
                fleet = fleet.with_host(self._left.pop(name))
        return fleet

    def remove(self, fleet: Fleet, names: Iterable[str], busy: Collection[str]) -> Fleet:
        """The same without these hosts, which have their servers again, but for those `busy` with other servers."""
        self._leaving.update(name for name in names if name not in self._kept)
        gone = [name for name in self._leaving if name not in busy]
        if not gone:
            return fleet
        self._leaving.difference_update(gone)
        self._left |= {name: fleet.hosts[name] for name in gone}
        return fleet.without(gone)

    def widen(self, fleet: Fleet) -> Fleet | None:
        """A larger one; None if it is the whole fleet."""
        if self._most >= len(self._by_servers):
            return None
        self._most *= WIDER
        self._kept = set(self._by_servers[: self._most])
        self._leaving -= self._kept
        return self.add(fleet, self._kept)
