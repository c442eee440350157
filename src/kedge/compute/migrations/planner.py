"""Thinking a migration through without making it: what a dry run shows, and what every migration passes first."""

from dataclasses import dataclass, replace

from kedge.core.describe import describe
from kedge.core.domain_xml import (
    NicChange,
    attachments,
    guest_visible_differences,
    left_behind,
    listens_on_its_host,
    rewrite,
    unified_diff,
    uses_networks,
    with_graphics_moved,
    with_what_networks_gave,
    without_secrets,
)
from kedge.core.guest_macs import guest_macs_obstacle
from kedge.core.obstacles import find_obstacles
from kedge.core.placement import demand_of
from kedge.core.placement.filters import silence
from kedge.model.domain import DomainState
from kedge.model.errors import BadRequest, CannotBind, CannotMigrate, KedgeError, NotFound
from kedge.model.network import Binding, BindingStatus, Port, Vif, vif_of
from kedge.model.obstacle import Obstacle
from kedge.model.server import MigrationOptions, Plan, PortPlan, Server
from kedge.network.service import NetworkService
from kedge.wire.messages import MOST_VIFS, ObserveRequest

from ..hosts.agents import Agents
from ..records.rooms import Records, Room, Rooms
from .host_facts import gather

IN_CLEAR = "the guest's memory crosses the network between the hosts in clear; keep that network to yourself"
"""Said of every move until migrations are encrypted."""

USUAL = MigrationOptions()

SILENT = ("source-failed", "destination-failed", "forced-down", "agent-dead")
"""The codes of obstacles that say that a host did not answer. It may a moment later."""


@dataclass
class _Thoughts:
    """What has come up so far."""

    ports: list[PortPlan]
    changes: list[NicChange]
    obstacles: list[Obstacle]
    notes: list[str]
    room: Room
    options: MigrationOptions

    def add(self, code: str, thing: str, problem: str, remedy: str = "") -> None:
        """Take note of an obstacle, once."""
        obstacle = Obstacle(code, thing, problem, remedy)
        if obstacle not in self.obstacles:
            self.obstacles.append(obstacle)


