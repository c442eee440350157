"""VIFs that libvirt makes: a macvtap on the interface that carries the segment.

libvirt makes the macvtap when the domain starts or comes in, and removes it with the domain. What is left to
do here is the device below it. No device exists yet that could carry the port's mark, so the one below
carries it, as a further name.

As soon as the macvtap is there it is settled, before libvirt sets it up, which it does when the VM's CPUs
start: the host's own IPv6 would speak on it with the VM's address, and a flat one would pass tagged frames. A macvtap
knows no multicast groups but those it is told of, and the guest joined its own elsewhere, or has a NIC that tells the
host nothing; so it takes multicast of every group, as a tap in a bridge does, and IPv6's neighbours find the VM.
(Neutron's macvtap agent does the same.)

A settled macvtap is marked, and found by the mark from then on: libvirt gives it another MAC when the guest changes
its own and may (`trustGuestRxFilters`).
"""

from collections.abc import Sequence
from typing import ClassVar

from kedge.model.domain import VifReport, VifState
from kedge.model.errors import HostFailure
from kedge.model.host import HostBackend
from kedge.model.network import Vif, VifType

from .base import MACVTAP_MARK, Loose, carrier, port_mark, port_of
from .link import Link
from .links import Links
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
        macvtap = _macvtap(self._links.all(), parent, vif.port_id, vif.mac_address, target)
        if macvtap is None:
            return VifState.BUILD if expected else VifState.ABSENT
        if expected and not self._is_settled(macvtap, parent, vif.port_id):
            self._settle()
        return VifState.UP

    def device(self, vif: Vif, target: str | None = None) -> str | None:
        """See `Plugger.device`. The name is libvirt's choice, so it is found by its mark, or by its parent and MAC."""
        parent = self._parent(vif)
        if parent is None:
            return None
        macvtap = _macvtap(self._links.all(), parent, vif.port_id, vif.mac_address, target)
        return macvtap.name if macvtap else None

    def heard(self, vif: Vif, target: str | None = None) -> frozenset[str]:
        """See `Plugger.heard`."""
        link = self._links.find(self.device(vif, target) or "")
        return frozenset({link.mac}) if link else frozenset()

    def inject(self, vif: Vif, frames: Sequence[bytes], target: str | None = None) -> None:
        """See `Plugger.inject`. A macvtap's place is known on its host; only the fabric must learn it."""
        parent = self._parent(vif)
        if parent is None:
            raise HostFailure(f"nothing carries the segment of port {vif.port_id} here; plug it first")
        send(parent.name, frames)

    def unplug(self, port_id: str) -> None:
        """See `Plugger.unplug`. The macvtap itself is libvirt's."""
        for link in self._links.all():
            if port_of(link.alias, VifType.MACVTAP) == port_id:
                self._links.mark(link, "")
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
        """Prepare and mark the macvtaps that were expected and have come; see the module's text."""
        links = self._links.all()
        for parent in links:
            for altname in parent.altnames:
                if not altname.startswith(MACVTAP_MARK):
                    continue
                port_id, mac = _read(altname)
                macvtap = _macvtap(links, parent, port_id, mac)
                if macvtap is None or self._is_settled(macvtap, parent, port_id):
                    continue
                self._links.silence(macvtap)
                if parent.kind != "vlan":
                    only_untagged(self._links, macvtap)
                self._links.receive_all_multicast(macvtap)
                self._links.mark(macvtap, port_mark(port_id, VifType.MACVTAP))

    def _is_settled(self, macvtap: Link, parent: Link, port_id: str) -> bool:
        if not macvtap.all_multicast or port_of(macvtap.alias, VifType.MACVTAP) != port_id:
            return False
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
    return f"{MACVTAP_MARK}{port_id}-{mac.replace(':', '')}"


def _macvtap(
    links: Sequence[Link], parent: Link, port_id: str, mac: str, name: str | None = None
) -> Link | None:
    """The port's macvtap: the one with its mark, or an unmarked one with the name, or the MAC, that it must have."""
    above = [link for link in links if link.kind == "macvtap" and link.parent == parent.index]
    marked = [link for link in above if port_of(link.alias, VifType.MACVTAP) == port_id]
    named = [link for link in above if not link.alias and name in (link.name, *link.altnames)]
    alike = [link for link in above if not link.alias and link.mac == mac]
    return next(iter(marked or named or alike), None)


def _read(mark: str) -> tuple[str, str]:
    """The port and the MAC in the mark of the device below."""
    port_id, _, digits = mark.removeprefix(MACVTAP_MARK).rpartition("-")
    return port_id, ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def _report(links: Sequence[Link], parent: Link, mark: str) -> VifReport:
    port_id, mac = _read(mark)
    macvtap = _macvtap(links, parent, port_id, mac)
    if macvtap is None:
        return VifReport(port_id, VifState.BUILD, (parent.name,))
    return VifReport(port_id, VifState.UP, (macvtap.name,))
