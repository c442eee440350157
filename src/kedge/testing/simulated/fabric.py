"""Hosts in memory, with the transfers between them: what tests of the control plane put in place of a lab.

fabric = SimulatedFabric(network)          # five hosts, one for each kind of backend, that report to it
agents = Agents(network, lambda _, url: fabric.connect(url))
fabric["h2"].agent.faults.lose_reply("plug")     # something goes wrong
fabric.break_transfer(Step.PAUSED)
"""

from collections.abc import Mapping, Sequence

from kedge.model.errors import Unreachable
from kedge.model.host import HostBackend

from .agent import SimulatedAgent
from .hypervisor import SimulatedHypervisor
from .surroundings import Registry, Surroundings
from .transfer import Step

_ETH = {"physnet1": "eth1", "physnet2": "eth2"}
_ENS = {"physnet1": "ens5", "physnet2": "ens6"}
_OVS = {"physnet1": "br-physnet1", "physnet2": "br-physnet2"}

FIVE_HOSTS: Mapping[str, Sequence[HostBackend]] = {
    "h1": [HostBackend("macvtap", _ETH)],
    "h2": [HostBackend("macvtap", _ENS)],
    "h3": [HostBackend("openvswitch", _OVS)],
    "h4": [HostBackend("openvswitch", _OVS, hybrid_plug=True)],
    "h5": [HostBackend("linuxbridge", _ETH)],
}
"""One host for each kind of backend, two physical networks on each."""


class SimulatedHost(SimulatedHypervisor):
    """One host with its agent, which is what the control plane talks to."""

    def __init__(
        self, name: str, backends: Sequence[HostBackend], surroundings: "Surroundings[SimulatedHost]"
    ) -> None:
        super().__init__(name, backends, surroundings.violations)
        self.agent = SimulatedAgent(self, surroundings)


class SimulatedFabric(Surroundings[SimulatedHost]):
    """All hosts with their agents."""

    def __init__(
        self, registry: Registry | None, hosts: Mapping[str, Sequence[HostBackend]] = FIVE_HOSTS
    ) -> None:
        super().__init__(registry)
        for name, backends in hosts.items():
            self.add(name, backends)

    def __getitem__(self, name: str) -> SimulatedHost:
        return self.hosts[name]

    def add(self, name: str, backends: Sequence[HostBackend]) -> SimulatedHost:
        """A further host; it reports at once."""
        host = self.hosts[name] = SimulatedHost(name, backends, self)
        host.agent.report()
        return host

    def connect(self, url: str) -> SimulatedAgent:
        """The agent that listens at this URL, for `kedge.compute.hosts.agents.Agents`. Raises Unreachable."""
        for host in self.hosts.values():
            if host.agent.url == url:
                return host.agent
        raise Unreachable(f"nobody listens at {url}")


__all__ = ["FIVE_HOSTS", "Registry", "SimulatedAgent", "SimulatedFabric", "SimulatedHost", "Step"]
