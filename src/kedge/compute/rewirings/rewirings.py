"""Begins rewirings: thinks one through, says what is in the way, and stores it for a conductor."""

from collections.abc import Mapping, Sequence

from kedge.core.binding.rules import carrier
from kedge.core.domain_xml import Attachment, attachments
from kedge.model.errors import CannotBind, CannotMigrate, Conflict, KedgeError, Unreachable
from kedge.model.host import Host
from kedge.model.network import Network, Port, Vif, VifType
from kedge.model.rewiring import RewiredPort, Rewiring, RewiringPlan, Wiring
from kedge.model.server import Server
from kedge.wire.messages import Rewire, Side, SidesRequest

from ..migrations.actor import Tools
from .records import RewiringRecords

_DRIVERS = {VifType.OVS: "openvswitch", VifType.BRIDGE: "linuxbridge"}
"""The types of VIFs that are taps in a switch, and the backend that an agent needs to handle them."""


def vif_as(port: Port, network: Network, wiring: Wiring) -> Vif:
    """The port's VIF if it is wired so."""
    return Vif(
        port_id=port.id,
        network_id=network.id,
        mac_address=port.mac_address,
        segment=network.segment,
        vif_type=wiring.vif_type,
        vif_details=dict(wiring.vif_details),
        mtu=network.mtu,
        fixed_ips=port.fixed_ips,
    )


