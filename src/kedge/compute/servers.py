"""Making, adopting and deleting servers."""

import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from kedge.core.adopt import Recognised, recognise_all
from kedge.core.domain_xml import (
    Attachment,
    DiskSpec,
    DomainSpec,
    NicChange,
    NicSpec,
    attachments,
    build,
    parse,
    rewrite,
)
from kedge.core.placement.filters import disabled
from kedge.model.domain import DomainState, DomainSummary
from kedge.model.errors import BadRequest, Conflict, NotFound
from kedge.model.network import Network, Port, Segment, Vif, vif_of
from kedge.model.server import UNKNOWN_REFUSED, Server
from kedge.network.service import NetworkService
from kedge.wire.messages import MOST_VIFS, PlugOrder

from .hosts.agents import Agents, unplug_all
from .records.host_settings import HostSettingsRecords
from .records.servers import ServerRecords


@dataclass(frozen=True)
class NicRequest:
    """A NIC of a new server: a port that is there, or a new one on a network (by id or name)."""

    __pydantic_config__ = UNKNOWN_REFUSED

    port: str | None = None
    network: str | None = None
    mac_address: str | None = None
    ip_address: str | None = None
    queues: int = 1
    offloads: bool = True


@dataclass(frozen=True)
class ServerRequest:
    """A new server: either `xml`, or the options of `kedge.core.domain_xml.DomainSpec`."""

    __pydantic_config__ = UNKNOWN_REFUSED

    name: str
    host: str
    nics: tuple[NicRequest, ...] = ()
    xml: str | None = None
    memory_mib: int = 512
    vcpus: int = 1
    virt_type: str = "kvm"
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str | None = None
    disks: tuple[str, ...] = ()
    cpu_model: str | None = None
    serial_log: str | None = None


class Servers:
    """Makes, adopts and deletes servers."""

    def __init__(
        self, records: ServerRecords, network: NetworkService, agents: Agents, settings: HostSettingsRecords
    ) -> None:
        self._records = records
        self._network = network
        self._agents = agents
        self._settings = settings

    def create(self, request: ServerRequest) -> Server:
        """Make a server and start it. What was made before a step that fails is unmade."""
        if not request.nics:
            raise BadRequest(f"Server {request.name!r} needs a NIC; name a network or a port for it.")
        if len(request.nics) > MOST_VIFS:
            raise BadRequest(
                f"Server {request.name!r} has {len(request.nics)} NICs; at most {MOST_VIFS} can be."
            )
        host = self._agents.host(request.host)
        against = disabled(host.name, self._settings.of(host.name))
        if against is not None:
            raise Conflict(f"Server {request.name} can't be made there: {against}.")
        agent = self._agents.agent(host.name)
        server_id = _uuid_of(request.xml) if request.xml else str(uuid.uuid4())
        _refuse_taken(agent.domains(), server_id, host.name)
        server = Server(server_id, request.name, host.name, "BUILD")
        with ExitStack() as undo:
            vifs = []
            for nic in request.nics:
                port = self._port_for(nic, server_id, undo)
                binding = self._network.bind(port.id, host.name)
                undo.callback(self._network.unbind, port.id, host.name, even_active=True)
                vifs.append(vif_of(port, self._network.network(port.network_id), binding))
            xml = _domain_xml(request, server_id, vifs)
            self._records.add(server, xml)
            undo.callback(self._records.delete, server_id)
            by_mac = {nic.mac: nic.queues for nic in attachments(xml)}
            queues = {vif.port_id: by_mac.get(vif.mac_address, 1) for vif in vifs}
            undo.callback(unplug_all, agent, [vif.port_id for vif in vifs])
            agent.plug(PlugOrder(tuple(vifs), queues=queues)).complete()
            undo.callback(agent.delete_domain, server_id)
            agent.create_domain(server_id, xml)
            undo.pop_all()
        self._records.change(server_id, status="ACTIVE")
        return self._records.find(server_id)

    def adopt(self, host_name: str, domain: str) -> tuple[Server, list[Port]]:
        """Take a domain that runs on a host as it is: nothing on the host is touched.

        Its interfaces get ports, on networks that are found by their segment or made. Raises BadRequest with
        one reason for each interface whose network can't be told; then nothing is stored.
        """
        host = self._agents.host(host_name)
        agent = self._agents.agent(host.name)
        found = _find_domain(agent.domains(), domain, host.name)
        network = agent.network()
        xml = agent.domain_xml(found.uuid)
        nics = recognise_all(xml, host.backends, network)
        recognised: list[tuple[Attachment, Recognised]] = []
        reasons = []
        for nic, answer in nics:
            if isinstance(answer, str):
                reasons.append(f"NIC {nic.mac}: {answer}")
            else:
                recognised.append((nic, answer))
        if reasons or not nics:
            why = "; ".join(reasons) or "it has no interface, so there is no network to carry"
            raise BadRequest(f"Domain {found.name} on {host.name} can't be adopted: {why}.")
        server = Server(found.uuid, found.name, host.name, "ACTIVE")
        with ExitStack() as undo:
            self._records.add(server, xml)
            undo.callback(self._records.delete, server.id)
            ports = [self._adopt_nic(server, nic, answer, undo) for nic, answer in recognised]
            undo.pop_all()
        return server, ports

    def delete(self, id_or_name: str) -> None:
        """Destroy a server, unplug it, and delete its ports. Raises Conflict while it is being migrated.

        Its record goes last, so that what failed in the middle can be tried again.
        """
        server = self._records.find(id_or_name)
        self._records.refuse_while_migrating(server.id)
        # On a host that is off there is nothing to destroy; what its disks hold is found by its agent when it is back.
        agent = None if self._agents.host(server.host).forced_down else self._agents.agent(server.host)
        if agent is not None:
            agent.delete_domain(server.id)
        ports = self._network.ports_of(server.id)
        if agent is not None:
            unplug_all(agent, [port.id for port in ports])
        for port in ports:
            self._network.delete_port(port.id)
        self._records.delete(server.id)

    def _port_for(self, nic: NicRequest, server_id: str, undo: ExitStack) -> Port:
        if nic.port:
            port = self._network.attach_port(nic.port, server_id)
            undo.callback(self._network.attach_port, nic.port, "")
            return port
        if not nic.network:
            raise BadRequest("A NIC needs a network or a port.")
        network = self._find_network(nic.network)
        port = self._network.create_port(
            network.id,
            device_id=server_id,
            mac_address=nic.mac_address,
            fixed_ips=(nic.ip_address,) if nic.ip_address else None,
        )
        undo.callback(self._network.delete_port, port.id)
        return port

    def _find_network(self, id_or_name: str) -> Network:
        networks = self._network.networks()
        found = [network for network in networks if id_or_name in {network.id, network.name}]
        if len(found) == 1:
            return found[0]
        if found:
            raise BadRequest(f"Several networks are named {id_or_name!r}; use an id.")
        known = ", ".join(network.name or network.id for network in networks) or "none"
        raise NotFound(f"There is no network {id_or_name!r}. Known networks: {known}.")

    def _adopt_nic(self, server: Server, nic: Attachment, answer: Recognised, undo: ExitStack) -> Port:
        network = self._network_of(answer.segment, nic.mtu, undo)
        port = self._network.create_port(network.id, device_id=server.id, mac_address=nic.mac, fixed_ips=())
        undo.callback(self._network.delete_port, port.id)
        self._network.bind_as_found(port.id, server.host, answer)
        return port

    def _network_of(self, segment: Segment, mtu: int | None, undo: ExitStack) -> Network:
        for network in self._network.networks():
            if network.segment == segment:
                return network
        name = segment.physical_network
        if segment.segmentation_id is not None:
            name += f"-vlan{segment.segmentation_id}"
        made = self._network.create_network(name, segment, mtu=mtu or 1500)
        undo.callback(self._network.delete_network, made.id)
        return made


