"""The fleet as placement sees it: hosts, servers, and which servers are promised a place on which host.

A `Fleet` never changes. `promising` and `moved` give another one, which is how a plan of many moves is thought
through: each move is placed in the fleet that the moves before it leave.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from kedge.model.host import Host
from kedge.model.host_facts import MemoryFacts
from kedge.model.network import Network, Port
from kedge.model.placement import Demand, HostSettings

Nics = tuple[tuple[Port, Network], ...]


@dataclass(frozen=True)
class PlacedServer:
    """A server where it is now. `nics` are its ports, each with its network."""

    id: str
    name: str
    host: str
    demand: Demand = field(default_factory=Demand)
    labels: Mapping[str, str] = field(default_factory=dict)
    nics: Nics = ()


@dataclass(frozen=True)
class HostState:
    """A host; `memory` is what its agent said last, with a total of 0 where that is not known."""

    host: Host
    settings: HostSettings = field(default_factory=HostSettings)
    memory: MemoryFacts = field(default_factory=MemoryFacts)


@dataclass(frozen=True)
class Promise:
    """A place for a server on a host that it is not on yet: for a migration under way, or one that is planned.

    `in_facts`: it arrives already, so what the host's agent says of its memory counts it. `planned`: an operation that
    has not ended means to move it there.
    """

    server_id: str
    host: str
    demand: Demand = field(default_factory=Demand)
    labels: Mapping[str, str] = field(default_factory=dict)
    in_facts: bool = False
    planned: bool = False


@dataclass(frozen=True)
class Load:
    """What a host has given away.

    Attributes:
        memory, vcpus: of the servers that are there, and of those that are promised a place.
        arriving: the part of the memory, in bytes, that the host's own facts do not count yet, without huge pages;
            less than 0 where more of what they count has left.
        arriving_huge: the same in huge pages, by their size.
        servers: how many.
        planned: the part of the memory that is only planned for servers of operations.
        groups: how many of them have this label, by (key, value).
    """

    memory: int = 0
    vcpus: int = 0
    arriving: int = 0
    arriving_huge: Mapping[int, int] = field(default_factory=dict)
    servers: int = 0
    planned: int = 0
    groups: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def with_server(self, demand: Demand, labels: Mapping[str, str]) -> "Load":
        """With one more that is there."""
        return self._changed(demand, labels, 1)

    def without_server(self, demand: Demand, labels: Mapping[str, str]) -> "Load":
        """With one less, whose memory the host's facts still count."""
        return self._changed(demand, labels, -1)._arriving(demand, -1)

    def with_promise(self, promise: Promise) -> "Load":
        """With one more that is promised."""
        return (
            self._with_planned(promise, 1)._changed(promise.demand, promise.labels, 1).with_arrived(promise)
        )

    def without_promise(self, promise: Promise) -> "Load":
        """With one less that was promised."""
        less = self._with_planned(promise, -1)._changed(promise.demand, promise.labels, -1)
        return less if promise.in_facts else less._arriving(promise.demand, -1)

    def _with_planned(self, promise: Promise, by: int) -> "Load":
        return replace(self, planned=self.planned + by * promise.demand.memory) if promise.planned else self

    def with_arrived(self, promise: Promise) -> "Load":
        """With one of the servers that are there having come by this promise."""
        return self if promise.in_facts else self._arriving(promise.demand, 1)

    def _arriving(self, demand: Demand, by: int) -> "Load":
        if demand.huge_page is None:
            return replace(self, arriving=self.arriving + by * demand.memory)
        huge = {**self.arriving_huge}
        huge[demand.huge_page] = huge.get(demand.huge_page, 0) + by * demand.memory
        return replace(self, arriving_huge=huge)

    def _changed(self, demand: Demand, labels: Mapping[str, str], by: int) -> "Load":
        groups = {**self.groups}
        for label in labels.items():
            groups[label] = groups.get(label, 0) + by
        return replace(
            self,
            memory=self.memory + by * demand.memory,
            vcpus=self.vcpus + by * demand.vcpus,
            servers=self.servers + by,
            groups=groups,
        )


