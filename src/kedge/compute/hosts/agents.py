"""The agents of all hosts, as the conductor calls them."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from kedge.model.domain import DomainSummary, HostView, TransferOrder, VifReport
from kedge.model.errors import Conflict, KedgeError, Unreachable
from kedge.model.host import Host
from kedge.model.host_facts import FactsRequest, HostFacts
from kedge.model.host_network import HostNetwork
from kedge.network.service import HostRegistry
from kedge.wire.messages import (
    MOST_VIFS,
    AnnounceOrder,
    DiscardOrder,
    HostReport,
    ObserveRequest,
    PlugOrder,
    ResumeOrder,
    RewireOrder,
    RewireResults,
    Side,
    SidesRequest,
    TransferTuning,
    UnplugOrder,
    VifResults,
)
from kedge.wire.plans import Arrival, Departure, DepartureRequest

_LATELY_S = 1.0
"""A host's address, and whether it is forced down, may be read so long before its agent is asked for something."""


class Agent(Protocol):
    """One host's agent. Each call is idempotent; raises Unreachable when no answer comes."""

    def host(self) -> HostReport:
        """What the agent says of its host."""
        ...

    def facts(self, request: FactsRequest) -> HostFacts:
        """What the host can do, and what is at these paths."""
        ...

    def domains(self) -> list[DomainSummary]:
        """All domains of the host, Kedge's or not."""
        ...

    def domain_xml(self, uuid: str, *, migratable: bool = False) -> str:
        """A domain's XML. Raises NotFound."""
        ...

    def network(self) -> HostNetwork:
        """How the host's devices hang together."""
        ...

    def create_domain(self, uuid: str, xml: str) -> None:
        """Define and start; one that runs already is left alone."""
        ...

    def delete_domain(self, uuid: str) -> None:
        """Destroy and undefine; nothing happens if it is not there."""
        ...

    def discard_domain(self, uuid: str, order: DiscardOrder) -> None:
        """Remove what a migration left. Raises Conflict unless the domain is in one of `order.only_in`."""
        ...

    def resume_domain(self, uuid: str, order: ResumeOrder) -> None:
        """Run a VM again that a dead migration left paused."""
        ...

    def observe(self, uuid: str, request: ObserveRequest) -> HostView:
        """Look at everything that the host holds of this server."""
        ...

    def departure(self, uuid: str, request: DepartureRequest) -> Departure:
        """All that a plan asks of the source."""
        ...

    def arrival(self, uuid: str, request: FactsRequest) -> Arrival:
        """All that a plan asks of the destination."""
        ...

    def start_transfer(self, order: TransferOrder) -> None:
        """Start a live migration."""
        ...

    def tune_transfer(self, migration_id: str, tuning: TransferTuning) -> None:
        """Change a running transfer."""
        ...

    def abort_transfer(self, migration_id: str, epoch: int, server_id: str | None = None) -> None:
        """Abort a transfer that has not switched over."""
        ...

    def vifs(self) -> list[VifReport]:
        """The VIFs that Kedge made on the host."""
        ...

    def plug(self, order: PlugOrder) -> VifResults:
        """Plug, wire and verify VIFs; the results say which of them failed, and why."""
        ...

    def unplug(self, order: UnplugOrder) -> VifResults:
        """Remove whatever Kedge made on the host for ports; the results say for which that failed, and why."""
        ...

    def sides(self, request: SidesRequest) -> dict[str, Side]:
        """In which of two switches the tap of each of these ports is."""
        ...

    def rewire(self, order: RewireOrder) -> RewireResults:
        """Take a step of moving taps between switches; the results say for which ports that failed, and why."""
        ...

    def announce(self, order: AnnounceOrder) -> None:
        """Tell the network that the VM is here now."""
        ...


def unplug_all(agent: Agent, port_ids: Sequence[str], epoch: int = 0) -> VifResults:
    """Unplug all of these ports, in one order or, beyond its limit, several. Raises as the agent; HostFailure."""
    done: list[VifReport] = []
    for first in range(0, len(port_ids), MOST_VIFS):
        order = UnplugOrder(tuple(port_ids[first : first + MOST_VIFS]), epoch)
        done += agent.unplug(order).complete().done
    return VifResults(tuple(done))


class Agents:
    """Finds a host and its agent by name."""

    def __init__(self, hosts: HostRegistry, connect: Callable[[str, str], Agent]) -> None:
        """`connect` makes the client of the agent of a host, from its name and URL."""
        self._hosts = hosts
        self._connect = connect
        self._connected: dict[tuple[str, str], Agent] = {}
        self._read: dict[str, tuple[float, Host]] = {}

    def host(self, name: str) -> Host:
        """The host of this name. Raises NotFound, naming those that there are."""
        return self._hosts.host(name)

    def hosts(self, names: Collection[str] | None = None) -> list[Host]:
        """All hosts by name, or those of these that there are."""
        return self._hosts.hosts(names)

    def agent(self, name: str) -> Agent:
        """The agent of the host of this name.

        Raises NotFound; Unreachable if it never said where it listens, or its host is said to be off.
        """
        host = self._lately(name)
        if host.forced_down:
            raise Unreachable(f"Host {name} is forced down; if it is back, say so: `kedge hosts up {name}`.")
        return self._connection(host)

    def _lately(self, name: str) -> Host:
        """The host as it was a moment ago: a migration asks for its two hosts' agents three dozen times."""
        read_at, host = self._read.get(name, (float("-inf"), None))
        if host is None or time.monotonic() - read_at > _LATELY_S:
            read_at, host = time.monotonic(), self.host(name)
            self._read[name] = (read_at, host)
        return host

    def force_down(self, name: str, forced_down: bool) -> Host:
        """Take an operator's word that a host is off, or that it is back.

        Raises NotFound; Conflict if its agent answers, for then it is not off.
        """
        if forced_down and self._answers(self.host(name)):
            raise Conflict(
                f"The agent of {name} answers, so {name} is not off. Power it off, or stop its agent if you are sure"
                " that no VM runs there, and say so again."
            )
        self._read.pop(name, None)
        return self._hosts.force_down(name, forced_down)

    def _answers(self, host: Host) -> bool:
        try:
            return self._connection(host).host().host == host.name
        except KedgeError:
            return False

    def _connection(self, host: Host) -> Agent:
        url = host.url
        if not url:
            raise Unreachable(f"The agent of host {host.name} has not said where it listens; is it running?")
        wanted = (host.name, url)
        if wanted not in self._connected:
            self._connected[wanted] = self._connect(*wanted)
        return self._connected[wanted]
