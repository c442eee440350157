"""What in a domain stands against its move to a target VIF, and what has to be left behind.

libvirt takes some host-side settings only on some types of interface; the rules below were tried on
libvirt 9.0. A setting that only tunes is dropped where it can't be had. One that protects (a filter, the
isolation of a port) or that the guest sees (the MTU) is a reason to refuse.
"""

from lxml import etree

from kedge.model.network import Vif, VifType

from .host_side import HostSide, NotPluggable, host_side, libvirt_plugs

_PASSED_THROUGH = ("hostdev", "vdpa")


def passthrough_obstacles(root: etree._Element) -> list[str]:
    """One reason for each device of the host that is passed through to the guest."""
    devices = root.findall("devices/hostdev")
    reasons = [
        f"a {device.get('type') or device.get('mode') or 'host'} device of the host is passed through to the guest "
        "(<hostdev>), which can't move; detach it first"
        for device in devices
    ]
    return reasons + [
        f"NIC {_mac(interface)} is a network device of the host that is passed through "
        f"(<interface type='{interface.get('type')}'>), which can't move; detach it first"
        for interface in root.findall("devices/interface")
        if interface.get("type") in _PASSED_THROUGH
    ]


def nic_obstacles(interface: etree._Element, target: Vif) -> list[str]:
    """One reason for each thing in `interface` that the target VIF can't carry."""
    nic = f"NIC {_mac(interface)} (port {target.port_id})"
    try:
        host_side(target)
    except NotPluggable as error:
        return [f"{nic}: {error}"]
    found = [
        _filter_obstacle(interface, target),
        _isolation_obstacle(interface),
        _mtu_obstacle(interface, target),
    ]
    return [f"{nic} {reason}" for reason in found if reason]


def drop_what_does_not_fit(interface: etree._Element, side: HostSide) -> list[etree._Element]:
    """Elements that tune the host's device and that libvirt refuses on the new type of interface.

    An attribute that does not fit is removed here already.
    """
    if side.interface_type == "direct":
        _drop_attribute(interface, "backend", "tap")  # libvirt opens a macvtap device by its own path.
    for inbound in interface.findall("bandwidth/inbound"):
        inbound.attrib.pop("floor", "")  # It is a promise of a libvirt <network>, which is left behind.
    return [] if side.interface_type == "bridge" else interface.findall("coalesce")


def _filter_obstacle(interface: etree._Element, target: Vif) -> str | None:
    """libvirt ignores the filter of a macvtap and refuses it on an Open vSwitch port.

    On a tap that an agent put into Open vSwitch it accepts one, but the frames pass no Linux bridge, where
    the filter's rules would see them.
    """
    filterref = interface.find("filterref")
    if filterref is None:
        return None
    in_linux_bridge = target.vif_type == VifType.BRIDGE or (
        target.vif_type == VifType.OVS and bool(target.vif_details.get("ovs_hybrid_plug"))
    )
    if in_linux_bridge:
        return None
    return (
        f"has the network filter {filterref.get('filter')!r}, which works only on a tap in a Linux bridge and would be "
        f"without effect on {_described(target)}; remove the <filterref>, or choose a host with Linux bridge or "
        "hybrid plug"
    )


def _isolation_obstacle(interface: etree._Element) -> str | None:
    port = interface.find("port")
    if port is None or port.get("isolated") != "yes":
        return None
    return (
        "is isolated from the other ports of its bridge (<port isolated='yes'/>), which is to be had only where "
        "libvirt itself plugs into a Linux bridge; remove it first"
    )


def _mtu_obstacle(interface: etree._Element, target: Vif) -> str | None:
    mtu = interface.find("mtu")
    if mtu is None or target.vif_type != VifType.MACVTAP:
        return None
    return (
        f"has an MTU of {mtu.get('size')} in its <mtu>, which the guest sees and libvirt can't set on macvtap; choose "
        "a host with another backend, or restart the server without the <mtu>"
    )


def _described(vif: Vif) -> str:
    if vif.vif_type == VifType.MACVTAP:
        return "macvtap"
    return "an Open vSwitch port" if libvirt_plugs(vif) else "a tap in Open vSwitch"


def _drop_attribute(interface: etree._Element, tag: str, attribute: str) -> None:
    for element in interface.findall(tag):
        element.attrib.pop(attribute, "")


def _mac(interface: etree._Element) -> str:
    mac = interface.find("mac")
    return (mac.get("address", "") if mac is not None else "") or "without MAC"
