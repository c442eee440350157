"""A place for a neighbour of the VM on each host of the lab: a port of the network, plugged by the host's agent."""

from dataclasses import dataclass
from typing import Any

from kedge.model.errors import HostFailure
from kedge.model.network import (
    Binding,
    BindingStatus,
    Network,
    NetworkType,
    Port,
    Segment,
    Vif,
    VifType,
    vif_of,
)
from kedge.wire.messages import PlugOrder, UnplugOrder

from .agent_calls import AgentCalls
from .cloud import Cloud
from .host import LabHost
from .neighbour import Neighbour, Place


@dataclass(frozen=True)
class _Plugged:
    vif: Vif
    address: str
    things: frozenset[str]


class Neighbourhood:
    """Ports for neighbours on one network, with addresses from `first` on, one on each host.

    Made while the hosts are bare, for what comes with a port (a bridge) is told from what VMs bring by that.
    """

    def __init__(self, cloud: Cloud, network_id: str, first: str) -> None:
        self._cloud = cloud
        self._network = _network(cloud.get(f"/network/v2.0/networks/{network_id}")["network"])
        prefix, _, number = first.rpartition(".")
        with AgentCalls(cloud.lab) as agents:
            self._plugged = {
                host: self._plug(agents, cloud.lab.hosts[host], f"{prefix}.{int(number) + index}")
                for index, host in enumerate(cloud.lab.hosts)
            }

    def _plug(self, agents: AgentCalls, host: LabHost, address: str) -> _Plugged:
        wanted = {
            "network_id": self._network.id,
            "device_owner": "compute:neighbour",
            "fixed_ips": [{"ip_address": address}],
            # The binding explains the VIF to the host's agent, which else would remove it.
            "binding:host_id": host.name,
        }
        made = self._cloud.post("/network/v2.0/ports", {"port": wanted})["port"]
        port = Port(made["id"], self._network.id, made["mac_address"], fixed_ips=(address,))
        kind, details = VifType(made["binding:vif_type"]), made["binding:vif_details"]
        vif = vif_of(port, self._network, Binding(port.id, host.name, BindingStatus.ACTIVE, kind, details))
        before = _things(host)
        agents.call(host.name, lambda agent: agent.plug(PlugOrder((vif,))).complete())
        if kind is VifType.MACVTAP:
            # As the agent does when a VM runs there.
            host.run(["ip", "link", "set", vif.tap_name, "type", "macvtap", "mode", "bridge"])
        return _Plugged(vif, address, _things(host) - before)

    def things(self, host: str) -> frozenset[str]:
        """The devices and Open vSwitch ports that are on a host for its neighbour."""
        return self._plugged[host].things

    def start(self, host: str, server: str, interval_ms: float = 5.0) -> Neighbour:
        """The host's neighbour begins to ask the server, at its address on this network."""
        vm = self._vm(server)
        plugged = self._plugged[host]
        own = Place(plugged.vif.mac_address, plugged.address)
        return Neighbour(self._cloud.lab.hosts[host], plugged.vif.tap_name, own, vm, interval_ms)

    def _vm(self, server: str) -> Place:
        ports = self._cloud.get(f"/kedge/v1/servers/{server}")["ports"]
        for port in ports:
            if port["network_id"] == self._network.id:
                return Place(port["mac_address"], port["fixed_ips"][0])
        raise HostFailure(f"server {server} has no port on network {self._network.name}")

    def remove(self) -> None:
        """Unplug and delete the ports."""
        with AgentCalls(self._cloud.lab) as agents:
            for host, plugged in self._plugged.items():
                port_id = plugged.vif.port_id
                order = UnplugOrder((port_id,))
                agents.call(host, lambda agent, order=order: agent.unplug(order).complete())  # type: ignore[misc]
                self._cloud.delete(f"/network/v2.0/ports/{port_id}")


def _network(told: dict[str, Any]) -> Network:
    kind = NetworkType(told["provider:network_type"])
    segment = Segment(kind, told["provider:physical_network"], told["provider:segmentation_id"])
    return Network(told["id"], told["name"], segment, told["mtu"])


def _things(host: LabHost) -> frozenset[str]:
    return frozenset({*host.devices(), *host.ovs_ports()})
