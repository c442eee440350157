"""Tells the devices of a VM where it is, in the instant in which that changes: it runs here, or pauses to leave.

Goes by libvirt's events, so it is the same whoever migrates the VM. A conductor would be told too late: until then the
neighbours on the host that the VM left would go on sending to the device that it left behind.
"""

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import libvirt
import structlog

from kedge.agent.domains.hypervisor import Hypervisor
from kedge.agent.domains.libvirt_events import PAUSED_TO_SWITCH, Events
from kedge.agent.domains.transfers import Transfers
from kedge.agent.vif import Pluggers
from kedge.core.domain_xml import attachments
from kedge.model.domain import DomainState
from kedge.model.errors import KedgeError

log = structlog.get_logger(__name__)

_HERE = frozenset({DomainState.RUNNING, DomainState.POSTCOPY_DESTINATION})
_ELSEWHERE = frozenset({DomainState.INCOMING, DomainState.SWITCHOVER, DomainState.POSTCOPY_SOURCE})
_WAITING = 4096
"""More changes than all domains of a host have at once; what is beyond is found by `look`."""

_UNTOLD = "neighbours on this host may not reach a VM until the next look"


class _Device(NamedTuple):
    name: str
    mac: str


@dataclass(frozen=True)
class _Devices:
    """Those of a domain that Kedge made, and those that libvirt made for a VM whose neighbours could find it there."""

    own: tuple[_Device, ...] = ()
    libvirts: tuple[_Device, ...] = ()


@dataclass(frozen=True)
class _Change:
    uuid: str
    here: bool | None = None
    """None: a domain began, and what devices it has is to be learned."""
    count: int | None = None
    """What was seen is of no interest if something happened since; see `Events.count`."""


class Places:
    """Works in a thread of its own, one change after the other."""

    def __init__(self, vifs: Pluggers, hypervisor: Hypervisor, transfers: Transfers, events: Events) -> None:
        self._vifs = vifs
        self._hypervisor = hypervisor
        self._transfers = transfers
        self._events = events
        self._devices: dict[str, _Devices] = {}
        self._changes: queue.Queue[_Change | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="places", daemon=True)
        events.listen(self._lifecycle)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        if self._thread.is_alive():
            self._changes.put(None)
            self._thread.join()

    def look(self, xmls: Mapping[str, str]) -> None:
        """Note the devices of the active domains, and put right what no event told. Raises HostFailure."""
        counts = {uuid: self._events.count(uuid) for uuid in xmls}
        self._devices = {uuid: _devices(xml) for uuid, xml in xmls.items()}
        if not any(each.own or each.libvirts for each in self._devices.values()):
            return
        for uuid, seen in self._hypervisor.every_instance(self._transfers.under_way()).items():
            if uuid in counts and seen.state in _HERE | _ELSEWHERE:
                self._put(_Change(uuid, seen.state in _HERE, counts[uuid]))

    def _lifecycle(self, uuid: str, event: int, detail: int) -> None:
        if event == libvirt.VIR_DOMAIN_EVENT_SUSPENDED and detail in PAUSED_TO_SWITCH:
            self._put(_Change(uuid, here=False))
        elif event == libvirt.VIR_DOMAIN_EVENT_RESUMED:
            self._put(_Change(uuid, here=True))
        elif event == libvirt.VIR_DOMAIN_EVENT_STARTED:
            self._put(_Change(uuid, None if detail == libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED else True))
        elif event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
            self._devices.pop(uuid, None)

    def _put(self, change: _Change) -> None:
        try:
            self._changes.put_nowait(change)
        except queue.Full:
            log.warning("too many changes at once; the next look finds what was missed")

    def _run(self) -> None:
        while (change := self._changes.get()) is not None:
            try:
                self._apply(change)
            except KedgeError as error:
                log.warning(_UNTOLD, server=change.uuid, error=str(error))
            except Exception:  # the thread must outlive whatever a host may answer
                log.exception(_UNTOLD, server=change.uuid)

    def _apply(self, change: _Change) -> None:
        if change.count is not None and change.count != self._events.count(change.uuid):
            return
        if change.uuid not in self._devices:
            self._devices[change.uuid] = _devices(self._hypervisor.xml(change.uuid))
        if change.here is None:
            return
        devices = self._devices[change.uuid]
        moved = devices.libvirts if self._transfers.remembers(change.uuid) else ()
        for name, mac in (*devices.own, *moved):
            self._vifs.place(name, mac, here=change.here)


def _devices(xml: str) -> _Devices:
    nics = [(nic, _Device(nic.target_dev, nic.mac)) for nic in attachments(xml) if nic.target_dev and nic.mac]
    return _Devices(
        tuple(device for nic, device in nics if nic.kind == "ethernet"),
        tuple(
            device
            for nic, device in nics
            if nic.kind == "bridge" or (nic.kind, nic.mode) == ("direct", "bridge")
        ),
    )
