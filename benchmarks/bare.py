"""The yardstick: the same guest moved by a bare `virsh migrate`, with an XML and devices made by hand.

The devices on the destination are prepared before the clock starts, which a person would have to do too.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pydantic import TypeAdapter

from kedge.compute.hosts.agents import unplug_all
from kedge.core.binding import bind_port
from kedge.core.domain_xml import NicChange, rewrite
from kedge.core.domain_xml.host_side import host_side
from kedge.lab import image, tour
from kedge.lab.agent_calls import AgentCalls
from kedge.lab.cloud import Cloud
from kedge.lab.probe import Probe
from kedge.model.host import Host
from kedge.model.network import (
    Binding,
    BindingStatus,
    Network,
    NetworkType,
    Port,
    Segment,
    Vif,
    vif_of,
)
from kedge.wire.messages import PlugOrder


@dataclass(frozen=True)
class BareMove:
    """What one migration with virsh took; times in ms."""

    wall_ms: float
    guest_downtime_ms: float | None
    blackout_ms: float


class BareVm:
    """A VM that Kedge knows nothing of."""

    def __init__(self, cloud: Cloud, host: str, addresses: dict[str, str], name: str = "bare") -> None:
        self._cloud = cloud
        self._name = name
        self._hosts = {
            each["name"]: TypeAdapter(Host).validate_python(each) for each in cloud.get("/kedge/v1/hosts")
        }
        self._agents = AgentCalls(cloud.lab)
        networks = tour.make_networks(cloud)
        self._nics = [self._nic(networks[network], address) for network, address in addresses.items()]
        self.addresses = tuple(addresses.values())
        self.uuid = str(uuid4())
        self._start(host)

    def _nic(self, network_id: str, address: str) -> tuple[Port, Network]:
        wanted = {
            "network_id": network_id,
            "device_owner": "compute:bare",
            "fixed_ips": [{"ip_address": address}],
        }
        made = self._cloud.post("/network/v2.0/ports", {"port": wanted})["port"]
        told = self._cloud.get(f"/network/v2.0/networks/{network_id}")["network"]
        segment = Segment(NetworkType.FLAT, told["provider:physical_network"])
        return Port(made["id"], network_id, made["mac_address"]), Network(network_id, told["name"], segment)

    def _vifs(self, host: str) -> list[Vif]:
        vifs = []
        for port, network in self._nics:
            bound = bind_port(port, network, self._hosts[host])
            binding = Binding(port.id, host, BindingStatus.ACTIVE, bound.vif_type, bound.vif_details)
            vifs.append(vif_of(port, network, binding))
        return vifs

    def _plug(self, host: str) -> list[Vif]:
        vifs = self._vifs(host)
        for vif in vifs:
            # Without a binding the host's agent would collect what nothing explains.
            self._cloud.post(f"/network/v2.0/ports/{vif.port_id}/bindings", {"binding": {"host": host}})
        self._agents.call(host, lambda agent: agent.plug(PlugOrder(tuple(vifs))).complete())
        return vifs

    def _start(self, host: str) -> None:
        interfaces = [_interface(vif) for vif in self._plug(host)]
        nics = [
            (port.mac_address, f"{address}/24")
            for (port, _), address in zip(self._nics, self.addresses, strict=True)
        ]
        xml = image.domain_xml(self._name, self.uuid, nics, interfaces)
        self._cloud.lab.hosts[host].virsh("create", "/dev/stdin", text_input=xml)
        for address in self.addresses:
            self._cloud.wait_for(lambda a=address: tour.answers(self._cloud, a), "bare VM", tour.BOOT_S)  # type: ignore[misc]

    def move(self, source: str, destination: str, interval_ms: float) -> BareMove:
        """Migrate with virsh at its defaults; afterwards the source is cleaned."""
        with self.prepared(source, destination):
            probe = Probe(self._cloud.lab.observer, self.addresses, interval_ms)
            time.sleep(tour.SETTLE_S)
            began = time.monotonic()
            self.migrate(source, destination)
            wall_ms = (time.monotonic() - began) * 1000
            time.sleep(tour.SETTLE_S)
            seen = probe.stop()
        blackout_ms = max(each.blackout_ms for each in seen.values())
        return BareMove(wall_ms, self.downtime_ms(destination), blackout_ms)

    @contextmanager
    def prepared(self, source: str, destination: str) -> Iterator[None]:
        """Before the block `prepare`; after it the VM is on the destination, and the source is cleaned."""
        old = self._vifs(source)
        self.prepare(source, destination)
        yield
        for vif in old:
            self._cloud.put(f"/network/v2.0/ports/{vif.port_id}/bindings/{destination}/activate")
            self._cloud.delete(f"/network/v2.0/ports/{vif.port_id}/bindings/{source}")
        self._agents.call(source, lambda agent: unplug_all(agent, [vif.port_id for vif in old]))

    def downtime_ms(self, host: str) -> float | None:
        """The guest's downtime when it came to this host, as libvirt there tells it."""
        told = self._cloud.lab.hosts[host].virsh("domjobinfo", "--completed", self.uuid)
        for line in told.stdout.splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "Total downtime":
                return float(value.split()[0])
        return None

    def prepare(self, source: str, destination: str) -> None:
        """Plug what the destination needs and write its XML."""
        changes = [
            NicChange(here, there)
            for here, there in zip(self._vifs(source), self._plug(destination), strict=True)
        ]
        before = self._cloud.lab.hosts[source].virsh("dumpxml", "--migratable", self.uuid).stdout
        self._xml(source).write_text(rewrite(before, changes))

    def migrate(self, source: str, destination: str) -> None:
        """`virsh migrate` of what is prepared."""
        node, target = self._cloud.lab.hosts[source], self._cloud.lab.hosts[destination]
        node.virsh(
            "migrate", "--live", "--p2p", "--xml", str(self._xml(source)), self.uuid, target.libvirt_uri,
            "--migrateuri", target.migrate_uri,
        )  # fmt: skip

    def _xml(self, host: str) -> Path:
        return Path(self._cloud.lab.hosts[host].directory) / f"{self._name}.xml"


def _interface(vif: Vif) -> str:
    side = host_side(vif)
    parts = [f"<mac address='{vif.mac_address}'/>", "<model type='virtio'/>", "<rom enabled='no'/>"]
    for tag, attributes in (("source", side.source), ("target", side.target)):
        if attributes:
            parts.append(
                f"<{tag} " + " ".join(f"{key}='{value}'" for key, value in attributes.items()) + "/>"
            )
    return f"<interface type='{side.interface_type}'>{''.join(parts)}</interface>"
