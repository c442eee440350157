"""What stands for the parts of an agent that need a real host."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from kedge.agent.agent import Agent
from kedge.agent.config import AgentConfig
from kedge.agent.vif import Plugged, noting
from kedge.model.domain import VifReport, VifState
from kedge.model.errors import HostFailure
from kedge.model.host import HostBackend
from kedge.model.network import Vif
from kedge.wire.agent_client import AgentClient


class NotedVifs:
    """Stands for `Pluggers` where no device is to be made."""

    def __init__(self) -> None:
        self.made: dict[str, Vif] = {}
        self.injected: list[tuple[str, int]] = []
        self.fails = False
        self.refused: set[str] = set()
        self.stuck: set[str] = set()
        self.queues: dict[str, int] = {}
        self.mended: list[tuple[str, int]] = []
        self.lying_about: set[str] = set()
        self.places: list[tuple[str, bool]] = []
        self.macs: list[tuple[str, str]] = []
        self.macvtaps: set[str] = set()

    def plug(self, vif: Vif, queues: int = 1) -> VifState:
        if self.fails or vif.port_id in self.refused:
            raise HostFailure("the kernel said no")
        self.made[vif.port_id] = vif
        self.queues[vif.port_id] = queues
        return VifState.BUILD

    def state(self, vif: Vif, target: str | None = None) -> VifState:
        if self.fails:
            raise HostFailure("the kernel said no")
        if target is not None:
            return VifState.UP
        return VifState.BUILD if vif.port_id in self.made else VifState.ABSENT

    def states(self, vifs: Iterable[Vif]) -> dict[str, VifState]:
        return {} if self.fails else {vif.port_id: self.state(vif) for vif in vifs}

    def one_look(self) -> AbstractContextManager[None]:
        return nullcontext()

    def heard(self, vif: Vif, target: str | None = None) -> frozenset[str]:
        return frozenset({vif.mac_address})

    def place(self, device: str, _mac: str, *, here: bool) -> None:
        self.places.append((device, here))

    def receives_for_one(self, device: str) -> bool:
        return device in self.macvtaps

    def receive_for(self, device: str, mac: str) -> None:
        self.macs.append((device, mac))

    def as_it_is(self, backend: HostBackend) -> HostBackend:
        return backend

    def mend(self, vif: Vif, queues: int = 1) -> VifState:
        self.mended.append((vif.port_id, queues))
        return self.plug(vif, queues)

    def loose(self) -> frozenset[str]:
        return frozenset(self.lying_about)

    def remove_loose(self, which: Collection[str]) -> list[str]:
        gone = sorted(self.lying_about & set(which))
        self.lying_about -= set(gone)
        return gone

    def device(self, vif: Vif, target: str | None = None) -> str | None:
        return target

    def inject(self, vif: Vif, frames: Sequence[bytes], target: str | None = None) -> None:
        self.injected.append((vif.port_id, len(frames)))

    def plug_all(self, vifs: Iterable[tuple[Vif, int]]) -> Plugged:
        plugged = Plugged({}, {})
        for vif, queues in vifs:
            with noting(plugged.failed, vif.port_id):
                plugged.states[vif.port_id] = self.plug(vif, queues)
        return plugged

    def unplug(self, *port_ids: str) -> None:
        for port_id in port_ids:
            if port_id not in self.stuck:
                self.made.pop(port_id, None)

    def plugged(self) -> list[VifReport]:
        return [VifReport(port_id, VifState.BUILD, (vif.tap_name,)) for port_id, vif in self.made.items()]


@dataclass
class Running:
    agent: Agent
    client: AgentClient
    vifs: NotedVifs
    config: AgentConfig
