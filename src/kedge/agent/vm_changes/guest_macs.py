"""Gives a VM behind a macvtap what is sent to the MAC that its guest chose, as a switch gives it what it learned.

A guest changes its MAC when a bond fails over, for instance. QEMU tells that a NIC's filter changed, and answers what
MAC it has (`query-rx-filter`; virtio-net only). libvirt does the same for the macvtaps that it makes itself. libvirt
notes of a domain whose QEMU was asked so that it is "tainted: custom-monitor", which means nothing else.
"""

import json
import threading
import time
from contextlib import suppress
from typing import Any

import libvirt
import libvirt_qemu
import structlog

from kedge.agent.domains.hypervisor import Hypervisor
from kedge.agent.domains.libvirt_connection import Connection
from kedge.agent.domains.libvirt_events import Events
from kedge.agent.vif import Pluggers
from kedge.core.domain_xml import Attachment, attachments
from kedge.model.errors import KedgeError
from kedge.model.mac import normal_mac

log = structlog.get_logger(__name__)

_CHANGED = "NIC_RX_FILTER_CHANGED"
_EVERY_S = 1.0
"""A domain is not looked at more often, however often its guest changes its filters."""


class GuestMacs:
    """Looks at the NICs of a domain when it begins to run here, and when QEMU says that one changed its filter."""

    def __init__(
        self, vifs: Pluggers, hypervisor: Hypervisor, connection: Connection, events: Events
    ) -> None:
        self._vifs = vifs
        self._hypervisor = hypervisor
        self._connection = connection
        self._changed = threading.Condition()
        self._due: dict[str, float] = {}
        self._looked_at: dict[str, float] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="guest-macs", daemon=True)
        events.listen(self._lifecycle)
        connection.on_connect(self._subscribe)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def look(self, uuid: str) -> None:
        """Look at a domain soon; once, however often it is said until then. Returns at once."""
        with self._changed:
            self._due.setdefault(uuid, self._looked_at.get(uuid, float("-inf")) + _EVERY_S)
            self._changed.notify()

    def _run(self) -> None:
        while (uuid := self._next()) is not None:
            self._look(uuid)

    def _next(self) -> str | None:
        """The next domain to look at, when it is due; None at the end."""
        with self._changed:
            while not self._closing:
                now = time.monotonic()
                first = min(self._due, key=self._due.__getitem__, default=None)
                if first is not None and self._due[first] <= now:
                    del self._due[first]
                    recent = {uuid: at for uuid, at in self._looked_at.items() if now - at < _EVERY_S}
                    self._looked_at = {**recent, first: now}
                    return first
                self._changed.wait(None if first is None else self._due[first] - now)
            return None

    def _subscribe(self, connection: Any) -> None:
        with suppress(libvirt.libvirtError):  # libvirt's test driver has no QEMU
            libvirt_qemu.qemuMonitorEventRegister(connection, None, _CHANGED, self._filter_changed, None)
            for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                self.look(domain.UUIDString())

    def _filter_changed(self, _connection: Any, domain: Any, *_details: Any) -> None:
        self.look(domain.UUIDString())

    def _lifecycle(self, uuid: str, event: int, _detail: int) -> None:
        if event == libvirt.VIR_DOMAIN_EVENT_RESUMED:
            self.look(uuid)

    def _look(self, uuid: str) -> None:
        try:
            for nic in attachments(self._hypervisor.xml(uuid)):
                if nic.kind == "ethernet" and nic.target_dev and nic.alias and nic.trusts_guest:
                    self._follow(uuid, nic)
        except KedgeError as error:
            log.debug("can't follow the MACs of a guest", server=uuid, error=str(error))
        except Exception:  # nobody would see it
            log.exception("can't follow the MACs of a guest", server=uuid)

    def _follow(self, uuid: str, nic: Attachment) -> None:
        device = str(nic.target_dev)
        if not self._vifs.receives_for_one(device):
            return
        with self._connection.speaking(f"ask for the MAC of {nic.alias}"):
            domain = self._hypervisor.domain(uuid)
            if domain is None:
                return
            question = {"execute": "query-rx-filter", "arguments": {"name": nic.alias}}
            answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps(question), 0))
        filters = answer.get("return") or ()  # a NIC of another kind has an error instead
        for each in filters:
            self._vifs.receive_for(device, normal_mac(str(each["main-mac"])))
