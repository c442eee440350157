"""VIFs that libvirt makes: a macvtap on the interface that carries the segment.

libvirt makes the macvtap when the domain starts or comes in, and removes it with the domain. What is left to
do here is the device below it. No device exists yet that could carry the port's mark, so the one below
carries it, as a further name.

As soon as the macvtap is there it is settled, before libvirt sets it up, which it does when the VM's CPUs
start: the host's own IPv6 would speak on it with the VM's address, and a flat one would pass tagged frames.
"""

from collections.abc import Sequence
from typing import ClassVar

from kedge.model.agent_api import VifReport
from kedge.model.domain import VifState
from kedge.model.errors import HostFailure
from kedge.model.host import HostBackend
from kedge.model.network import Vif

from .base import MACVTAP_MARK, Loose, carrier
from .links import Link, Links
from .raw import send
from .untagged import only_untagged, passes_only_untagged
from .vlan import ensure_segment_device, loose_vlan_devices, release_vlan_devices, segment_device


class MacvtapPlugger:
    """Plugs VIFs of type `macvtap`."""

    driver: ClassVar[str] = "macvtap"

    def __init__(self, backend: HostBackend | None, links: Links) -> None:
        self._backend = backend
        self._links = links
        if backend is not None:
            links.on_change("macvtap", self._settle)

    def plug(self, vif: Vif, queues: int = 1) -> VifState:
        """See `Plugger.plug`; libvirt gives the macvtap its queues."""
        parent = ensure_segment_device(self._links, vif, self._interface(vif), _source(vif))
        if parent.master is not None:
            raise HostFailure(f"{parent.name} is in a bridge and can't carry a macvtap; take it out")
        self._links.add_altname(parent, _mark(vif.port_id, vif.mac_address))
        self._settle()
        return self.state(vif)

    def state(self, vif: Vif, target: str | None = None) -> VifState:
        """See `Plugger.state`; whoever made the device below, a macvtap on it with the VM's MAC is UP."""
        parent = self._parent(vif)
        if parent is None or not parent.up:
            return VifState.ABSENT
        expected = _mark(vif.port_id, vif.mac_address) in parent.altnames
        macvtap = _macvtap(self._links.all(), parent, vif.mac_address)
        if macvtap is None:
            return VifState.BUILD if expected else VifState.ABSENT
        if expected and not self._is_settled(macvtap, parent):
            self._settle()
        return VifState.UP

    def device(self, vif: Vif, target: str | None = None) -> str | None:
        """See `Plugger.device`. The name is libvirt's choice, so it is found by MAC and parent."""
        parent = self._parent(vif)
        macvtap = _macvtap(self._links.all(), parent, vif.mac_address) if parent else None
        return macvtap.name if macvtap else None

    def inject(self, vif: Vif, frames: Sequence[bytes], target: str | None = None) -> None:
        """See `Plugger.inject`. A macvtap's place is known on its host; only the fabric must learn it."""
        parent = self._parent(vif)
        if parent is None:
            raise HostFailure(f"nothing carries the segment of port {vif.port_id} here; plug it first")
        send(parent.name, frames)

    def unplug(self, port_id: str) -> None:
        """See `Plugger.unplug`. The macvtap itself is libvirt's."""
        for link in self._links.all():
            for altname in link.altnames:
                if altname.startswith(f"{MACVTAP_MARK}{port_id}-"):
                    self._links.remove_altname(link, altname)
        release_vlan_devices(self._links)

    def plugged(self) -> list[VifReport]:
        """See `Plugger.plugged`; the device below counts as the VIF's while the macvtap is not there."""
        links = self._links.all()
        return [
            _report(links, link, altname)
            for link in links
            for altname in link.altnames
            if altname.startswith(MACVTAP_MARK)
        ]

    def loose(self) -> list[Loose]:
        """See `Plugger.loose`."""
        return loose_vlan_devices(self._links)

    def _settle(self) -> None:
        """Silence the macvtaps that were expected and have come; on a flat network, keep tagged frames off them."""
        links = self._links.all()
        for parent in links:
            for altname in parent.altnames:
                macvtap = _macvtap(links, parent, _mac(altname)) if altname.startswith(MACVTAP_MARK) else None
                if macvtap is None or self._is_settled(macvtap, parent):
                    continue
                self._links.silence(macvtap)
                if parent.kind != "vlan":
                    only_untagged(self._links, macvtap)

    def _is_settled(self, macvtap: Link, parent: Link) -> bool:
        flat = parent.kind != "vlan"
        return self._links.is_silent(macvtap) and (not flat or passes_only_untagged(self._links, macvtap))

    def _interface(self, vif: Vif) -> str:
        return str(vif.vif_details.get("physical_interface") or carrier(self._backend, vif))

    def _parent(self, vif: Vif) -> Link | None:
        return segment_device(self._links, vif, self._interface(vif), _source(vif))


def _source(vif: Vif) -> str | None:
    source = vif.vif_details.get("macvtap_source")
    return str(source) if source else None


def _mark(port_id: str, mac: str) -> str:
    return f"{MACVTAP_MARK}{port_id}-{mac.lower().replace(':', '')}"


def _macvtap(links: Sequence[Link], parent: Link, mac: str) -> Link | None:
    for link in links:
        if link.kind == "macvtap" and link.parent == parent.index and link.mac == mac.lower():
            return link
    return None


def _mac(mark: str) -> str:
    digits = mark.rpartition("-")[2]
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def _report(links: Sequence[Link], parent: Link, mark: str) -> VifReport:
    port_id = mark.removeprefix(MACVTAP_MARK).rpartition("-")[0]
    macvtap = _macvtap(links, parent, _mac(mark))
    if macvtap is None:
        return VifReport(port_id, VifState.BUILD, (parent.name,))
    return VifReport(port_id, VifState.UP, (macvtap.name,))
