"""Reads how the host's devices hang together from the kernel, and from Open vSwitch where it runs."""

from kedge.model.host_network import HostNetwork, Macvtap, SwitchPort, VlanDevice

from . import ovs_client as ovs
from .links import Links


def host_network(links: Links) -> HostNetwork:
    """The host's network now. Raises HostFailure if the kernel, or an Open vSwitch that runs, does not answer."""
    devices = links.all()
    names = {link.index: link.name for link in devices}
    return HostNetwork(
        bridges={
            link.name: tuple(sorted(other.name for other in devices if other.master == link.index))
            for link in devices
            if link.kind == "bridge"
        },
        vlans={
            link.name: VlanDevice(names[link.parent], link.vlan_id)
            for link in devices
            if link.vlan_id is not None and link.parent in names
        },
        macvtaps={
            link.name: Macvtap(names[link.parent], link.macvtap_mode)
            for link in devices
            if link.macvtap_mode is not None and link.parent in names
        },
        switch_ports=_switch_ports() if ovs.is_reachable() else {},
    )


def _switch_ports() -> dict[str, SwitchPort]:
    return {
        port.name: SwitchPort(port.bridge, port.tag, port.trunks, port.vlan_mode)
        for port in ovs.look().ports.values()
    }
