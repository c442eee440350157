"""Moves the taps of running VMs from one switch of this host to another."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from kedge.model.errors import HostFailure
from kedge.model.network import Vif, VifType

from . import local_vlan, vswitchd
from . import ovs_client as ovs
from .base import Plugger, Switch, port_mark
from .link import Link
from .links import Links
from .tap import is_for_port

_HYBRID = "ovs_hybrid_plug"


class Rewirer:
    """Works on a host's pluggers; whoever calls it holds their lock."""

    def __init__(self, pluggers: Mapping[str, Plugger], links: Links) -> None:
        self._pluggers = pluggers
        self._links = links

    def make_ready(self, vif: Vif) -> None:
        """Make the VIF's side ready. Raises HostFailure."""
        self._switch(vif.vif_type).make_ready(vif)
        ovs.wait()

    def move(self, vif: Vif, announce: Callable[[Vif], None] = lambda _vif: None) -> float:
        """Move the VIF's tap to where the VIF says; for how long the VM had no switch, in ms.

        That is counted from before its tap leaves the one until the other has it, and the VM was announced there. So
        it is an upper bound of what the network sees. Raises HostFailure.
        """
        tap = self._tap(vif)
        taking = self._switch(vif.vif_type).taking(vif, tap)
        ovs.wait()
        learned = taking.learned or _learned(tap)
        began = time.monotonic_ns()
        taking.move()
        if learned:
            vswitchd.forget(vif.mac_address, learned)
        announce(vif)
        blackout_ms = (time.monotonic_ns() - began) / 1e6
        mark = port_mark(vif.port_id, vif.vif_type)
        if tap.alias != mark:
            self._links.set(tap, ifalias=mark)
        ovs.wait()
        return blackout_ms

    def take_over(self, vif: Vif) -> None:
        """Move the VIF's tap to where the VIF says from wherever it is, and leave nothing there. Raises HostFailure."""
        self.move(vif)
        for vif_type, hybrid in ((VifType.BRIDGE, False), (VifType.OVS, False), (VifType.OVS, True)):
            is_same = vif.vif_type == vif_type and bool(vif.vif_details.get(_HYBRID)) is hybrid
            if not is_same and (vif_type != VifType.OVS or ovs.is_reachable()):
                self.leave(replace(vif, vif_type=vif_type, vif_details={_HYBRID: hybrid}))

    def leave(self, vif: Vif) -> None:
        """Remove what is left where the VIF says, its tap being elsewhere. Raises HostFailure."""
        self._switch(vif.vif_type).leave(vif)
        ovs.wait()

    def has_tap(self, vif: Vif) -> bool:
        """Whether the tap that Kedge made for the VIF's port is there."""
        tap = self._links.find(vif.tap_name)
        return tap is not None and tap.kind == "tun" and is_for_port(tap, vif)

    def is_elsewhere(self, vif: Vif) -> bool:
        """Whether a VM holds a tap open that Kedge made for the VIF's port, but as another kind of VIF."""
        tap = self._links.find(vif.tap_name)
        if tap is None or tap.kind != "tun" or not tap.is_open or not is_for_port(tap, vif):
            return False
        if vif.vif_type not in self._pluggers or not isinstance(self._pluggers[vif.vif_type], Switch):
            return False
        return tap.alias != port_mark(vif.port_id, vif.vif_type) or _is_other_form(vif, tap)

    def _switch(self, vif_type: VifType) -> Switch:
        plugger = self._pluggers.get(vif_type)
        if not isinstance(plugger, Switch):
            raise HostFailure(
                f"a VIF of type {vif_type.value} is no tap in a switch, so that of a running VM can't be moved there; "
                "migrate the server"
            )
        return plugger

    def _tap(self, vif: Vif) -> Link:
        tap = self._links.find(vif.tap_name)
        if tap is None or tap.kind != "tun" or not is_for_port(tap, vif):
            raise HostFailure(
                f"there is no tap {vif.tap_name} that Kedge made for port {vif.port_id}; migrate the server"
            )
        return tap


def _learned(tap: Link) -> list[tuple[str, str, int]]:
    """Where Open vSwitch has learned the MAC behind a tap that is, or whose veth pair is, a port of it."""
    if not ovs.is_reachable():
        return []
    switch = ovs.look()
    port = switch.ports.get(tap.name) or switch.ports.get(f"qvo{tap.name.removeprefix('tap')}")
    return [] if port is None else local_vlan.learned_at(switch, port.bridge, port.name, port.tag)


def _is_other_form(vif: Vif, tap: Link) -> bool:
    """Whether Open vSwitch has a port for the VIF that it has only if it is another kind of VIF."""
    native, hybrid = tap.name, f"qvo{vif.port_id[:11]}"
    if vif.vif_type == VifType.OVS:
        others = {native} if vif.vif_details.get(_HYBRID) else {hybrid}
    else:
        others = {native, hybrid}
    return ovs.is_reachable() and not others.isdisjoint(ovs.look().ports)
