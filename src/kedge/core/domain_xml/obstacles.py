"""What in a domain stands against its move to a target VIF, and what has to be left behind.

libvirt takes some host-side settings only on some types of interface; the rules below were tried on
libvirt 9.0. A setting that only tunes is dropped where it can't be had. One that protects (a filter, the
isolation of a port) or that the guest sees (the MTU) is a reason to refuse.
"""

from lxml import etree

from kedge.model.network import Vif, VifType

from .attachments import attachment, mac_of
from .host_side import HostSide, NotPluggable, host_side, libvirt_plugs

_PASSED_THROUGH = ("hostdev", "vdpa")


def passthrough_obstacles(root: etree._Element) -> list[str]:
    """One reason for each device of the host that is passed through to the guest."""
    devices = [device for device in root.findall("devices/hostdev") if not is_transient(device)]
    reasons = [_transient_obstacle(device) for device in root.findall("devices/*") if is_transient(device)]
    reasons += [
        f"a {device.get('type') or device.get('mode') or 'host'} device of the host is passed through to the guest "
        "(<hostdev>), which can't move; detach it first"
        for device in devices
    ]
    return reasons + [
        f"NIC {_mac(interface)} is a network device of the host that is passed through "
        f"(<interface type='{interface.get('type')}'>), which can't move; detach it first"
        for interface in root.findall("devices/interface")
        if interface.get("type") in _PASSED_THROUGH and not is_transient(interface)
    ]


def is_transient(device: etree._Element) -> bool:
    """Whether it is the half of a `<teaming>` pair that is to be unplugged before a migration.

    libvirt, "Teaming a virtio/hostdev NIC pair": while it is away the guest uses the persistent one.
    """
    teaming = device.find("teaming")
    return teaming is not None and teaming.get("type") == "transient"


def _transient_obstacle(device: etree._Element) -> str:
    teaming = device.find("teaming")
    standby = teaming.get("persistent") if teaming is not None else None
    what = f"NIC {_mac(device)}" if device.tag == "interface" else "a passed-through device (<hostdev>)"
    return (
        f"{what} is the transient one of a <teaming> pair; detach it, and the server moves with its standby NIC"
        f"{f' {standby!r}' if standby else ''}. Attach one of the destination's afterwards"
    )


def nic_obstacles(interface: etree._Element, target: Vif) -> list[str]:
    """One reason for each thing in `interface` that the target VIF can't carry."""
    nic = f"NIC {_mac(interface)} (port {target.port_id})"
    try:
        host_side(target)
    except NotPluggable as error:
        return [f"{nic}: {error}"]
    found = [
        _user_obstacle(interface),
        _trunk_obstacle(interface),
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
    left = _drop_floor(interface)
    return left if side.interface_type == "bridge" else left + interface.findall("coalesce")


def _drop_floor(interface: etree._Element) -> list[etree._Element]:
    """Take out the promise of a libvirt <network>, which is left behind; the elements of which nothing stays.

    libvirt refuses an <inbound> that has neither `average` nor `floor` (virNetDevBandwidthParseRate).
    """
    empty = []
    for bandwidth in interface.findall("bandwidth"):
        for inbound in bandwidth.findall("inbound"):
            inbound.attrib.pop("floor", "")
            if inbound.get("average") is None:
                empty.append(bandwidth if bandwidth.find("outbound") is None else inbound)
    return empty


def _user_obstacle(interface: etree._Element) -> str | None:
    """Its `<ip>`, `<portForward>` and passt's backend mean nothing on a network, and libvirt refuses them there."""
    if interface.get("type") != "user":
        return None
    return (
        "is a user-mode NIC (<interface type='user'>), whose addresses and forwarded ports QEMU or passt has on its"
        " host; no network of Kedge can carry it, so detach it, or define it anew on a network"
    )


def _trunk_obstacle(interface: etree._Element) -> str | None:
    seen = attachment(interface)
    if not seen.vlan_trunk:
        return None
    vlans = ", ".join(map(str, seen.vlan_tags)) or "all"
    return (
        f"is a VLAN trunk (<vlan> with {vlans}), and a port is in one network; make it an access port, or a NIC for"
        " each VLAN"
    )


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
    return mac_of(interface) or "without MAC"
