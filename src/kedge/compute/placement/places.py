"""Choosing a host for a server by what records say, and what the hosts say of their memory."""

import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from kedge.core.placement import Fleet, Nics, Placement, place
from kedge.model.errors import KedgeError
from kedge.model.host import Host
from kedge.model.host_facts import FactsRequest, MemoryFacts
from kedge.model.network import Network
from kedge.model.operation import OperationLimits
from kedge.model.server import Server
from kedge.network.service import NetworkService

from ..hosts.agents import Agents
from ..records.rooms import Rooms
from .shortlist import Shortlist

_AT_ONCE = 16
"""So many hosts are asked for their memory at one time."""

FIRST = 32
"""So many hosts are looked at first for servers that may go anywhere, besides those for many at once."""

PER_HOST = 8
"""So many of these servers are hoped to fit on one host."""

WIDER = 4
"""So many times as many are looked at next, if a server finds no place on those."""

MOST = 8000
"""Rather than more than this, all hosts are looked at."""

LATELY_S = 5.0
"""What a host said of its memory orders hosts for so long. What a migration is promised is asked anew by its plan."""


class Places:
    """Places servers in the fleet as it is now."""

    def __init__(self, network: NetworkService, agents: Agents, rooms: Rooms) -> None:
        self._network = network
        self._agents = agents
        self._rooms = rooms
        self._shortlist = Shortlist(rooms.engine)
        self._said: dict[str, tuple[float, MemoryFacts]] = {}
        self._lock = threading.Lock()

    def place(self, server: Server, *, most: int | None = None) -> Placement:
        """Where this server could go; no more of the fleet is looked at than `most` such hosts are found in."""
        parts = iter([self.fleet([server])]) if most is None else self.fleets([server], OperationLimits())
        found = Placement()
        for fleet in parts:
            if server.id in fleet.servers:
                found = place(fleet.servers[server.id], fleet.unplanned(server.id))
            if most is not None and len(found.ranked) >= most:
                break
        return found

    def fleet(self, to_place: Sequence[Server], *, with_migrations: bool = True) -> Fleet:
        """The fleet, with the NICs of those servers to be placed; perhaps without promises to migrations under way."""
        return self._fleet(None, self._nics(to_place), (), with_migrations=with_migrations)

    def fleets(
        self,
        to_place: Sequence[Server],
        limits: OperationLimits,
        targets: Collection[str] = (),
        *,
        besides: Collection[str] = (),
        with_hosts: Collection[str] = (),
        with_migrations: bool = True,
    ) -> Iterator[Fleet]:
        """Ever more of the fleet, and the whole at last: a part that has a place for all servers will do.

        Each part has the hosts of these servers and of their affinity groups, those `with_hosts`, and all `targets` if
        there are any, which is the last one then. Else it has so many hosts with few servers that this operation could
        not keep all of them busy. `besides` are servers that are part of it, too.
        """
        nics = self._nics(to_place)
        own = {server.host for server in to_place}.union(with_hosts)
        known = {server.id for server in to_place}.union(besides)
        if targets:
            yield self._fleet(own.union(targets), nics, known, with_migrations=with_migrations)
            return
        own |= self._rooms.hosts_of_groups(to_place)
        at_once = min(limits.in_all, len(to_place))
        most = FIRST + len(to_place) // PER_HOST + 2 * at_once // limits.per_destination
        while most < self._shortlist.hosts() and most < MOST:
            names = own.union(self._shortlist.first(most))
            yield self._fleet(names, nics, known, with_migrations=with_migrations)
            most *= WIDER
        yield self._fleet(None, nics, (), with_migrations=with_migrations)

    def _nics(self, servers: Sequence[Server]) -> dict[str, Nics]:
        networks: dict[str, Network] = {}

        def network(network_id: str) -> Network:
            if network_id not in networks:
                networks[network_id] = self._network.network(network_id)
            return networks[network_id]

        return {
            server.id: tuple((port, network(port.network_id)) for port in self._network.ports_of(server.id))
            for server in servers
        }

    def _fleet(
        self,
        names: Collection[str] | None,
        nics: Mapping[str, Nics],
        besides: Collection[str],
        *,
        with_migrations: bool,
    ) -> Fleet:
        hosts, copying = self._agents.hosts(names), self._rooms.copying()
        memory = self._memory([host for host in hosts if host.alive])
        wanted = besides if names is not None else None
        return self._rooms.fleet(
            hosts, memory, nics, copying, besides=wanted, with_migrations=with_migrations
        )

    def _memory(self, hosts: Sequence[Host]) -> dict[str, MemoryFacts]:
        """Of those hosts that say it; a host that does not answer in time is taken as one of which nothing is known."""
        with self._lock:
            fresh = time.monotonic() - LATELY_S
            found = {
                host.name: self._said[host.name][1]
                for host in hosts
                if host.name in self._said and self._said[host.name][0] > fresh
            }
        unasked = [host.name for host in hosts if host.name not in found]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="memory") as pool:
            answers = dict(zip(unasked, pool.map(self._ask, unasked), strict=True))
        asked_at = time.monotonic()
        with self._lock:
            for name, answer in answers.items():
                if answer is not None:
                    self._said[name] = (asked_at, answer)
        return found | {name: answer for name, answer in answers.items() if answer is not None}

    def _ask(self, host: str) -> MemoryFacts | None:
        try:
            return self._agents.agent(host).facts(FactsRequest()).memory
        except KedgeError:
            return None
