"""Hosts without hypervisors: agents that keep their domains and VIFs in memory and migrate by the clock."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.model.domain import (
    DomainState,
    DomainSummary,
    FrameTimes,
    HostView,
    JobProgress,
    TransferOrder,
    TransferState,
    VifReport,
    VifState,
)
from kedge.model.errors import HostFailure, NotFound, Unreachable
from kedge.model.host import HostBackend
from kedge.model.host_facts import FactsRequest, FileFacts, HostFacts
from kedge.model.host_network import HostNetwork, VlanDevice
from kedge.testing.simulated import plans
from kedge.wire.messages import (
    AnnounceOrder,
    DiscardOrder,
    HostReport,
    ObserveRequest,
    PlugOrder,
    ResumeOrder,
    RewireOrder,
    RewireResults,
    RewireStep,
    Side,
    SidesRequest,
    TransferTuning,
    UnplugOrder,
    VifResults,
)
from kedge.wire.plans import Arrival, Departure, DepartureRequest

MIB = 2**20
PAUSE_S = 0.15
DOWNTIME_MS = 42

BACKENDS = {
    "h1": HostBackend("macvtap", {"physnet1": "eth1"}),
    "h2": HostBackend("macvtap", {"physnet1": "ens5"}),
    "h3": HostBackend("openvswitch", {"physnet1": "br-physnet1"}, datapath_type="netdev"),
    "h4": HostBackend("openvswitch", {"physnet1": "br-physnet1"}, hybrid_plug=True),
    "h5": HostBackend("linuxbridge", {"physnet1": "eth1"}),
    "h6": HostBackend("openvswitch", {"physnet2": "br-physnet2"}),
    "dead": HostBackend("macvtap", {"physnet1": "eth1"}),
}


@dataclass
class Transfer:
    """A migration of a domain, as the two hypervisors see it."""

    order: TransferOrder
    source: str
    destination: str
    began: float
    lasts_s: float
    error: str | None = None

    @property
    def runs_for(self) -> float:
        return time.monotonic() - self.began

    @property
    def ended(self) -> bool:
        return self.error is not None or self.runs_for >= self.lasts_s + PAUSE_S

    @property
    def paused(self) -> bool:
        return not self.ended and self.runs_for >= self.lasts_s


@dataclass
class Fleet:
    """All hosts. `lasts_s` is how long a transfer copies memory, `fails` what it then fails with."""

    domains: dict[str, dict[str, str]] = field(default_factory=lambda: {host: {} for host in BACKENDS})
    vifs: dict[str, set[str]] = field(default_factory=lambda: {host: set() for host in BACKENDS})
    transfers: dict[str, Transfer] = field(default_factory=dict)
    announced: list[str] = field(default_factory=list)
    lasts_s: float = 0.3
    fails: str | None = None
    silent_frames: bool = False
    answers: bool = False
    refuse_plugs: set[str] = field(default_factory=set)
    missing: dict[str, set[str]] = field(default_factory=dict)
    ignores_aborts: bool = False
    rewired: dict[str, str] = field(default_factory=dict)
    """The type of VIF that each port has that was moved to another switch."""
    full: bool = False
    """No switch takes a port."""
    writes_mib: float = 0.0
    """How fast each guest writes to its memory."""

    def attach_to_libvirts_macvtap(self, host: str, uuid: str, interface: str) -> None:
        """Let a domain's NICs be such as an adopted server's may be."""
        xml = re.sub(
            r"<target dev='tap[^/]*/>", f"<source dev='{interface}' mode='bridge'/>", self.domains[host][uuid]
        )
        trusting = "<interface type='direct' trustGuestRxFilters='yes'>"
        self.domains[host][uuid] = xml.replace("<interface type='ethernet'>", trusting)

    def agent(self, host: str) -> "FakeAgent":
        return FakeAgent(self, host)

    def hurry(self) -> None:
        """Let what is being copied be complete now."""
        for transfer in self.transfers.values():
            transfer.lasts_s = min(transfer.lasts_s, transfer.runs_for)

    def settle(self) -> None:
        """Let what the clock says has happened happen."""
        for transfer in self.transfers.values():
            uuid = transfer.order.server_id
            if self.fails and transfer.runs_for >= transfer.lasts_s:
                transfer.error = transfer.error or self.fails
            if transfer.ended and transfer.error is None and uuid in self.domains[transfer.source]:
                del self.domains[transfer.source][uuid]
                self.domains[transfer.destination][uuid] = transfer.order.destination_xml


class FakeAgent:
    """One host's agent."""

    def __init__(self, fleet: Fleet, host: str) -> None:
        self._fleet = fleet
        self._host = host
        if host == "dead":
            raise Unreachable("The agent of dead does not answer")

    @property
    def _domains(self) -> dict[str, str]:
        return self._fleet.domains[self._host]

    def host(self) -> HostReport:
        return report_of(self._host)

    def facts(self, request: FactsRequest) -> HostFacts:
        files = dict.fromkeys(self._fleet.missing.get(self._host, ()), FileFacts())
        written = dict.fromkeys(request.measure, self._fleet.writes_mib)
        return HostFacts(machine=self._host, files=files, dirty_mib=written)

    def domains(self) -> list[DomainSummary]:
        return [DomainSummary(uuid, f"dom-{uuid[:4]}", DomainState.RUNNING, True) for uuid in self._domains]

    def domain_xml(self, uuid: str, *, migratable: bool = False) -> str:
        if uuid not in self._domains:
            raise NotFound(f"There is no domain {uuid} on {self._host}.")
        return self._domains[uuid]

    def network(self) -> HostNetwork:
        return HostNetwork(vlans={"eth1.100": VlanDevice("eth1", 100)})

    def create_domain(self, uuid: str, xml: str) -> None:
        if "/broken" in xml:
            raise HostFailure(f"libvirt on {self._host}: Cannot access '/broken': No such file or directory")
        self._domains[uuid] = xml

    def delete_domain(self, uuid: str) -> None:
        self._domains.pop(uuid, None)

    def discard_domain(self, uuid: str, order: DiscardOrder) -> None:
        self._domains.pop(uuid, None)

    def resume_domain(self, uuid: str, order: ResumeOrder) -> None:
        raise AssertionError("nothing here leaves a VM paused")

    def observe(self, uuid: str, request: ObserveRequest) -> HostView:
        time.sleep(min(request.wait_ms, 40) / 1000)
        self._fleet.settle()
        transfer = self._fleet.transfers.get(request.migration_id or "")
        view = HostView(
            vifs={vif.port_id: self._vif(vif.port_id) for vif in request.vifs}, now_ns=time.time_ns()
        )
        return HostView(**{**vars(view), **self._of_domain(uuid, transfer, request)})

    def _of_domain(
        self, uuid: str, transfer: Transfer | None, request: ObserveRequest
    ) -> Mapping[str, object]:
        here = DomainState.RUNNING if uuid in self._domains else DomainState.ABSENT
        if transfer is None:
            return {"domain": here}
        times = self._frames(request, transfer)
        frames = {} if self._fleet.silent_frames else times
        heard = {"frames": frames, "answers": times if self._fleet.answers else {}}
        if self._host == transfer.destination:
            coming = DomainState.ABSENT if transfer.ended else DomainState.INCOMING
            return {"domain": here if here is DomainState.RUNNING else coming, **heard}
        return {**_source_view(here, transfer), **heard}

    def _frames(self, request: ObserveRequest, transfer: Transfer) -> dict[str, FrameTimes]:
        paused = time.time_ns() - int((transfer.runs_for - transfer.lasts_s) * 1e9)
        if self._host == transfer.source:
            return {vif.port_id: FrameTimes(paused - 10**9, paused, 99) for vif in request.vifs}
        if not transfer.ended or transfer.error:
            return {}
        first = paused + int(PAUSE_S * 1e9)
        return {vif.port_id: FrameTimes(first, first, 1) for vif in request.vifs}

    def departure(self, uuid: str, request: DepartureRequest) -> Departure:
        return plans.departure(self, uuid, request)

    def arrival(self, uuid: str, request: FactsRequest) -> Arrival:
        return plans.arrival(self, uuid, request)

    def start_transfer(self, order: TransferOrder) -> None:
        destination = order.migrate_uri.removeprefix("tcp://")
        began = time.monotonic()
        self._fleet.transfers.setdefault(
            order.migration_id, Transfer(order, self._host, destination, began, self._fleet.lasts_s)
        )

    def tune_transfer(self, migration_id: str, tuning: TransferTuning) -> None:
        return

    def abort_transfer(self, migration_id: str, epoch: int, server_id: str | None = None) -> None:
        transfer = self._fleet.transfers[migration_id]
        if not transfer.ended and not self._fleet.ignores_aborts:
            transfer.error = "operation aborted: migration job: canceled by client"

    def vifs(self) -> list[VifReport]:
        return []

    def plug(self, order: PlugOrder) -> VifResults:
        if self._host in self._fleet.refuse_plugs:
            raise HostFailure("the switch is full")
        self._fleet.vifs[self._host] |= {vif.port_id for vif in order.vifs}
        return VifResults(tuple(VifReport(vif.port_id, VifState.UP, ()) for vif in order.vifs))

    def unplug(self, order: UnplugOrder) -> VifResults:
        self._fleet.vifs[self._host] -= set(order.port_ids)
        return VifResults(tuple(VifReport(port_id, VifState.ABSENT, ()) for port_id in order.port_ids))

    def sides(self, request: SidesRequest) -> dict[str, Side]:
        now = self._fleet.rewired
        return {
            each.vif.port_id: Side.HERE if now.get(each.vif.port_id) == each.vif.vif_type else Side.THERE
            for each in request.ports
        }

    def rewire(self, order: RewireOrder) -> RewireResults:
        if self._fleet.full:
            raise HostFailure("the switch is full")
        if order.step is RewireStep.MOVE:
            self._fleet.rewired |= {each.vif.port_id: each.vif.vif_type for each in order.ports}
        return RewireResults(tuple(each.vif.port_id for each in order.ports), {}, {})

    def announce(self, order: AnnounceOrder) -> None:
        self._fleet.announced += [vif.mac_address for vif in order.vifs]

    def _vif(self, port_id: str) -> VifState:
        return VifState.UP if port_id in self._fleet.vifs[self._host] else VifState.ABSENT