class Rewirings:
    """Rewirings as people ask for them."""

    def __init__(self, tools: Tools, records: RewiringRecords) -> None:
        self._tools = tools
        self.records = records

    def begin(self, server: Server, backend: str) -> Rewiring:
        """Store a rewiring, which a conductor then drives.

        Raises CannotMigrate with everything that is in its way, and Conflict if nothing is to be done, or something
        else is being done with the server; before anything is made.
        """
        plan = self.plan(server, backend)
        if plan.obstacles:
            raise CannotMigrate(f"Server {server.name} can't be rewired on {server.host}", plan.obstacles)
        if not plan.ports:
            raise Conflict(
                f"Every port of server {server.name} is wired as {backend} on {server.host} has it already."
            )
        rewiring = self.records.add(server, backend, plan.ports)
        self._tools.rewiring_begun.set()
        return rewiring

    def plan(self, server: Server, backend: str) -> RewiringPlan:
        """What would happen, or what is in the way; nothing is stored or made. Raises NotFound, Conflict."""
        host = self._tools.agents.host(server.host)
        ports: list[tuple[Port, RewiredPort]] = []
        unchanged: list[str] = []
        obstacles: list[str] = []
        for port, before, after in self._tools.network.wirings(server.id, host.name, backend):
            change = (
                after
                if isinstance(after, CannotBind)
                else RewiredPort(port.id, port.mac_address, before, after)
            )
            if isinstance(change, CannotBind):
                obstacles.append(str(change))
            elif _is_same(before, change.after):
                unchanged.append(port.id)
            else:
                ports.append((port, change))
                obstacles += self._in_the_way(port, change, host)
        silent = False
        if ports and not obstacles:
            try:
                obstacles += self._on_the_host(server, ports)
            except KedgeError as error:
                silent = isinstance(error, Unreachable)
                obstacles.append(f"{server.host} can't be asked: {error}")
        if not ports and not unchanged and not obstacles:
            obstacles.append("it has no ports")
        changes = tuple(change for _, change in ports)
        return RewiringPlan(
            server.id, host.name, backend, changes, tuple(unchanged), tuple(obstacles), silent
        )

    def is_switch(self, backend: str) -> bool:
        """Ports can be rewired to it."""
        return backend in _DRIVERS.values()

    def is_wired(self, server_id: str, host: str, backend: str) -> bool:
        """All its ports are bound as this backend of its host binds them."""
        return all(
            not isinstance(after, CannotBind) and _is_same(before, after)
            for _, before, after in self._tools.network.wirings(server_id, host, backend)
        )

    def in_the_way(self, server: Server, backend: str, mappings: Mapping[str, str]) -> list[str]:
        """What stands in the way of rewiring it for sure, also if its host does not report that backend yet.

        `mappings` are what is to carry networks there. Raises KedgeError if its host can't be asked.
        """
        host = self._tools.agents.host(server.host)
        wired = self._tools.network.wirings(server.id, host.name, backend)
        if not wired:
            return []
        if any(
            each.driver == backend and mappings.items() <= dict(each.mappings).items()
            for each in host.backends
        ):
            return list(self.plan(server, backend).obstacles)
        obstacles = []
        for port, before, _ in wired:
            if _DRIVERS.get(before.vif_type) == backend:
                obstacles.append(
                    f"port {port.id} ({port.mac_address}) is on {backend} already, and only a move changes what "
                    "carries its network"
                )
            else:
                obstacles += self._side_in_the_way(port, before, host)
        if obstacles:
            return obstacles
        vifs = [
            vif_as(port, self._tools.network.network(port.network_id), before) for port, before, _ in wired
        ]
        xml = self._tools.agents.agent(server.host).domain_xml(server.id)
        nics = attachments(xml)
        return [reason for vif in vifs for reason in _device_in_the_way(vif, nics)]

    def _in_the_way(self, port: Port, change: RewiredPort, host: Host) -> list[str]:
        if change.after.vif_type not in _DRIVERS:
            return [_no_tap(port, change.after)]
        return self._side_in_the_way(port, change.before, host)

    def _side_in_the_way(self, port: Port, before: Wiring, host: Host) -> list[str]:
        if before.vif_type not in _DRIVERS:
            return [_no_tap(port, before)]
        needed = _DRIVERS[before.vif_type]
        network = self._tools.network.network(port.network_id)
        if not any(each.driver == needed and carrier(network, each) for each in host.backends):
            return [
                f"the agent on {host.name} has no backend {needed} any more for the network of port {port.id} "
                f"({port.mac_address}), which is wired by it; leave it in its configuration until nothing uses it"
            ]
        return []

    def _on_the_host(self, server: Server, ports: Sequence[tuple[Port, RewiredPort]]) -> list[str]:
        """What its agent says: each port must have a tap that Kedge made, wired as its binding says.

        Raises KedgeError if it can't be asked.
        """
        pairs = [
            Rewire(vif_as(port, network, change.after), vif_as(port, network, change.before))
            for port, change in ports
            for network in [self._tools.network.network(port.network_id)]
        ]
        agent = self._tools.agents.agent(server.host)
        nics = attachments(agent.domain_xml(server.id))
        sides = agent.sides(SidesRequest(tuple(pairs)))
        obstacles = []
        for pair in pairs:
            vif = pair.vif
            of_device = _device_in_the_way(vif, nics)
            obstacles += of_device
            if not of_device and sides.get(vif.port_id) is not Side.THERE:
                obstacles.append(
                    f"{vif.tap_name} of port {vif.port_id} ({vif.mac_address}) is not wired as its binding says now; "
                    "see what `kedge doctor` says"
                )
        return obstacles


def _no_tap(port: Port, wiring: Wiring) -> str:
    return (
        f"port {port.id} ({port.mac_address}) is of type {wiring.vif_type}, which is no tap in a switch: "
        "only a move changes that, `kedge migrate`"
    )


def _device_in_the_way(vif: Vif, nics: Sequence[Attachment]) -> list[str]:
    nic = next((each for each in nics if each.mac == vif.mac_address), None)
    if nic is None:
        return [f"the domain has no interface with the MAC {vif.mac_address} of port {vif.port_id}"]
    if nic.kind != "ethernet" or nic.target_dev != vif.tap_name:
        return [
            f"the device {nic.target_dev} of port {vif.port_id} ({vif.mac_address}) was not made by Kedge, and "
            "libvirt brings it back to where it made it; a move makes it anew, `kedge migrate`"
        ]
    return []


def _is_same(one: Wiring, other: Wiring) -> bool:
    return one.vif_type == other.vif_type and dict(one.vif_details) == dict(other.vif_details)


__all__ = ["Rewirings", "vif_as"]
