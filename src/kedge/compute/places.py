"""Choosing a host for a server by what records say, and what the hosts say of their memory."""

import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from kedge.core.placement import Fleet, Placement, place
from kedge.model.errors import KedgeError
from kedge.model.host import Host
from kedge.model.host_facts import FactsRequest, MemoryFacts
from kedge.model.server import Server
from kedge.network.service import NetworkService

from .agents import Agents
from .rooms import Rooms

_AT_ONCE = 16
"""So many hosts are asked for their memory at one time."""

LATELY_S = 5.0
"""What a host said of its memory orders hosts for so long. What a migration is promised is asked anew by its plan."""


class Places:
    """Places servers in the fleet as it is now."""

    def __init__(self, network: NetworkService, agents: Agents, rooms: Rooms) -> None:
        self._network = network
        self._agents = agents
        self._rooms = rooms
        self._said: dict[str, tuple[float, MemoryFacts]] = {}
        self._lock = threading.Lock()

    def place(self, server: Server, among: Collection[str] | None = None) -> Placement:
        """Where this server could go, among these hosts or all others."""
        fleet = self.fleet([server])
        return place(fleet.servers[server.id], fleet, among) if server.id in fleet.servers else Placement()

    def fleet(self, to_place: Sequence[Server], *, with_migrations: bool = True) -> Fleet:
        """The fleet, with the NICs of those servers to be placed; perhaps without promises to migrations under way."""
        hosts, copying = self._agents.hosts(), self._rooms.copying()
        memory = self._memory([host for host in hosts if host.alive])
        nics = {
            server.id: tuple(
                (port, self._network.network(port.network_id)) for port in self._network.ports_of(server.id)
            )
            for server in to_place
        }
        return self._rooms.fleet(hosts, memory, nics, copying, with_migrations=with_migrations)

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
