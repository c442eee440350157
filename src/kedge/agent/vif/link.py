"""A network device as the kernel describes it."""

import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from .link_settings import HEADER, MACVTAP_MODES
from .rtnetlink import attributes, by_kind

_IFF_UP = 0x1
_IFF_ALLMULTI = 0x200
_S_TAG = 0x88A8

# Kinds of attributes (linux/if_link.h).
_ADDRESS, _NAME, _MTU, _PARENT, _MASTER, _LINK_INFO, _ALIAS = 1, 3, 4, 5, 10, 18, 20
_GROUP, _CARRIER, _PARENT_NAMESPACE, _NAMES, _ALTERNATIVE_NAME = 27, 33, 37, 52, 53
_INFO_KIND, _INFO_DATA = 1, 2
_VLAN_ID, _VLAN_PROTOCOL, _MACVLAN_MODE, _TUN_MULTI_QUEUE = 1, 5, 1, 7

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


def link_of(message: bytes) -> Link:
    """The device that a netlink message (RTM_NEWLINK, without its header) describes."""
    _, _, index, flags, _ = HEADER.unpack_from(message)
    found = by_kind(message, HEADER.size)
    info = by_kind(found.get(_LINK_INFO, b""))
    kind = _text(info.get(_INFO_KIND))
    data = by_kind(info.get(_INFO_DATA, b""))
    alias, group = _text(found.get(_ALIAS)), _number(found.get(_GROUP))
    return Link(
        index=index,
        name=_text(found.get(_NAME)),
        kind=kind,
        mac=found.get(_ADDRESS, b"").hex(":"),
        mtu=_number(found.get(_MTU)) or 0,
        up=bool(flags & _IFF_UP),
        all_multicast=bool(flags & _IFF_ALLMULTI),
        alias=alias,
        altnames=tuple(
            _text(name) for each, name in attributes(found.get(_NAMES, b"")) if each == _ALTERNATIVE_NAME
        ),
        master=_number(found.get(_MASTER)),
        # The parent of a device whose other end is in another namespace is an index there, not here.
        parent=_number(found.get(_PARENT)) if _PARENT_NAMESPACE not in found else None,
        vlan_id=_vlan_id(data) if kind == "vlan" else None,
        multi_queue=bool(_number(data.get(_TUN_MULTI_QUEUE))) if kind == "tun" else False,
        # A tap has a carrier as long as somebody has it open.
        is_open=bool(_number(found.get(_CARRIER))) if kind == "tun" else False,
        half_made=group == HALF_MADE and not alias,
        macvtap_mode=MACVTAP_MODES.get(_number(data.get(_MACVLAN_MODE)) or 0) if kind == "macvtap" else None,
    )


def _vlan_id(data: Mapping[int, bytes]) -> int | None:
    """The id of an IEEE 802.1Q VLAN; a provider's tag (802.1ad) is another thing."""
    is_provider_s = data.get(_VLAN_PROTOCOL) == struct.pack("!H", _S_TAG)
    return None if is_provider_s else _number(data.get(_VLAN_ID))


def _number(data: bytes | None) -> int | None:
    return None if data is None else int.from_bytes(data, sys.byteorder)


def _text(data: bytes | None) -> str:
    return (data or b"").rstrip(b"\0").decode(errors="surrogateescape")
