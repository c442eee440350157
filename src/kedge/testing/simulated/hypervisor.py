"""A hypervisor host in memory: its simulated libvirt's domains, its devices and its VIFs.

What it does is what the real ones were seen to do; what it must never be told to do is noted in `violations`.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Protocol

from kedge.core.domain_xml import Attachment
from kedge.model.domain import DomainState, FrameTimes, VifReport, VifState
from kedge.model.errors import HostFailure
from kedge.model.host import HostBackend
from kedge.model.host_facts import HostFacts
from kedge.model.host_network import HostNetwork
from kedge.model.network import Vif, VifType

from .domain import SimulatedDomain, identity, started

_DRIVERS = {VifType.MACVTAP: "macvtap", VifType.OVS: "openvswitch", VifType.BRIDGE: "linuxbridge"}
_ABSENT = SimulatedDomain("", "", "<domain/>", DomainState.ABSENT, persistent=False)


class Listener(Protocol):
    """Whom a host's libvirt tells of its events: the host's agent."""

    def changed(self) -> None:
        """Something on the host is different."""
        ...

    def transfer_ended(self, migration_id: str, error: str | None) -> None:
        """A transfer that started here has ended; `error` says how it failed."""
        ...


class SimulatedHypervisor:
    """One host, without its agent.

    Attributes:
        listener: its agent.
        violations: what some host was told to do and must never be.
        holds: the domains that its libvirt knows, by UUID.
        jobs: domains with a migration job.
        plugged: the VIFs that Kedge plugged, by port.
        network: how its devices hang together, for adopting.
        facts: what it answers to a plan; files that are not in it are shared by all hosts.
        migratable: the text that migrates, by UUID, where it is another than the live one.
        graphics_address: where VMs' consoles listen.
        migration_network: on which its migrations come in.
        macs: the MACs that guests send as, by port, where another than the NIC's own.
        announced: ports that were announced from here.
        paused_ns, resumed_ns: when a domain was paused for a migration, or came to run after one.
        clock_skew_ns: how far its clock is ahead of the true one.
        silent: ports whose NIC the guest sends nothing on.
        answering: ports whose NIC the guest answers on when it is asked.
    """

    listener: Listener

    def __init__(self, name: str, backends: Sequence[HostBackend], violations: list[str]) -> None:
        self.name = name
        self.backends = tuple(backends)
        self.violations = violations
        self.holds: dict[str, SimulatedDomain] = {}
        self.jobs: set[str] = set()
        self.plugged: dict[str, Vif] = {}
        self.network = HostNetwork()
        self.facts = HostFacts(machine=f"boot of {name}")
        self.migratable: dict[str, str] = {}
        self.graphics_address = f"{name}.example"
        self.migration_network = ""
        self.macs: dict[str, tuple[str, ...]] = {}
        self.announced: list[str] = []
        self.paused_ns: dict[str, int] = {}
        self.resumed_ns: dict[str, int] = {}
        self.frames: dict[str, FrameTimes] = {}
        self.silent: set[str] = set()
        self.answers: dict[str, FrameTimes] = {}
        self.answering: set[str] = set()
        self.clock_skew_ns = 0
        self._watched: dict[str, tuple[str, str | None]] = {}
        self._numbers = count()

    def now_ns(self) -> int:
        """What the host's clock shows."""
        return time.time_ns() + self.clock_skew_ns

    # Domains.

    def domain(self, uuid: str) -> SimulatedDomain:
        """The domain, or one whose state is ABSENT."""
        return self.holds.get(uuid, _ABSENT)

    def place(self, xml: str, state: DomainState = DomainState.RUNNING) -> str:
        """Put a domain here that somebody else made; its UUID."""
        uuid, name = identity(xml)
        self.holds[uuid] = SimulatedDomain(uuid, name, started(xml, self._macvtaps()), state)
        return uuid

    def start(self, xml: str, state: DomainState = DomainState.RUNNING) -> None:
        """Start a domain; INCOMING for a migration. Raises HostFailure for what is not there to attach to."""
        uuid, name = identity(xml)
        persistent = state is not DomainState.INCOMING
        domain = SimulatedDomain(uuid, name, started(xml, self._macvtaps()), state, persistent=persistent)
        for nic in SimulatedDomain(uuid, name, xml).nics():
            self._check_nic(nic)
        self.holds[uuid] = domain
        self.paused_ns.pop(uuid, None)
        self.resumed_ns.pop(uuid, None)

    def _macvtaps(self) -> Iterator[str]:
        return (f"macvtap{number}" for number in self._numbers)

    def _check_nic(self, nic: Attachment) -> None:
        if nic.kind == "direct" and nic.source_dev not in self._interfaces():
            raise HostFailure(f"Cannot get interface MTU on '{nic.source_dev}': No such device")
        if nic.kind == "direct" and nic.target_dev is not None:
            raise HostFailure(f"the name {nic.target_dev} may be another guest's macvtap here")
        made = {vif.tap_name for vif in self.plugged.values()}
        if nic.kind == "ethernet" and nic.target_dev not in made:
            raise HostFailure(f"The device {nic.target_dev} is not there, and is not to be made")

    def _interfaces(self) -> set[str]:
        """What a macvtap can be made on: the host's own interfaces, and the devices that plugged VIFs brought."""
        of_backends = [each.mappings.values() for each in self.backends if each.driver != "openvswitch"]
        own = {device for devices in of_backends for device in devices}
        return own | {str(vif.vif_details.get("macvtap_source")) for vif in self.plugged.values()}

    # VIFs.

    def plug(self, vif: Vif) -> VifReport:
        """Plug and wire a VIF. Raises HostFailure if nothing here can."""
        if not any(self._fits(vif, backend) for backend in self.backends):
            raise HostFailure(
                f"port {vif.port_id} has vif_type {vif.vif_type.value!r} with {dict(vif.vif_details)}, "
                f"and nothing on {self.name} can plug that"
            )
        self.plugged[vif.port_id] = vif
        return self.vif_report(vif)

    def unplug(self, port_id: str) -> None:
        """Remove what was plugged for a port."""
        vif = self.plugged.pop(port_id, None)
        if vif is not None and self.user_of(vif) is not None:
            self.violated(f"port {port_id} was unplugged under its domain")

    def vif_state(self, vif: Vif) -> VifState:
        """How far a VIF is."""
        here, user = self.plugged.get(vif.port_id), self.user_of(vif)
        if here is not None and (here.vif_type, here.vif_details) == (vif.vif_type, vif.vif_details):
            return VifState.UP
        foreign = user is not None and user.target_dev != vif.tap_name
        return VifState.UP if foreign else VifState.ABSENT

    def vif_report(self, vif: Vif) -> VifReport:
        """A VIF that was plugged here."""
        return VifReport(vif.port_id, self.vif_state(vif), (vif.tap_name,))

    def user_of(self, vif: Vif) -> Attachment | None:
        """The NIC of a live domain here that uses this VIF."""
        nics = [nic for domain in self.holds.values() if domain.live for nic in domain.nics()]
        return next((nic for nic in nics if nic.mac == vif.mac_address), None)

    def _fits(self, vif: Vif, backend: HostBackend) -> bool:
        carrier = backend.mappings.get(vif.segment.physical_network)
        if carrier is None or backend.driver != _DRIVERS.get(vif.vif_type):
            return False
        if vif.vif_type is VifType.MACVTAP:
            return carrier == vif.vif_details.get("physical_interface")
        return vif.vif_type is VifType.BRIDGE or vif.vif_details["bridge_name"] == backend.integration_bridge

    # Frames.

    def announce(self, vif: Vif) -> None:
        """Announce a VM from here."""
        running = {DomainState.RUNNING, DomainState.POSTCOPY_DESTINATION}
        runs = [each for each in self.holds.values() if each.state in running]
        if not any(nic.mac == vif.mac_address for domain in runs for nic in domain.nics()):
            self.violated(f"port {vif.port_id} was announced where its VM does not run")
        self.announced.append(vif.port_id)

    def watch(self, uuid: str, vifs: Sequence[Vif], migration_id: str | None) -> None:
        """Watch the frames that a domain sends on these VIFs, anew for each migration."""
        for vif in vifs:
            if self._watched.get(vif.port_id) != (uuid, migration_id):
                self._watched[vif.port_id] = (uuid, migration_id)
                self.frames[vif.port_id] = self.answers[vif.port_id] = FrameTimes()

    def emit(self, uuid: str) -> None:
        """The guest sends a frame on each of its NICs, and answers a question."""
        for port_id, (watched, _) in self._watched.items():
            if watched != uuid:
                continue
            if port_id not in self.silent:
                self.frames[port_id] = self._one_more(self.frames[port_id])
            if port_id in self.answering:
                self.answers[port_id] = self._one_more(self.answers[port_id])

    def _one_more(self, before: FrameTimes) -> FrameTimes:
        now = self.now_ns()
        first = before.first_ns if before.first_ns is not None else now
        return FrameTimes(first, now, before.frames + 1)

    def violated(self, what: str) -> None:
        """Note what must never be."""
        self.violations.append(f"{self.name}: {what}")