def _source_view(here: DomainState, transfer: Transfer) -> Mapping[str, object]:
    if transfer.error is not None:
        return {"domain": here, "transfer": TransferState.FAILED, "transfer_error": transfer.error}
    if transfer.ended:
        completed = JobProgress(downtime_ms=DOWNTIME_MS)
        return {"domain": here, "transfer": TransferState.SUCCEEDED, "completed": completed}
    share = min(1.0, transfer.runs_for / transfer.lasts_s)
    total = 128 * MIB
    progress = JobProgress(
        elapsed_ms=int(transfer.runs_for * 1000),
        memory_total=total,
        memory_processed=int(total * share),
        memory_remaining=int(total * (1 - share)),
        memory_bps=90 * MIB,
        iteration=1,
    )
    domain = DomainState.SWITCHOVER if transfer.paused else DomainState.RUNNING
    return {"domain": domain, "job": True, "transfer": TransferState.RUNNING, "progress": progress}


def report_of(host: str) -> HostReport:
    """What a host's agent reports."""
    return HostReport(
        host=host,
        url=f"fake://{host}",
        backends=(BACKENDS[host],),
        libvirt_uri=f"qemu+tcp://{host}/system",
        migrate_uri=f"tcp://{host}",
        libvirt_version=9_000_000,
    )
