"""VIFs on a macvtap: a device of the port's own on the interface that carries the segment.

It is made ahead, as a tap is, and libvirt opens it (`<interface type='ethernet'>` with `managed='no'`; libvirt looks
whether the device is a macvtap). While the VM runs elsewhere it is in VEPA mode, in which the kernel hands a
neighbour's frame for the VM's MAC to the wire and not to this device (Linux, macvlan_queue_xmit), and hands on what the
VM broadcasts from elsewhere to its neighbours here (macvlan_handle_frame). `place` sets it to bridge mode when the VM
runs here, and back when it leaves. Whatever becomes of the agent in between, the VM reaches the network outside.

A macvtap knows no multicast groups but those it is told of, and the guest joined its own elsewhere, or has a NIC that
tells the host nothing; so it takes multicast of every group, as a tap in a bridge does, and IPv6's neighbours find the
VM. (Neutron's macvtap agent does the same.)
"""

import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import ClassVar

from kedge.model.domain import VifReport, VifState
from kedge.model.errors import HostFailure
from kedge.model.host import HostBackend
from kedge.model.network import Vif, VifType

from .base import Loose, carrier, port_mark, port_of, vlan_of
from .link import Link
from .links import Links
from .raw import send
from .tap import device_of_port
from .untagged import only_untagged, passes_only_untagged
from .vlan import ensure_segment_device, loose_vlan_devices, release_vlan_devices, segment_device

_HERE, _ELSEWHERE = "bridge", "vepa"
_NODE_S = 5.0
"""So long udev may take to make the device's node."""


class MacvtapPlugger:
    """Plugs VIFs of type `macvtap`."""

    driver: ClassVar[str] = "macvtap"

    def __init__(self, backend: HostBackend | None, links: Links) -> None:
        self._backend = backend
        self._links = links

    def plug(self, vif: Vif, queues: int = 1) -> None:
        """See `Plugger.plug`; a macvtap has as many queues as it is opened with."""
        parent = ensure_segment_device(self._links, vif, self._interface(vif), _source(vif))
        if parent.master is not None:
            raise HostFailure(f"{parent.name} is in a bridge and can't carry a macvtap; take it out")
        device = device_of_port(self._links, vif) or self._make(vif, parent)
        if device.parent != parent.index:
            raise HostFailure(f"{device.name} is not on {parent.name}; stop what uses it and delete it")
        if device.mtu != vif.mtu:
            self._links.set(device, mtu=vif.mtu)
        if vlan_of(vif.segment) is None:
            only_untagged(self._links, device)
        if not device.all_multicast:
            self._links.receive_all_multicast(device)
        if not device.up:
            self._links.set(device, state="up")

    def state(self, vif: Vif, target: str | None = None) -> VifState:
        """See `Plugger.state`; whoever made it, a macvtap on the segment's device is UP."""
        parent = self._parent(vif)
        device = self._links.find(target or vif.tap_name)
        if parent is None or device is None or not parent.up:
            return VifState.ABSENT
        if device.kind != "macvtap" or device.parent != parent.index:
            return VifState.ABSENT
        if not self._is_ours(device):
            return VifState.UP
        untagged = vlan_of(vif.segment) is not None or passes_only_untagged(self._links, device)
        whole = device.up and device.all_multicast and self._links.is_silent(device) and untagged
        return VifState.UP if whole else VifState.ABSENT

    def device(self, vif: Vif, target: str | None = None) -> str | None:
        """See `Plugger.device`."""
        link = self._links.find(target or vif.tap_name)
        return link.name if link else None

    def place(self, device: str, mac: str, *, here: bool) -> None:
        """See `Plugger.place`. The other modes of a macvtap have no neighbours, or can't be left."""
        link = self._links.find(device)
        wanted, other = (_HERE, _ELSEWHERE) if here else (_ELSEWHERE, _HERE)
        if link is not None and link.macvtap_mode == other:
            self._links.set(link, kind="macvtap", macvtap_mode=wanted)

    def receives_for_one(self, device: str) -> bool:
        """See `Plugger.receives_for_one`."""
        link = self._links.find(device)
        return link is not None and self._is_ours(link)

    def receive_for(self, device: str, mac: str) -> None:
        """See `Plugger.receive_for`. libvirt follows a guest on the macvtaps that it made itself."""
        link = self._links.find(device)
        if link is not None and link.mac != mac and self._is_ours(link):
            self._links.set(link, address=mac)

    def heard(self, vif: Vif, target: str | None = None) -> frozenset[str]:
        """See `Plugger.heard`."""
        link = self._links.find(target or vif.tap_name)
        return frozenset({link.mac}) if link else frozenset()

    def inject(self, vif: Vif, frames: Sequence[bytes], target: str | None = None) -> None:
        """See `Plugger.inject`. The neighbours here ask the kernel; only the fabric must learn the VM's place."""
        parent = self._parent(vif)
        if parent is None:
            raise HostFailure(f"nothing carries the segment of port {vif.port_id} here; plug it first")
        send(parent.name, frames)

    def unplug(self, port_ids: Collection[str]) -> None:
        """See `Plugger.unplug`."""
        self._links.delete(
            [link for link in self._links.all() if port_of(link.alias, VifType.MACVTAP) in port_ids]
        )
        release_vlan_devices(self._links)

    def plugged(self) -> list[VifReport]:
        """See `Plugger.plugged`."""
        return [
            VifReport(port_id, VifState.UP if link.up else VifState.ABSENT, (link.name,))
            for link in self._links.all()
            if (port_id := port_of(link.alias, VifType.MACVTAP)) is not None
        ]

    def loose(self) -> list[Loose]:
        """See `Plugger.loose`."""
        return loose_vlan_devices(self._links)

    def _make(self, vif: Vif, parent: Link) -> Link:
        mark = port_mark(vif.port_id, VifType.MACVTAP)
        settings = {"link": parent.index, "macvtap_mode": _ELSEWHERE, "address": vif.mac_address}
        device = self._links.add(vif.tap_name, "macvtap", mark, **settings)
        node = Path(f"/dev/tap{device.index}")
        deadline = time.monotonic() + _NODE_S
        while not node.exists():
            if time.monotonic() > deadline:
                raise HostFailure(f"{node} of the macvtap {device.name} does not appear; does udev run?")
            time.sleep(0.01)
        return device

    def _is_ours(self, link: Link) -> bool:
        return port_of(link.alias, VifType.MACVTAP) is not None

    def _interface(self, vif: Vif) -> str:
        return str(vif.vif_details.get("physical_interface") or carrier(self._backend, vif))

    def _parent(self, vif: Vif) -> Link | None:
        return segment_device(self._links, vif, self._interface(vif), _source(vif))


def _source(vif: Vif) -> str | None:
    source = vif.vif_details.get("macvtap_source")
    return str(source) if source else None
