"""VIFs on Open vSwitch: a tap that is a port of the integration bridge, directly or through a Linux bridge.

Native plug: the tap itself is the port. Hybrid plug: the tap is in a Linux bridge of its own (qbr…),
which a veth pair (qvb…, qvo…) joins to the integration bridge; Neutron does so where iptables must see the frames.
Either way the port is added together with its tag, in one transaction.
"""

from collections.abc import Collection, Sequence
from typing import ClassVar

from kedge.agent.vif import local_vlan, openflow, ovs_changes, unused_local_vlans, vswitchd
from kedge.model.domain import VifReport, VifState
from kedge.model.errors import HostFailure
from kedge.model.host import HostBackend
from kedge.model.network import Vif, VifType

from . import ovs_client as ovs
from .base import Loose, Taking, carrier, port_mark, port_of
from .link import Link
from .links import Links
from .tap import ensure_tap, moving_to_bridge

PORT_ID = "kedge-port"

# A bridge of two ports needs no memory of who is where, and one that learns would keep frames from a VM that
# has just arrived: until then its frames came from the other side. Multicast is not its business either.
_HUB = {"br_stp_state": 0, "br_forward_delay": 0, "br_mcast_snooping": 0, "br_ageing_time": 0}


class OvsPlugger:
    """Plugs VIFs of type `ovs`. The bridges must be there; Kedge adds patch ports, flows and ports to them."""

    driver: ClassVar[str] = "openvswitch"

    def __init__(self, backend: HostBackend | None, links: Links) -> None:
        self._backend = backend
        self._links = links

    def plug(self, vif: Vif, queues: int = 1) -> None:
        """See `Plugger.plug`."""
        self._leave_other_form(vif)
        integration = self._integration(vif)
        local = local_vlan.ensure(integration, carrier(self._backend, vif), vif.segment)
        before = self._links.find(_port_name(vif))
        tap = ensure_tap(self._links, vif, queues)
        if _is_hybrid(vif):
            bridge = self._ensure_hybrid(vif)
            if tap.master != bridge.index:
                self._links.set(tap, master=bridge.index)
        self._up(_port_name(vif))
        self._up(tap.name)
        self._ensure_port(vif, integration, local, before)

    def make_ready(self, vif: Vif) -> None:
        """See `Switch.make_ready`."""
        self._ready(vif)

    def taking(self, vif: Vif, tap: Link) -> Taking:
        """See `Switch.taking`."""
        integration, local = self._ready(vif)
        switch = ovs.look()
        learned = local_vlan.learned_at(switch, integration, _port_name(vif), local)
        if _is_hybrid(vif):
            bridge = self._links.get(_hybrid_names(vif)[0])
            return Taking(moving_to_bridge(self._links, tap, bridge), learned)
        port = switch.ports.get(tap.name)
        in_bridge = any(link.index == tap.master and link.kind == "bridge" for link in self._links.all())

        def take() -> None:
            if port is not None:
                ovs.change(ovs_changes.remove_port(port.bridge, port.uuid))
            if in_bridge:
                self._links.set(tap, master=0)
            ovs.change(ovs_changes.add_port(integration, tap.name, *_columns(vif, local)))
            ovs.wait()

        return Taking(take, learned)

    def leave(self, vif: Vif) -> None:
        """See `Switch.leave`."""
        if _is_hybrid(vif):
            qbr, qvb, qvo = _hybrid_names(vif)
            port = ovs.look().ports.get(qvo)
            if port is not None and port.external_ids.get(PORT_ID) == vif.port_id:
                ovs.remove_port(port)
            mark = port_mark(vif.port_id, vif.vif_type)
            found = (self._links.find(name) for name in (qvb, qbr))
            self._links.delete(link for link in found if link is not None and link.alias == mark)
        local_vlan.release()

    def _ready(self, vif: Vif) -> tuple[str, int]:
        """Make all but the tap; the integration bridge, and the segment's local VLAN on it."""
        integration = self._integration(vif)
        local = local_vlan.ensure(integration, carrier(self._backend, vif), vif.segment)
        if _is_hybrid(vif):
            name = _port_name(vif)
            before = self._links.find(name)
            self._ensure_hybrid(vif)
            self._up(name)
            self._ensure_port(vif, integration, local, before)
        return integration, local

    def state(self, vif: Vif, target: str | None = None) -> VifState:
        """See `Plugger.state`. A port that Kedge did not make is UP when it is on the bridge."""
        switch = ovs.look()
        port = switch.ports.get(_port_name(vif, target))
        integration = self._integration(vif)
        if port is None or port.bridge != integration or port.number is None or port.error:
            return VifState.ABSENT
        if port.external_ids.get(PORT_ID) != vif.port_id:
            return VifState.UP if target else VifState.ABSENT
        local = local_vlan.verified(switch, integration, carrier(self._backend, vif), vif.segment)
        if port.tag is None or port.tag != local:
            return VifState.ABSENT
        return VifState.UP if self._devices_are_up(vif) else VifState.ABSENT

    def device(self, vif: Vif, target: str | None = None) -> str | None:
        """See `Plugger.device`."""
        link = self._links.find(target or vif.tap_name)
        return link.name if link else None

    def place(self, device: str, mac: str, *, here: bool) -> None:
        """See `Plugger.place`. The switch learns, but heeds what it has learned only within half a second.

        (`max-revalidator` in ovs-vswitchd.conf.db(5).) So it is made to forget a VM that leaves.
        """
        if here or not self._has_ovs():
            return
        switch = ovs.look()
        port = switch.ports.get(device) or switch.ports.get(f"qvo{device.removeprefix('tap')}")
        if port is not None:
            vswitchd.forget(mac, local_vlan.learned_at(switch, port.bridge, port.name, port.tag))

    def receives_for_one(self, device: str) -> bool:
        """See `Plugger.receives_for_one`."""
        return False

    def receive_for(self, device: str, mac: str) -> None:
        """See `Plugger.receive_for`."""

    def heard(self, vif: Vif, target: str | None = None) -> frozenset[str]:
        """See `Plugger.heard`."""
        port = ovs.look().ports.get(_port_name(vif, target))
        return vswitchd.heard(port.bridge, port.number) if port and port.number is not None else frozenset()

    def inject(self, vif: Vif, frames: Sequence[bytes], target: str | None = None) -> None:
        """See `Plugger.inject`; the bridges switch the frames as if the VM had sent them, and learn from them."""
        name = _port_name(vif, target)
        port = ovs.look().ports.get(name)
        if port is None or port.number is None:
            raise HostFailure(
                f"there is no port {name} on an Open vSwitch bridge here; plug {vif.port_id} first"
            )
        openflow.packet_out(port.bridge, port.number, frames)

    def unplug(self, port_ids: Collection[str]) -> None:
        """See `Plugger.unplug`."""
        if self._has_ovs():
            mine = [port for port in ovs.look().ports.values() if port.external_ids.get(PORT_ID) in port_ids]
            if mine:
                ovs.change(
                    [each for port in mine for each in ovs_changes.remove_port(port.bridge, port.uuid)]
                )
        self._links.delete(link for link in self._links.all() if port_of(link.alias, VifType.OVS) in port_ids)
        if self._has_ovs():
            local_vlan.release()

    def plugged(self) -> list[VifReport]:
        """See `Plugger.plugged`. A row of the database whose device is gone, as after a reboot, is ABSENT."""
        devices: dict[str, set[str]] = {}
        for link in self._links.all():
            port_id = port_of(link.alias, VifType.OVS)
            if port_id is not None:
                devices.setdefault(port_id, set()).add(link.name)
        up = set()
        for port in ovs.look().ports.values() if self._has_ovs() else ():
            if PORT_ID in port.external_ids:
                port_id = port.external_ids[PORT_ID]
                up |= {port_id} if port.number is not None and port_id in devices else set()
                devices.setdefault(port_id, set()).add(port.name)
        return [
            VifReport(port_id, VifState.UP if port_id in up else VifState.ABSENT, tuple(sorted(names)))
            for port_id, names in devices.items()
        ]

    def loose(self) -> list[Loose]:
        """See `Plugger.loose`."""
        return unused_local_vlans.loose() if self._has_ovs() else []

    def _integration(self, vif: Vif) -> str:
        default = self._backend.integration_bridge if self._backend else "br-int"
        return str(vif.vif_details.get("bridge_name") or default)

    def _has_ovs(self) -> bool:
        """Where the agent is configured for Open vSwitch, that it does not answer is an error, not an absence."""
        return self._backend is not None or ovs.is_reachable()

    def _leave_other_form(self, vif: Vif) -> None:
        """A VIF that was plugged the other way before, native or hybrid, is made anew."""
        stale = f"qvo{vif.port_id[:11]}" if not _is_hybrid(vif) else vif.tap_name
        port = ovs.look().ports.get(stale)
        if port is None or port.external_ids.get(PORT_ID) != vif.port_id:
            return
        tap = self._links.find(vif.tap_name)
        if tap is not None and tap.is_open:
            raise HostFailure(f"{vif.tap_name} is in use and plugged in another way than the binding says")
        self.unplug([vif.port_id])

    def _ensure_hybrid(self, vif: Vif) -> Link:
        """The Linux bridge of a VIF, joined to the veth pair, up."""
        mark = port_mark(vif.port_id, vif.vif_type)
        qbr, qvb, qvo = _hybrid_names(vif)
        bridge = self._links.find(qbr) or self._links.add(qbr, "bridge", mark, **_HUB)
        if self._links.find(qvb) is None:
            self._links.add_veth(qvb, qvo, mark)
        for name in (qvb, qvo):
            link = self._links.get(name)
            if link.mtu != vif.mtu:
                self._links.set(link, mtu=vif.mtu)
        inner = self._links.get(qvb)
        if inner.master != bridge.index:
            self._links.set(inner, master=bridge.index)
        for name in (qbr, qvb):
            self._up(name)
        return bridge

    def _ensure_port(self, vif: Vif, integration: str, local: int, before: Link | None) -> None:
        """Make the port, tagged from the start; `before` is its device as it was before this call."""
        name = _port_name(vif)
        there = ovs.look().ports.get(name)
        if there is not None and there.external_ids.get(PORT_ID) != vif.port_id:
            raise HostFailure(f"there is a port {name} on {there.bridge} that Kedge did not make; remove it")
        # Open vSwitch holds on to the device that had this name when the port was made.
        stale = before is None or before.index != self._links.get(name).index
        if there is not None and (stale or there.bridge != integration or there.number is None):
            ovs.remove_port(there)
            there = None
        columns = _columns(vif, local)
        if there is None:
            ovs.change(ovs_changes.add_port(integration, name, *columns))
        else:
            ovs.change(ovs_changes.set_port(name, *columns))

    def _up(self, name: str) -> None:
        link = self._links.get(name)
        if not link.up:
            self._links.set(link, state="up")

    def _devices_are_up(self, vif: Vif) -> bool:
        links = {link.name: link for link in self._links.all()}
        names = (vif.tap_name, *_hybrid_names(vif)) if _is_hybrid(vif) else (vif.tap_name,)
        if not all(name in links and links[name].up for name in names):
            return False
        if not _is_hybrid(vif):
            return True
        qbr, qvb, _ = _hybrid_names(vif)
        return links[qbr].index == links[vif.tap_name].master == links[qvb].master


def _is_hybrid(vif: Vif) -> bool:
    return bool(vif.vif_details.get("ovs_hybrid_plug"))


def _columns(vif: Vif, local: int) -> tuple[ovs_changes.Columns, ovs_changes.Columns]:
    """What a VIF's port and its interface hold; the latter as Nova's os-vif writes it."""
    port = {"tag": local, "vlan_mode": "access", "external_ids": {PORT_ID: vif.port_id}}
    ids = {"iface-id": vif.port_id, "attached-mac": vif.mac_address, "iface-status": "active"}
    return port, {"external_ids": ids}


def _hybrid_names(vif: Vif) -> tuple[str, str, str]:
    """The Linux bridge, the veth end in it, and the end on the integration bridge, by Neutron's naming."""
    short = vif.port_id[:11]
    return f"qbr{short}", f"qvb{short}", f"qvo{short}"


def _port_name(vif: Vif, target: str | None = None) -> str:
    """The port on the integration bridge; `target` counts only where it is not the tap that Kedge made."""
    if target not in (None, vif.tap_name):
        return str(target)
    return _hybrid_names(vif)[2] if _is_hybrid(vif) else vif.tap_name