class Fleet:
    """Hosts, servers and promises, of one moment."""

    def __init__(
        self, hosts: Iterable[HostState], servers: Iterable[PlacedServer], promised: Iterable[Promise] = ()
    ) -> None:
        """`promised` may name servers on their own host (a migration that has just arrived): they count once.

        Where what the host's agent said is from before that, their memory is not counted as available.
        """
        self.hosts: Mapping[str, HostState] = {each.host.name: each for each in hosts}
        self.servers: Mapping[str, PlacedServer] = {each.id: each for each in servers}
        loads: dict[str, Load] = {}
        for server in self.servers.values():
            loads[server.host] = loads.get(server.host, _EMPTY).with_server(server.demand, server.labels)
        planned: dict[str, Promise] = {}
        for promise in promised:
            load = loads.get(promise.host, _EMPTY)
            if not self._is_on(promise.server_id, promise.host):
                loads[promise.host] = load.with_promise(promise)
                if promise.planned:
                    planned[promise.server_id] = promise
            elif not promise.planned:
                loads[promise.host] = load.with_arrived(promise)
        self._loads: Mapping[str, Load] = loads
        self._planned: Mapping[str, Promise] = planned
        self._there: Mapping[str, list[PlacedServer]] | None = None
        self.drivers: dict[tuple[str, int], tuple[Host, str | None]] = {}
        """What was found out of how ports are bound on hosts, by the port's id and the host object's."""

    def load(self, host: str) -> Load:
        """What this host has given away."""
        return self._loads.get(host, _EMPTY)

    def on(self, host: str) -> list[PlacedServer]:
        """The servers that are on this host, by name."""
        return sorted(
            (each for each in self.servers.values() if each.host == host), key=lambda each: each.name
        )

    def part(self, hosts: Iterable[str]) -> "Fleet":
        """These hosts alone, with their servers and all that they have given away. KeyError for one that is unknown."""
        if self._there is None:
            there: dict[str, list[PlacedServer]] = {}
            for server in self.servers.values():
                there.setdefault(server.host, []).append(server)
            self._there = there
        names = list(hosts)
        servers = {each.id: each for name in names for each in self._there.get(name, ())}
        other = self._with({}, servers)
        other.hosts = {name: self.hosts[name] for name in names}
        other._loads = {name: self._loads[name] for name in names if name in self._loads}
        other._planned = {key: self._planned[key] for key in servers if key in self._planned}
        return other

    def joined(self, other: "Fleet") -> "Fleet":
        """Both parts of a fleet."""
        both = self._with(other._loads, {**self.servers, **other.servers})
        both.hosts, both._planned = {**self.hosts, **other.hosts}, {**self._planned, **other._planned}
        return both

    def without(self, hosts: Collection[str]) -> "Fleet":
        """The same without these hosts and the servers on them."""
        gone = set(hosts)
        left = self._with({}, {key: each for key, each in self.servers.items() if each.host not in gone})
        left.hosts = {name: state for name, state in self.hosts.items() if name not in gone}
        left._loads = {name: load for name, load in self._loads.items() if name not in gone}
        return left

    def promising(self, server_id: str, host: str) -> "Fleet":
        """The same with a place on `host` promised to this server, which keeps the one it has. KeyError if unknown."""
        server = self.servers[server_id]
        if self._is_on(server_id, host):
            return self
        promise = Promise(server_id, host, server.demand, server.labels)
        return self._with({host: self.load(host).with_promise(promise)})

    def unplanned(self, server_id: str) -> "Fleet":
        """The same without the place that is planned for this server, if one is: for finding it a place anew."""
        promise = self._planned.get(server_id)
        if promise is None:
            return self
        other = self._with({promise.host: self.load(promise.host).without_promise(promise)})
        other._planned = {key: each for key, each in self._planned.items() if key != server_id}
        return other

    def moved(self, server_id: str, host: str) -> "Fleet":
        """The same once this server is on `host` and has left where it was. KeyError if unknown.

        What the hosts' facts say is of before the move, so its memory counts as arriving there and as free here.
        """
        server = self.servers[server_id]
        after = self.promising(server_id, host)
        if after is self:
            return self
        left = self.load(server.host).without_server(server.demand, server.labels)
        servers = {**self.servers, server_id: replace(server, host=host)}
        return after._with({server.host: left}, servers)

    def enabled(self, host: str) -> "Fleet":
        """The same with this host receiving servers."""
        state = self.hosts[host]
        return self.with_host(replace(state, settings=replace(state.settings, disabled=None)))

    def with_host(self, state: HostState) -> "Fleet":
        """The same with this host in another state."""
        other = self._with({})
        other.hosts = {**self.hosts, state.host.name: state}
        return other

    def _is_on(self, server_id: str, host: str) -> bool:
        server = self.servers.get(server_id)
        return server is not None and server.host == host

    def _with(self, loads: Mapping[str, Load], servers: Mapping[str, PlacedServer] | None = None) -> "Fleet":
        other = Fleet.__new__(Fleet)
        other.hosts, other.servers = self.hosts, self.servers if servers is None else servers
        other._loads, other._planned = {**self._loads, **loads}, self._planned
        other._there, other.drivers = None, self.drivers
        return other


_EMPTY = Load()
