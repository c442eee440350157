"""Thinking a migration through without making it: what a dry run shows, and what every migration passes first."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
from kedge.core.placement.filters import silence
from kedge.model.errors import BadRequest, CannotMigrate, KedgeError
from kedge.model.network import Network, vif_of
from kedge.model.server import MigrationOptions, Plan, Server
from kedge.network.service import NetworkService
from kedge.wire.plans import Arrival, Departure, DepartureRequest

from ..hosts.agents import Agents
from ..records.rooms import Room, Rooms
from .host_facts import arrival_request
from .thoughts import IN_CLEAR, SILENT, Thoughts

USUAL = MigrationOptions()

LATELY_S = 2.0
"""For so long the migration that follows a plan goes by the domain XML that the plan has read and rewritten."""


@dataclass(frozen=True)
class _Lately:
    """What a plan has come to, at a time of the monotonic clock: the migration that follows would come to the same."""

    at: float
    changes: tuple[NicChange, ...]
    networks: Mapping[str, Network]
    before: str
    after: str

    @property
    def fresh(self) -> bool:
        return self.at > time.monotonic() - LATELY_S


class Planner:
    """Plans migrations over the same code that makes them."""

    def __init__(self, network: NetworkService, agents: Agents, rooms: Rooms) -> None:
        self._network = network
        self._agents = agents
        self._rooms = rooms
        self._lately: dict[tuple[str, str], _Lately] = {}

    def plan(self, server: Server, destination: str, options: MigrationOptions = USUAL) -> Plan:
        """What would happen. Obstacles are collected, all at once; raises NotFound for an unknown host."""
        thoughts = self._think(server, destination, options)
        before, after = _shown(thoughts.before), _shown(thoughts.after)
        diff = unified_diff(before, after, server.host, destination) if after else ""
        return replace(thoughts.plan(), xml_before=before, xml_after=after, xml_diff=diff)

    def think(self, server: Server, destination: str, options: MigrationOptions = USUAL) -> tuple[Plan, Room]:
        """A plan without the XML, and what it saw of the room that its migration is to be promised."""
        thoughts = self._think(server, destination, options)
        plan = thoughts.plan()
        if plan.possible:
            self._remember(thoughts)
        return plan, thoughts.room

    def queues(self, server: Server, destination: str) -> dict[str, int]:
        """How many queue pairs each NIC has, by MAC: a tap must be made for as many."""
        lately = self._lately.get((server.id, destination))
        planned = lately is not None and lately.fresh
        xml = lately.before if lately and planned else self._agents.agent(server.host).domain_xml(server.id)
        return {nic.mac: nic.queues for nic in attachments(xml) if nic.mac}

    def destination_xml(self, server: Server, destination: str) -> str:
        """The domain XML for the destination, from the domain as it runs and the bindings as they are stored.

        One that was planned here a moment ago for the same bindings is taken, once. Raises CannotMigrate.
        """
        changes = []
        lately = self._lately.pop((server.id, destination), None)
        networks = dict(lately.networks) if lately is not None else {}
        for port, known in self._network.bound_ports(server.id):
            network = networks.get(port.network_id) or self._network.network(port.network_id)
            bindings = {binding.host: binding for binding in known}
            if destination not in bindings:
                raise CannotMigrate(f"Port {port.id} is not bound on {destination} any more; migrate anew")
            target = vif_of(port, network, bindings[destination])
            source = bindings.get(server.host)
            changes.append(NicChange(vif_of(port, network, source) if source else None, target))
        if lately is not None and lately.fresh and lately.changes == tuple(changes):
            return lately.after
        here = self._agents.agent(server.host).departure(server.id, DepartureRequest())
        if not here.xml:
            raise CannotMigrate(f"There is no domain {server.id} on {server.host} any more")
        return self._there(destination, here, None, changes)

    def _remember(self, thoughts: Thoughts) -> None:
        for key, each in list(self._lately.items()):
            if not each.fresh:
                self._lately.pop(key, None)
        key = thoughts.server.id, thoughts.destination.name
        self._lately[key] = _Lately(
            time.monotonic(), tuple(thoughts.changes), thoughts.networks, thoughts.before, thoughts.after
        )

    def _think(self, server: Server, destination: str, options: MigrationOptions) -> Thoughts:
        host = self._agents.host(destination)
        records = self._rooms.look(server.id, destination)
        thoughts = Thoughts(server, host, options, records, records.room)
        self._think_of_ports(thoughts)
        here = self._ask_source(thoughts)
        there = self._ask_destination(thoughts, here)
        if not thoughts.stays:
            thoughts.obstacles += records.against()
        thoughts.obstacles += thoughts.of_ports
        if here is not None and here.xml:
            self._rewrite(thoughts, here, there)
            if there is not None:
                thoughts.think_of_facts(here, there)
            thoughts.think_of_guests_macs(here)
        return thoughts

    def _think_of_ports(self, thoughts: Thoughts) -> None:
        server = thoughts.server
        bound = self._network.bound_ports(server.id)
        for network_id in dict.fromkeys(port.network_id for port, _ in bound):
            thoughts.networks[network_id] = self._network.network(network_id)
        previews = self._network.previews(server.id, thoughts.destination.name) if bound else {}
        thoughts.think_of_ports(bound, previews)

    def _ask_source(self, thoughts: Thoughts) -> Departure | None:
        server = thoughts.server
        if thoughts.stays:
            this = f"server {server.name}"
            thoughts.add("same-host", this, f"is on {server.host} already", "choose another host")
        vifs = tuple(change.source for change in thoughts.changes if change.source)
        request = DepartureRequest(vifs, thoughts.destination.libvirt_uri)
        try:
            here = self._agents.agent(server.host).departure(server.id, request)
        except KedgeError as error:
            thoughts.add("source-failed", f"source {server.host}", str(error))
            return None
        thoughts.think_of_source(here)
        return here

    def _ask_destination(self, thoughts: Thoughts, here: Departure | None) -> Arrival | None:
        if thoughts.stays:
            return None
        name = thoughts.destination.name
        silent = silence(thoughts.destination)
        if silent is not None:
            thoughts.obstacles.append(silent)
            return None
        try:
            there = self._agents.agent(name).arrival(thoughts.server.id, arrival_request(here))
        except KedgeError as error:
            thoughts.add("destination-failed", f"destination {name}", str(error))
            return None
        thoughts.think_of_destination(there)
        return there

    def _rewrite(self, thoughts: Thoughts, here: Departure, there: Arrival | None) -> None:
        """The domain XML for the destination; what is in its way joins the obstacles."""
        if any(port.destination_binding is None for port in thoughts.ports):
            return
        try:
            thoughts.notes += left_behind(_whole(here), thoughts.changes)
            thoughts.after = self._there(thoughts.destination.name, here, there, thoughts.changes)
        except CannotMigrate as error:
            for reason in error.reasons or (str(error),):
                thoughts.add("domain-xml", "domain XML", reason)
        except KedgeError as error:
            thoughts.add("domain-xml", "domain XML", str(error))

    def _there(
        self, destination: str, here: Departure, there: Arrival | None, changes: Sequence[NicChange]
    ) -> str:
        """The XML for the destination. Raises CannotMigrate with every reason at once."""
        xml = _whole(here)
        reasons: list[str] = []
        if listens_on_its_host(xml):
            address = (there or self._agents.agent(destination).host()).graphics_address
            try:
                xml = with_graphics_moved(xml, here.graphics_address, address)
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


def _whole(here: Departure) -> str:
    """The migratable XML, with what its interfaces have from libvirt networks."""
    return with_what_networks_gave(here.xml, here.live_xml) if uses_networks(here.xml) else here.xml


def _shown(xml: str) -> str:
    """The XML for people, readers among them; the transfer has its own from `destination_xml`.

    What can't be read may hold a secret anywhere, so nothing of it is shown.
    """
    try:
        return without_secrets(xml) if xml else ""
    except BadRequest:
        return ""


def _rewritten(xml: str, changes: Sequence[NicChange]) -> str:
    """The rewritten XML. Raises CannotMigrate also when the guest would see a difference, as libvirt would."""
    after = rewrite(xml, changes)
    differences = guest_visible_differences(xml, after)
    if differences:
        raise CannotMigrate("The guest would see a difference", differences)
    return after


__all__ = ["IN_CLEAR", "SILENT", "Planner"]