def _uuid_of(xml: str) -> str:
    """The UUID in a domain XML, as libvirt writes it. Raises BadRequest if it has none."""
    found = (parse(xml).findtext("uuid") or "").strip()
    try:
        return str(uuid.UUID(found))
    except ValueError:
        raise BadRequest(f"The domain XML needs a <uuid>, and has {found!r}; put a UUID there.") from None


def _refuse_taken(domains: Sequence[DomainSummary], server_id: str, host: str) -> None:
    """A domain that is there already is not to be started, replaced, or removed if something fails."""
    for domain in domains:
        if domain.uuid == server_id:
            raise Conflict(
                f"{host} holds a domain {domain.name} ({domain.state}) with the UUID {server_id} already;"
                " adopt it, or give the new server another"
            )


def _domain_xml(request: ServerRequest, server_id: str, vifs: Sequence[Vif]) -> str:
    if request.xml:
        return rewrite(request.xml, [NicChange(None, vif) for vif in vifs])
    nics = [
        NicSpec(vif, queues=nic.queues, offloads=nic.offloads)
        for nic, vif in zip(request.nics, vifs, strict=True)
    ]
    return build(
        DomainSpec(
            uuid=server_id,
            name=request.name,
            memory_mib=request.memory_mib,
            vcpus=request.vcpus,
            virt_type=request.virt_type,
            cpu_model=request.cpu_model,
            kernel=request.kernel,
            initrd=request.initrd,
            cmdline=request.cmdline,
            disks=tuple(
                DiskSpec(path, "raw" if path.endswith((".img", ".raw")) else "qcow2")
                for path in request.disks
            ),
            serial_log=request.serial_log,
            nics=tuple(nics),
        )
    )


def _find_domain(domains: Sequence[DomainSummary], wanted: str, host: str) -> DomainSummary:
    for domain in domains:
        if wanted in {domain.uuid, domain.name}:
            if domain.state is not DomainState.RUNNING:
                raise Conflict(
                    f"Domain {domain.name} on {host} is {domain.state}; start it before it is adopted."
                )
            return domain
    known = ", ".join(domain.name for domain in domains) or "none"
    raise NotFound(f"There is no domain {wanted!r} on {host}. Domains there: {known}.")