class Planner:
    """Plans migrations over the same code that makes them."""

    def __init__(self, network: NetworkService, agents: Agents, rooms: Rooms) -> None:
        self._network = network
        self._agents = agents
        self._rooms = rooms

    def plan(self, server: Server, destination: str, options: MigrationOptions = USUAL) -> Plan:
        """What would happen. Obstacles are collected, all at once; raises NotFound for an unknown host."""
        return self.think(server, destination, options)[0]

    def think(self, server: Server, destination: str, options: MigrationOptions = USUAL) -> tuple[Plan, Room]:
        """A plan, and what it saw of the room that its migration is to be promised."""
        self._agents.host(destination)
        records = self._rooms.look(server.id, destination)
        thoughts = _Thoughts([], [], [], [IN_CLEAR], records.room, options)
        self._think_of_hosts(server, destination, thoughts)
        if destination != server.host:
            thoughts.obstacles += records.against()
        ports = self._network.ports_of(server.id)
        if not ports:
            thoughts.add(
                "no-ports",
                f"server {server.name}",
                "has no ports, so there is no network to carry",
                "migrate it with virsh",
            )
        if len(ports) > MOST_VIFS:
            thoughts.add(
                "too-many-ports",
                f"server {server.name}",
                f"has {len(ports)} ports, and at most {MOST_VIFS} can be plugged together",
                "free those that its VM has no NIC for",
            )
        for port in ports:
            self._think_of_port(port, server.host, destination, thoughts)
        before, after = self._xml(server, destination, thoughts)
        if before:
            self._think_of_facts(server, destination, before, records, thoughts)
            self._think_of_guests_macs(server, before, thoughts)
        before, after = _shown(before), _shown(after)
        plan = Plan(
            server=server,
            source=server.host,
            destination=destination,
            ports=tuple(thoughts.ports),
            obstacles=tuple(str(obstacle) for obstacle in thoughts.obstacles),
            obstacle_details=tuple(thoughts.obstacles),
            notes=tuple(thoughts.notes),
            xml_before=before,
            xml_after=after,
            xml_diff=unified_diff(before, after, server.host, destination) if after else "",
        )
        return plan, thoughts.room

    def destination_xml(self, server: Server, destination: str) -> str:
        """The domain XML for the destination, from the domain as it runs and the bindings as they are stored.

        Raises CannotMigrate.
        """
        changes = []
        for port in self._network.ports_of(server.id):
            network = self._network.network(port.network_id)
            bindings = {binding.host: binding for binding in self._network.bindings(port.id)}
            if destination not in bindings:
                raise CannotMigrate(f"Port {port.id} is not bound on {destination} any more; migrate anew")
            target = vif_of(port, network, bindings[destination])
            source = bindings.get(server.host)
            changes.append(NicChange(vif_of(port, network, source) if source else None, target))
        xml = self._agents.agent(server.host).domain_xml(server.id, migratable=True)
        return self._there(server, destination, self._whole(server, xml), changes)

    def _think_of_hosts(self, server: Server, destination: str, thoughts: _Thoughts) -> None:
        """Whether the server can leave, and whether the destination can take anything at all."""
        this = f"server {server.name}"
        if destination == server.host:
            thoughts.add("same-host", this, f"is on {destination} already", "choose another host")
            return
        try:
            here = self._agents.agent(server.host).observe(server.id, ObserveRequest())
            if here.domain is not DomainState.RUNNING:
                problem = f"is {here.domain} on {server.host}"
                thoughts.add("not-running", this, problem, "only a running one can move live")
            elif here.job:
                problem = f"libvirt on {server.host} is migrating server {server.name} already"
                thoughts.add("job-running", this, problem, "wait until that has ended")
        except KedgeError as error:
            thoughts.add("source-failed", f"source {server.host}", str(error))
        that = f"destination {destination}"
        silent = silence(self._agents.host(destination))
        if silent is not None:
            thoughts.obstacles.append(silent)
            return
        try:
            there = self._agents.agent(destination).observe(server.id, ObserveRequest())
            if there.domain is not DomainState.ABSENT:
                problem = f"{destination} holds a domain with this server's UUID ({there.domain})"
                thoughts.add("uuid-taken", this, problem, "see to that first")
        except KedgeError as error:
            thoughts.add("destination-failed", that, str(error))

    def _think_of_facts(
        self, server: Server, destination: str, xml: str, records: Records, thoughts: _Thoughts
    ) -> None:
        """What libvirt and QEMU on both hosts would refuse. Who can't be asked at all has been named before."""
        if destination == server.host or any(each.code in SILENT for each in thoughts.obstacles):
            return
        try:
            asked, notes = gather(self._agents, server, xml, destination, records)
        except BadRequest:
            return  # Who rewrites it says so.
        thoughts.notes += notes
        thoughts.obstacles += find_obstacles(replace(asked, options=thoughts.options))
        thoughts.room = replace(thoughts.room, demand=demand_of(asked.domain), memory=asked.there.memory)

    def _think_of_port(self, port: Port, source: str, destination: str, thoughts: _Thoughts) -> None:
        network = self._network.network(port.network_id)
        here = _active_on(source, self._network.bindings(port.id))
        there: Binding | None = None
        obstacle: str | None = None
        if here is None:
            obstacle = (
                f"port {port.id} has no ACTIVE binding on {source}; see `kedge bindings list {port.id}`"
            )
        try:
            there = self._network.preview(port.id, destination)
        except CannotBind as error:
            obstacle = obstacle or str(error)
        target: Vif | None = vif_of(port, network, there) if there else None
        if target is not None:
            thoughts.changes.append(NicChange(vif_of(port, network, here) if here else None, target))
        if obstacle:
            code = "nic-not-bound" if here is None else "nic-cannot-bind"
            thoughts.add(code, f"NIC {port.mac_address}", obstacle)
        thoughts.ports.append(
            PortPlan(
                port_id=port.id,
                mac_address=port.mac_address,
                network=network.name or network.id,
                source_binding=here,
                destination_binding=there,
                plug=describe(target) if target else "",
                obstacle=obstacle,
            )
        )

    def _think_of_guests_macs(self, server: Server, xml: str, thoughts: _Thoughts) -> None:
        """Obstacles for NICs on which the guest sends as another MAC, if their targets would not take that."""
        try:
            nics = attachments(xml)
        except BadRequest:
            return  # Who rewrites it says so.
        vifs = tuple(change.source for change in thoughts.changes if change.source)
        request = ObserveRequest(vifs, check_vifs=False, macs=True)
        try:
            heard = self._agents.agent(server.host).observe(server.id, request).macs
        except KedgeError as error:
            thoughts.add("source-failed", f"source {server.host}", str(error))
            return
        for change in thoughts.changes:
            nic = next((nic for nic in nics if nic.mac == change.target.mac_address), None)
            follows = nic is not None and nic.model == "virtio" and nic.trusts_guest
            reason = guest_macs_obstacle(change.target, heard.get(change.target.port_id, ()), follows=follows)
            if reason:
                thoughts.add("nic-guest-macs", f"NIC {change.target.mac_address}", reason)

    def _xml(self, server: Server, destination: str, thoughts: _Thoughts) -> tuple[str, str]:
        """The domain XML before and after; what is in its way joins the obstacles."""
        try:
            before = self._agents.agent(server.host).domain_xml(server.id, migratable=True)
        except NotFound:  # That it is absent was said before, and is no silence that may end in a moment.
            return "", ""
        except KedgeError as error:
            thoughts.add("source-failed", f"source {server.host}", str(error))
            return "", ""
        if any(port.destination_binding is None for port in thoughts.ports):
            return before, ""
        try:
            whole = self._whole(server, before)
            thoughts.notes += left_behind(whole, thoughts.changes)
            return before, self._there(server, destination, whole, thoughts.changes)
        except CannotMigrate as error:
            for reason in error.reasons or (str(error),):
                thoughts.add("domain-xml", "domain XML", reason)
        except KedgeError as error:
            thoughts.add("domain-xml", "domain XML", str(error))
        return before, ""

    def _whole(self, server: Server, xml: str) -> str:
        """The migratable XML, with what its interfaces have from libvirt networks."""
        if not uses_networks(xml):
            return xml
        return with_what_networks_gave(xml, self._agents.agent(server.host).domain_xml(server.id))

    def _there(self, server: Server, destination: str, xml: str, changes: list[NicChange]) -> str:
        """The XML for the destination. Raises CannotMigrate with every reason at once."""
        here = self._agents.agent(server.host)
        reasons: list[str] = []
        if listens_on_its_host(xml):
            there = self._agents.agent(destination)
            try:
                xml = with_graphics_moved(xml, here.host().graphics_address, there.host().graphics_address)
            except CannotMigrate as error:
                reasons += error.reasons
        after = ""
        try:
            after = _rewritten(xml, changes)
        except CannotMigrate as error:
            reasons += error.reasons or (str(error),)
        if reasons:
            raise CannotMigrate(f"The domain can't be what it is on {destination}", reasons)
        return after


def _shown(xml: str) -> str:
    """The XML for people, readers among them; the transfer has its own from `destination_xml`.

    What can't be read may hold a secret anywhere, so nothing of it is shown.
    """
    try:
        return without_secrets(xml) if xml else ""
    except BadRequest:
        return ""


def _rewritten(xml: str, changes: list[NicChange]) -> str:
    """The rewritten XML. Raises CannotMigrate also when the guest would see a difference, as libvirt would."""
    after = rewrite(xml, changes)
    differences = guest_visible_differences(xml, after)
    if differences:
        raise CannotMigrate("The guest would see a difference", differences)
    return after


def _active_on(host: str, bindings: list[Binding]) -> Binding | None:
    for binding in bindings:
        if binding.host == host and binding.status is BindingStatus.ACTIVE:
            return binding
    return None
