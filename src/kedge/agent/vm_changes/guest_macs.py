"""Gives a VM behind a macvtap what is sent to the MAC that its guest chose, as a switch gives it what it learned.

A guest changes its MAC when a bond fails over, for instance. QEMU tells that a NIC's filter changed, and answers what
MAC it has (`query-rx-filter`; virtio-net only). libvirt does the same for the macvtaps that it makes itself. libvirt
notes of a domain whose QEMU was asked so that it is "tainted: custom-monitor", which means nothing else.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
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


class GuestMacs:
    """Looks at the NICs of a domain when it begins to run here, and when QEMU says that one changed its filter."""

    def __init__(
        self, vifs: Pluggers, hypervisor: Hypervisor, connection: Connection, events: Events
    ) -> None:
        self._vifs = vifs
        self._hypervisor = hypervisor
        self._connection = connection
        self._lock = Lock()
        self._waiting: set[str] = set()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="guest-macs")
        events.listen(self._lifecycle)
        connection.on_connect(self._subscribe)

    def close(self) -> None:
        """End."""
        self._worker.shutdown(cancel_futures=True)

    def look(self, uuid: str) -> None:
        """Look at a domain soon; once, however often it is said until then. Returns at once."""
        with self._lock:
            if uuid in self._waiting:
                return
            self._waiting.add(uuid)
        with suppress(RuntimeError):  # it is closed
            self._worker.submit(self._look, uuid)

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
        with self._lock:
            self._waiting.discard(uuid)
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
