"""A network device as the kernel describes it."""

import socket
from dataclasses import dataclass
from typing import Any

_IFF_UP = 0x1
_IFF_ALLMULTI = 0x200
_S_TAG = 0x88A8

# The kernel takes no alias for a device in the request that makes it, but a device group. So a new device is in
# this group, and the request that gives it its alias takes it out again: whatever kills the agent in between, the
# device can be told. (The number is "kedg"; a group is a mark for administrators and changes nothing else.)
HALF_MADE = 0x6B656467


@dataclass(frozen=True)
class Link:
    """A network device. `master` and `parent` are the indexes of the bridge it is in and of the device it is on."""

    index: int
    name: str
    kind: str
    mac: str
    mtu: int
    up: bool
    all_multicast: bool = False
    alias: str = ""
    altnames: tuple[str, ...] = ()
    master: int | None = None
    parent: int | None = None
    vlan_id: int | None = None
    multi_queue: bool = False
    is_open: bool = False
    half_made: bool = False
    macvtap_mode: str | None = None


def _vlan_id(data: Any) -> int | None:
    """The id of an IEEE 802.1Q VLAN; a provider's tag (802.1ad) is another thing."""
    vlan_id: int | None = data.get_attr("IFLA_VLAN_ID")
    protocol = data.get_attr("IFLA_VLAN_PROTOCOL")
    return None if protocol in (_S_TAG, socket.htons(_S_TAG)) else vlan_id


def link_of(message: Any) -> Link:
    """The device that a netlink message (RTM_NEWLINK) describes."""
    info = message.get_attr("IFLA_LINKINFO")
    kind = (info.get_attr("IFLA_INFO_KIND") if info else None) or ""
    data = info.get_attr("IFLA_INFO_DATA") if info else None
    names = message.get_attr("IFLA_PROP_LIST")
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        kind=kind,
        mac=message.get_attr("IFLA_ADDRESS") or "",
        mtu=message.get_attr("IFLA_MTU"),
        up=bool(message["flags"] & _IFF_UP),
        all_multicast=bool(message["flags"] & _IFF_ALLMULTI),
        alias=message.get_attr("IFLA_IFALIAS") or "",
        altnames=tuple(names.get_attrs("IFLA_ALT_IFNAME")) if names else (),
        master=message.get_attr("IFLA_MASTER"),
        # The parent of a device whose other end is in another namespace is an index there, not here.
        parent=message.get_attr("IFLA_LINK") if message.get_attr("IFLA_LINK_NETNSID") is None else None,
        vlan_id=_vlan_id(data) if data and kind == "vlan" else None,
        multi_queue=bool(data.get_attr("IFLA_TUN_MULTI_QUEUE")) if data and kind == "tun" else False,
        # A tap has a carrier as long as somebody has it open.
        is_open=bool(message.get_attr("IFLA_CARRIER")) if kind == "tun" else False,
        half_made=message.get_attr("IFLA_GROUP") == HALF_MADE and not message.get_attr("IFLA_IFALIAS"),
        macvtap_mode=data.get_attr("IFLA_MACVTAP_MODE") if data and kind == "macvtap" else None,
    )
