"""The device that carries one segment: the physical interface itself, or a VLAN device above it."""

from functools import partial

from kedge.core.binding.rules import vlan_device
from kedge.model.errors import HostFailure
from kedge.model.network import Vif

from .base import VLAN_MARK, Loose, vlan_of
from .link import Link
from .links import Links


def segment_device(links: Links, vif: Vif, interface: str, name: str | None = None) -> Link | None:
    """The device that carries the VIF's segment above `interface`, if it exists.

    `name` is the name that the VLAN device must have; without one, any will do. Raises HostFailure if the
    VLAN exists on `interface` under another name, of which the kernel allows no second.
    """
    physical = links.find(interface)
    vlan = vlan_of(vif.segment)
    if vlan is None or physical is None:
        return physical
    for link in links.all():
        if link.kind == "vlan" and link.parent == physical.index and link.vlan_id == vlan:
            if name not in (None, link.name):
                raise HostFailure(
                    f"VLAN {vlan} on {interface} is there as {link.name} and not as {name}; rename it"
                )
            return link
    return None


def ensure_segment_device(links: Links, vif: Vif, interface: str, name: str | None = None) -> Link:
    """The device that carries the VIF's segment, up; a VLAN device that is missing is made.

    Raises HostFailure if its MTU is below the network's, for then frames would be lost without a word.
    """
    physical = links.get(interface)
    if physical.mtu < vif.mtu:
        raise HostFailure(
            f"{interface} has MTU {physical.mtu} and network {vif.network_id} needs {vif.mtu}; "
            "raise the one or lower the other"
        )
    if not physical.up:
        links.set(physical, state="up")
    device = segment_device(links, vif, interface, name) or _make(links, vif, physical, name)
    if device.mtu < vif.mtu:
        links.set(device, mtu=vif.mtu)
    if not device.up:
        links.set(device, state="up")
    return device


def _make(links: Links, vif: Vif, physical: Link, name: str | None) -> Link:
    vlan = vlan_of(vif.segment)
    assert vlan is not None
    name = name or vlan_device(physical.name, vlan)
    mark = f"{VLAN_MARK}{vif.segment.physical_network}:{vlan}"
    return links.add(name, "vlan", mark, link=physical.index, vlan_id=vlan)


def release_vlan_devices(links: Links) -> None:
    """Remove the VLAN devices that Kedge made and nothing uses."""
    links.delete(unused_vlan_devices(links))


def loose_vlan_devices(links: Links) -> list[Loose]:
    """The same ones, to be looked at again before they are removed."""
    return [
        Loose(f"VLAN device {link.name}", partial(links.delete, [link]))
        for link in unused_vlan_devices(links)
    ]


def unused_vlan_devices(links: Links) -> list[Link]:
    """The VLAN devices that Kedge made and nothing uses: no bridge, no device above."""
    devices = links.all()
    parents = {link.parent for link in devices}
    return [
        link
        for link in devices
        if link.alias.startswith(VLAN_MARK) and link.master is None and link.index not in parents
    ]
