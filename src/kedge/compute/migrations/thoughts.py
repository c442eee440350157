"""What a plan comes to, from what records, ports and both hosts have said: nothing here asks anybody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kedge.core.describe import describe
from kedge.core.domain_xml import NicChange, attachments
from kedge.core.guest_macs import guest_macs_obstacle
from kedge.core.obstacles import find_obstacles
from kedge.core.placement import demand_of
from kedge.model.domain import DomainState
from kedge.model.errors import BadRequest, CannotBind
from kedge.model.host import Host
from kedge.model.network import Binding, BindingStatus, Network, Port, Vif, vif_of
from kedge.model.obstacle import Obstacle
from kedge.model.server import MigrationOptions, Plan, PortPlan, Server
from kedge.wire.messages import MOST_VIFS
from kedge.wire.plans import Arrival, Departure

from ..records.rooms import Records, Room
from .host_facts import question_of

IN_CLEAR = "the guest's memory crosses the network between the hosts in clear; keep that network to yourself"
"""Said of every move until migrations are encrypted."""

SILENT = ("source-failed", "destination-failed", "forced-down", "agent-dead")
"""The codes of obstacles that say that a host did not answer. It may a moment later."""


@dataclass
class Thoughts:
    """A plan in the making. `before` and `after` are the domain XML of the transfer, with its secrets."""

    server: Server
    destination: Host
    options: MigrationOptions
    records: Records
    room: Room
    ports: list[PortPlan] = field(default_factory=list)
    changes: list[NicChange] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)
    of_ports: list[Obstacle] = field(default_factory=list)
    notes: list[str] = field(default_factory=lambda: [IN_CLEAR])
    networks: dict[str, Network] = field(default_factory=dict)
    before: str = ""
    after: str = ""

    def add(self, code: str, thing: str, problem: str, remedy: str = "") -> None:
        """Take note of an obstacle, once."""
        obstacle = Obstacle(code, thing, problem, remedy)
        if obstacle not in self.obstacles:
            self.obstacles.append(obstacle)

    @property
    def stays(self) -> bool:
        """Whether the server is on the destination already."""
        return self.destination.name == self.server.host

    def plan(self) -> Plan:
        """The plan, without the XML."""
        return Plan(
            server=self.server,
            source=self.server.host,
            destination=self.destination.name,
            ports=tuple(self.ports),
            obstacles=tuple(str(obstacle) for obstacle in self.obstacles),
            obstacle_details=tuple(self.obstacles),
            notes=tuple(self.notes),
        )

    def think_of_ports(
        self,
        bound: Sequence[tuple[Port, Sequence[Binding]]],
        previews: Mapping[str, Binding | CannotBind],
    ) -> None:
        """How each port would be bound. What is in its way is told after what both hosts have against the move."""
        this = f"server {self.server.name}"
        if not bound:
            problem = "has no ports, so there is no network to carry"
            self.of_ports.append(Obstacle("no-ports", this, problem, "migrate it with virsh"))
        if len(bound) > MOST_VIFS:
            problem = f"has {len(bound)} ports, and at most {MOST_VIFS} can be plugged together"
            remedy = "free those that its VM has no NIC for"
            self.of_ports.append(Obstacle("too-many-ports", this, problem, remedy))
        for port, known in bound:
            there = previews.get(port.id) or CannotBind(f"Port {port.id} was made or deleted just now")
            self._think_of_port(port, self.networks[port.network_id], known, there)

    def _think_of_port(
        self, port: Port, network: Network, known: Sequence[Binding], there: Binding | CannotBind
    ) -> None:
        here = next(
            (each for each in known if each.host == self.server.host and each.status is BindingStatus.ACTIVE),
            None,
        )
        obstacle: str | None = None
        if here is None:
            obstacle = (
                f"port {port.id} has no ACTIVE binding on {self.server.host};"
                f" see `kedge bindings list {port.id}`"
            )
        if isinstance(there, CannotBind):
            obstacle = obstacle or str(there)
        to = None if isinstance(there, CannotBind) else there
        target: Vif | None = vif_of(port, network, to) if to else None
        if target is not None:
            self.changes.append(NicChange(vif_of(port, network, here) if here else None, target))
        if obstacle:
            code = "nic-not-bound" if here is None else "nic-cannot-bind"
            self.of_ports.append(Obstacle(code, f"NIC {port.mac_address}", obstacle))
        self.ports.append(
            PortPlan(
                port_id=port.id,
                mac_address=port.mac_address,
                network=network.name or network.id,
                source_binding=here,
                destination_binding=to,
                plug=describe(target) if target else "",
                obstacle=obstacle,
            )
        )

    def think_of_source(self, here: Departure) -> None:
        """Whether the server can leave."""
        this, host = f"server {self.server.name}", self.server.host
        self.before = here.xml
        if self.stays:
            return
        if here.domain is not DomainState.RUNNING:
            self.add("not-running", this, f"is {here.domain} on {host}", "only a running one can move live")
        elif here.job:
            problem = f"libvirt on {host} is migrating server {self.server.name} already"
            self.add("job-running", this, problem, "wait until that has ended")

    def think_of_destination(self, there: Arrival) -> None:
        """Whether the destination can take this server."""
        if there.domain is not DomainState.ABSENT:
            problem = f"{self.destination.name} holds a domain with this server's UUID ({there.domain})"
            self.add("uuid-taken", f"server {self.server.name}", problem, "see to that first")

    def think_of_facts(self, here: Departure, there: Arrival) -> None:
        """What libvirt and QEMU on both hosts would refuse. Who can't be asked at all has been named before."""
        if any(each.code in SILENT for each in self.obstacles):
            return
        try:
            asked, notes = question_of(self.server, self.destination, here, there, self.records)
        except BadRequest:
            return  # Who rewrites it says so.
        self.notes += notes
        self.obstacles += find_obstacles(replace(asked, options=self.options))
        self.room = replace(self.room, demand=demand_of(asked.domain), memory=asked.there.memory)

    def think_of_guests_macs(self, here: Departure) -> None:
        """Obstacles for NICs on which the guest sends as another MAC, if their targets would not take that."""
        try:
            nics = {nic.mac: nic for nic in attachments(here.xml)}
        except BadRequest:
            return  # Who rewrites it says so.
        for change in self.changes:
            nic = nics.get(change.target.mac_address)
            follows = nic is not None and nic.model == "virtio" and nic.trusts_guest
            heard = here.macs.get(change.target.port_id, ())
            reason = guest_macs_obstacle(change.target, heard, follows=follows)
            if reason:
                self.add("nic-guest-macs", f"NIC {change.target.mac_address}", reason)
