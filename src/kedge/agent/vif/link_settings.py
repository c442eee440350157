"""What can be asked for of a network device, in the kernel's terms (RTM_NEWLINK, rtnetlink(7))."""

import struct
from collections.abc import Callable, Mapping
from typing import Any

from .rtnetlink import attribute

IFNAME, ALTERNATIVE_NAME = 3, 53
_LINK_INFO, _INFO_KIND, _INFO_DATA, _PEER = 18, 1, 2, 1
_UP = 0x1

MACVTAP_MODES = {1: "private", 2: "vepa", 4: "bridge", 8: "passthru", 16: "source"}
HEADER = struct.Struct("=BxHiII")  # family, type, index, flags, which flags to change


def _number(form: str) -> Callable[[Any], bytes]:
    return lambda value: struct.pack(form, value)


def _mode(name: str) -> bytes:
    return struct.pack("=I", next(number for number, each in MACVTAP_MODES.items() if each == name))


_COMMON: Mapping[str, tuple[int, Callable[[Any], bytes]]] = {
    "ifname": (IFNAME, str.encode),
    "address": (1, lambda mac: bytes.fromhex(mac.replace(":", ""))),
    "mtu": (4, _number("=I")),
    "link": (5, _number("=I")),
    "master": (10, _number("=I")),
    "ifalias": (20, str.encode),
    "group": (27, _number("=I")),
}
_OF_KIND: Mapping[str, tuple[int, Callable[[Any], bytes]]] = {
    "br_forward_delay": (1, _number("=I")),
    "br_ageing_time": (4, _number("=I")),
    "br_stp_state": (5, _number("=I")),
    "br_mcast_snooping": (23, _number("=B")),
    "vlan_id": (1, _number("=H")),
    "macvtap_mode": (1, _mode),
    "peer": (_PEER, lambda settings: link_request(**settings)),
}


def link_request(*, index: int = 0, kind: str | None = None, **settings: Any) -> bytes:
    """The request for a device with these settings: of all kinds `ifname`, `address`, `mtu`, `link` (the index of
    its parent), `master` (an index, 0 for none), `ifalias`, `group`, `state` (up or down), and `flags` of those in
    `change`; of a bridge `br_…`, and of others `vlan_id`, `macvtap_mode` and `peer` (settings of a veth's other end).
    """
    flags, which = settings.pop("flags", 0), settings.pop("change", 0)
    if "state" in settings:
        flags, which = flags | _UP * (settings.pop("state") == "up"), which | _UP
    wanted = {name: settings.pop(name) for name in list(settings) if name in _COMMON}
    body = HEADER.pack(0, 0, index, flags, which) + _written(_COMMON, wanted)
    if kind is None:
        assert not settings, settings
        return body
    info = attribute(_INFO_KIND, kind.encode())
    if settings:
        info += attribute(_INFO_DATA, _written(_OF_KIND, settings))
    return body + attribute(_LINK_INFO, info)


def _written(table: Mapping[str, tuple[int, Callable[[Any], bytes]]], settings: Mapping[str, Any]) -> bytes:
    return b"".join(attribute(table[name][0], table[name][1](value)) for name, value in settings.items())
