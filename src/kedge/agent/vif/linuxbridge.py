"""VIFs on a Linux bridge: a tap in the bridge of its network, which also holds what carries the segment."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import ClassVar

from kedge.model.domain import VifReport, VifState
from kedge.model.errors import HostFailure
from kedge.model.host import HostBackend
from kedge.model.network import Vif, VifType

from . import ovs_client as ovs
from .base import NETWORK_MARK, Loose, Taking, carrier, port_of, vlan_of
from .link import Link
from .links import Links
from .raw import send
from .tap import ensure_tap, moving_to_bridge
from .untagged import only_untagged, passes_only_untagged
from .vlan import ensure_segment_device, loose_vlan_devices, release_vlan_devices, segment_device

# A port forwards from its first frame on: no spanning tree, no delay. Without multicast snooping, because a
# VM that arrives has joined its groups elsewhere; a bridge that snoops would keep multicast from it, IPv6's
# neighbour solicitations too, until the next query, some two minutes later.
BRIDGE_SETTINGS = {"br_stp_state": 0, "br_forward_delay": 0, "br_mcast_snooping": 0}


class BridgePlugger:
    """Plugs VIFs of type `bridge`; the bridge is the one that already holds the segment's device, if any does."""

    driver: ClassVar[str] = "linuxbridge"

    def __init__(self, backend: HostBackend | None, links: Links) -> None:
        self._backend = backend
        self._links = links

    def plug(self, vif: Vif, queues: int = 1) -> None:
        """See `Plugger.plug`."""
        bridge = self._ready(vif)
        tap = ensure_tap(self._links, vif, queues)
        if tap.master not in (None, bridge.index):
            self._links.set(tap, master=0)
        if vlan_of(vif.segment) is None:
            only_untagged(self._links, tap)
        if tap.master != bridge.index:
            self._links.set(tap, master=bridge.index)
        if not tap.up:
            self._links.set(tap, state="up")

    def make_ready(self, vif: Vif) -> None:
        """See `Switch.make_ready`."""
        self._ready(vif)

    def taking(self, vif: Vif, tap: Link) -> Taking:
        """See `Switch.taking`."""
        bridge = self._ready(vif)
        if vlan_of(vif.segment) is None:
            only_untagged(self._links, tap)
        return Taking(moving_to_bridge(self._links, tap, bridge))

    def leave(self, vif: Vif) -> None:
        """See `Switch.leave`."""
        self._links.delete(self._unused_bridges())
        release_vlan_devices(self._links)

    def _ready(self, vif: Vif) -> Link:
        return self._ensure_bridge(vif, ensure_segment_device(self._links, vif, carrier(self._backend, vif)))

    def state(self, vif: Vif, target: str | None = None) -> VifState:
        """See `Plugger.state`."""
        device = self._links.find(target or vif.tap_name)
        member = segment_device(self._links, vif, carrier(self._backend, vif))
        if device is None or member is None or not (device.up and member.up):
            return VifState.ABSENT
        if device.master is None or device.master != member.master:
            return VifState.ABSENT
        if not any(link.index == device.master and link.up for link in self._links.all()):
            return VifState.ABSENT
        ours = port_of(device.alias, VifType.BRIDGE) is not None
        if ours and vlan_of(vif.segment) is None and not passes_only_untagged(self._links, device):
            return VifState.ABSENT
        return VifState.UP

    def device(self, vif: Vif, target: str | None = None) -> str | None:
        """See `Plugger.device`."""
        link = self._links.find(target or vif.tap_name)
        return link.name if link else None

    def place(self, device: str, mac: str, *, here: bool) -> None:
        """See `Plugger.place`; the switch learns."""

    def receives_for_one(self, device: str) -> bool:
        """See `Plugger.receives_for_one`."""
        return False

    def receive_for(self, device: str, mac: str) -> None:
        """See `Plugger.receive_for`."""

    def heard(self, vif: Vif, target: str | None = None) -> frozenset[str]:
        """See `Plugger.heard`."""
        link = self._links.find(target or vif.tap_name)
        return self._links.heard(link) if link else frozenset()

    def inject(self, vif: Vif, frames: Sequence[bytes], target: str | None = None) -> None:
        """See `Plugger.inject`.

        The bridge has seen the VM's frames come in from outside until now, and would go on dropping what
        arrives for it there. So its entry is moved first; then the frames leave by the segment's device.
        """
        self._links.learn(self._links.get(target or vif.tap_name), vif.mac_address)
        member = segment_device(self._links, vif, carrier(self._backend, vif))
        if member is None:
            raise HostFailure(f"nothing carries the segment of port {vif.port_id} here; plug it first")
        send(member.name, frames)

    def unplug(self, port_ids: Collection[str]) -> None:
        """See `Plugger.unplug`."""
        mine = [link for link in self._links.all() if port_of(link.alias, VifType.BRIDGE) in port_ids]
        self._links.delete(mine)
        self._links.delete(self._unused_bridges())
        release_vlan_devices(self._links)

    def plugged(self) -> list[VifReport]:
        """See `Plugger.plugged`."""
        reports = []
        for link in self._links.all():
            port_id = port_of(link.alias, VifType.BRIDGE)
            if port_id is not None:
                state = VifState.UP if link.up and link.master else VifState.ABSENT
                reports.append(VifReport(port_id, state, (link.name,)))
        return reports

    def loose(self) -> list[Loose]:
        """See `Plugger.loose`."""
        bridges = [
            Loose(f"bridge {link.name}", partial(self._links.delete, [link]))
            for link in self._unused_bridges()
        ]
        return bridges + loose_vlan_devices(self._links)

    def _unused_bridges(self) -> list[Link]:
        devices = self._links.all()
        return [link for link in devices if _is_unused_bridge(link, devices)]

    def _ensure_bridge(self, vif: Vif, member: Link) -> Link:
        if member.master is not None:
            return self._bridge_of(member)
        self._refuse_if_in_open_vswitch(carrier(self._backend, vif))
        name = str(vif.vif_details.get("bridge_name") or f"brq{vif.network_id[:11]}")
        bridge = self._links.find(name)
        if bridge is None:
            self._refuse_addresses(member)
            mark = f"{NETWORK_MARK}{vif.network_id}:{member.name}"
            bridge = self._links.add(name, "bridge", mark, **BRIDGE_SETTINGS)
        if bridge.kind != "bridge" or not bridge.alias.startswith(NETWORK_MARK):
            raise HostFailure(
                f"{name} was not made by Kedge and does not hold {member.name}; put {member.name} into it, or remove it"
            )
        self._links.set(bridge, state="up")
        self._links.set(member, master=bridge.index)
        return bridge

    def _bridge_of(self, member: Link) -> Link:
        bridge = next(link for link in self._links.all() if link.index == member.master)
        if bridge.kind != "bridge":
            raise HostFailure(
                f"{member.name} is in {bridge.name}, which is no Linux bridge; take it out, or map another interface"
            )
        if not bridge.up:
            self._links.set(bridge, state="up")
        return bridge

    def _refuse_if_in_open_vswitch(self, interface: str) -> None:
        """A port of its userspace datapath has no master, so the kernel would let both have the interface."""
        port = ovs.look().ports.get(interface) if ovs.is_reachable() else None
        if port is not None:
            raise HostFailure(
                f"{interface} is a port of Open vSwitch's {port.bridge}; in a Linux bridge too it would be a loop: "
                "map a veth pair's end instead, whose other end is a port there"
            )

    def _refuse_addresses(self, member: Link) -> None:
        addresses = self._links.addresses(member)
        if addresses:
            raise HostFailure(
                f"{member.name} has the address {addresses[0]}, which would stop working in a bridge; "
                f"make a bridge with {member.name} in it and the address on it, which Kedge then uses"
            )


def bridges_of_others(links: Links, backend: HostBackend) -> dict[str, str]:
    """What `HostBackend.bridges` says: the bridges not made by Kedge that hold an interface of a segment."""
    devices = {link.index: link for link in links.all()}
    carriers = {device: physical_network for physical_network, device in backend.mappings.items()}
    found = {}
    for link in devices.values():
        bridge = devices.get(link.master or 0)
        if bridge is None or bridge.kind != "bridge" or bridge.alias.startswith(NETWORK_MARK):
            continue
        below = devices.get(link.parent or 0)
        if link.name in carriers:
            found[carriers[link.name]] = bridge.name
        elif link.vlan_id is not None and below is not None and below.name in carriers:
            found[f"{carriers[below.name]}.{link.vlan_id}"] = bridge.name
    return found


def _is_unused_bridge(link: Link, devices: Sequence[Link]) -> bool:
    if not link.alias.startswith(NETWORK_MARK):
        return False
    member = link.alias.rpartition(":")[2]
    return all(other.name == member for other in devices if other.master == link.index)
