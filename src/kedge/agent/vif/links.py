"""The kernel's network devices, in the network namespace that the agent runs in."""

import errno
import fcntl
import ipaddress
import os
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from kedge.model.errors import HostFailure

from . import filters, rtnetlink
from .link import HALF_MADE, Link, link_of
from .link_events import drain, link_socket
from .link_settings import ALTERNATIVE_NAME, IFNAME, link_request
from .rtnetlink import CREATE, EXCLUSIVE, REPLACE, attribute, by_kind

T = TypeVar("T")

_TUNSETIFF = 0x400454CA
_TUNSETPERSIST = 0x400454CB
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_IFF_MULTI_QUEUE = 0x0100
_IFF_ALLMULTI = 0x200

_PICTURE_S = 2.0
"""A list of the devices is never older, in case something changed that the kernel tells nobody."""

_NUD_REACHABLE = (
    0x02  # For a bridge: an entry like a learned one, which ages and which a frame from elsewhere moves.
)
_NUD_PERMANENT = 0x80  # The bridge's own addresses, and those that somebody entered for good.
_NTF_MASTER = 0x04
_AF_BRIDGE = 7

_NEIGHBOUR = struct.Struct("=B3xiHBB")  # family, index, state, flags, type
_NEIGHBOUR_MAC, _NEIGHBOUR_MASTER = 2, 9
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix, flags, scope, index
_ADDRESS_ITSELF = 1

_LONGEST_NAME = 15
_WITHOUT_STATISTICS = attribute(29, struct.pack("=I", 1 << 3))

_NO_GROUP = 0

# A device of a VIF carries the VM's frames and has nothing to do with the host's own IP stack. IPv6 would
# emit neighbour solicitations as soon as the device is up. IPv4 would answer ARP requests for any address of the
# host, on any device that is up, and take packets for them.
_SILENT = {
    "ipv6/conf/{}/disable_ipv6": "1",
    "ipv4/conf/{}/arp_ignore": "8",
    "ipv4/conf/{}/rp_filter": "1",
    "ipv4/conf/{}/forwarding": "0",
}


class Links:
    """Looks at the kernel's devices and changes them. Every method raises HostFailure when the kernel refuses."""

    def __init__(self) -> None:
        self._drawing = threading.Lock()
        self._changes = link_socket()
        self._picture: list[Link] = []
        self._drawn_at = float("-inf")
        self._look = threading.local()

    def close(self) -> None:
        """Close the socket."""
        self._changes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Within the block, this thread's `all` and `find` answer from one list of the devices.

        For looking only. To list the devices is what looking at a VIF costs most, and it takes several of these.
        """
        if getattr(self._look, "links", None) is not None:
            yield
            return
        self._look.links = self.all()
        try:
            yield
        finally:
            self._look.links = None

    def all(self) -> list[Link]:
        """Every device of this namespace. Whether a tap is open, only `find` says as it is now."""
        seen: list[Link] | None = getattr(self._look, "links", None)
        if seen is not None:
            return seen
        return self._do("list the devices", self._drawn)

    def _drawn(self) -> list[Link]:
        """The picture of all devices, drawn anew if the kernel has told of a change since, or it may be out of date.

        The kernel tells of a change before whoever made it goes on, so a look sees all that was done before it. It
        tells nothing of a further name or a mark (alias) that a device gets while it is down, nor at once of carriers.
        """
        with self._drawing:
            now = time.monotonic()
            if drain(self._changes) or now - self._drawn_at > _PICTURE_S:
                self._drawn_at = float("-inf")  # Should the kernel refuse, what it told of is still not seen.
                messages = rtnetlink.dump(rtnetlink.GET_LINK, link_request() + _WITHOUT_STATISTICS)
                self._picture = [link_of(message) for message in messages]
                self._drawn_at = now
            return self._picture

    def find(self, name: str) -> Link | None:
        """The device of this name, if there is one."""
        seen: list[Link] | None = getattr(self._look, "links", None)
        if seen is not None:
            return next((link for link in seen if name == link.name or name in link.altnames), None)

        def look() -> Link | None:
            named = attribute(IFNAME if len(name) <= _LONGEST_NAME else ALTERNATIVE_NAME, name.encode())
            try:
                return link_of(
                    rtnetlink.get(rtnetlink.GET_LINK, link_request() + named + _WITHOUT_STATISTICS)
                )
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return None
                raise

        return self._do(f"look at {name}", look)

    def get(self, name: str) -> Link:
        """The device of this name; raises HostFailure if there is none."""
        link = self.find(name)
        if link is None:
            raise HostFailure(
                f"there is no device {name} on this host; make it, or mend the agent's mappings"
            )
        return link

    def add(self, name: str, kind: str, alias: str, **settings: Any) -> Link:
        """Make a device, marked and silent, and down; for `settings` see `link_request`."""

        def make() -> None:
            _add(ifname=name, kind=kind, group=HALF_MADE, **settings)
            self._mark(name, alias)

        self._change(f"make {kind} {name}", make)
        return self.get(name)

    def add_veth(self, name: str, peer: str, alias: str) -> None:
        """Make a pair of connected devices, both marked and silent, and down."""

        def make() -> None:
            ends = {"group": HALF_MADE, "peer": {"ifname": peer, "group": HALF_MADE}}
            _add(ifname=name, kind="veth", **ends)
            self._mark(name, alias)
            self._mark(peer, alias)

        self._change(f"make veth {name}", make)

    def add_tap(self, name: str, alias: str, *, multi_queue: bool) -> Link:
        """Make a persistent tap, marked and silent, and down, that QEMU can open with vnet headers."""
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | (_IFF_MULTI_QUEUE if multi_queue else 0)

        def make() -> None:
            # The tap becomes persistent only when it carries its mark, so that none is left without one.
            tun = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
                self._mark(name, alias)
                fcntl.ioctl(tun, _TUNSETPERSIST, 1)
            finally:
                os.close(tun)

        self._change(f"make tap {name}", make)
        return self.get(name)

    def set(self, link: Link, **settings: Any) -> None:
        """Change a device; for `settings` (`master`, `mtu`, `state` …) see `link_request`."""
        self._change(
            f"set {settings} on {link.name}",
            lambda: rtnetlink.change(rtnetlink.NEW_LINK, link_request(index=link.index, **settings)),
        )

    def receive_all_multicast(self, link: Link) -> None:
        """Let a device take multicast of every group, whatever groups it is told of."""
        self.set(link, flags=_IFF_ALLMULTI, change=_IFF_ALLMULTI)

    def delete(self, links: Iterable[Link]) -> None:
        """Delete devices; one that is gone already (a veth goes with its peer) is passed over."""

        def remove() -> None:
            for link in links:
                try:
                    rtnetlink.change(rtnetlink.DELETE_LINK, link_request(index=link.index))
                except OSError as error:
                    if error.errno != errno.ENODEV:
                        raise

        self._change("delete devices", remove)

    def is_silent(self, link: Link) -> bool:
        """Whether the host's own IP stack is off a device."""
        return all(path.read_text().strip() == value for path, value in _silent_settings(link.name))

    def learn(self, port: Link, mac: str) -> None:
        """Enter in the bridge that `port` is in that `mac` is behind this port, as if a frame had come from it."""
        entry = _NEIGHBOUR.pack(_AF_BRIDGE, port.index, _NUD_REACHABLE, _NTF_MASTER, 0)
        entry += attribute(_NEIGHBOUR_MAC, bytes.fromhex(mac.replace(":", "")))
        self._do(
            f"enter {mac} at {port.name}",
            lambda: rtnetlink.change(rtnetlink.NEW_NEIGHBOUR, entry, CREATE | REPLACE),
        )

    def heard(self, port: Link) -> frozenset[str]:
        """The MACs that the bridge which `port` is in has learned behind it."""

        def look() -> frozenset[str]:
            found = set()
            for message in rtnetlink.dump(rtnetlink.GET_NEIGHBOUR, _NEIGHBOUR.pack(_AF_BRIDGE, 0, 0, 0, 0)):
                _, index, state, _, _ = _NEIGHBOUR.unpack_from(message)
                entry = by_kind(message, _NEIGHBOUR.size)
                bridge = int.from_bytes(entry.get(_NEIGHBOUR_MASTER, b""), sys.byteorder) or None
                if index == port.index and bridge == port.master and not state & _NUD_PERMANENT:
                    found.add(entry[_NEIGHBOUR_MAC].hex(":"))
            return frozenset(found)

        return self._do(f"look at what is behind {port.name}", look)

    def attach(self, link: Link, program: int, name: str) -> None:
        """Run a loaded eBPF program on each frame that comes in on a device or goes out of it, before all else."""

        self._do(f"filter the frames of {link.name}", lambda: filters.attach(link.index, program, name))

    def is_attached(self, link: Link, name: str) -> bool:
        """Whether the program of this name runs on a device in both directions."""
        return self._do(f"look at the filters of {link.name}", lambda: filters.is_attached(link.index, name))

    def addresses(self, link: Link) -> list[str]:
        """The IP addresses of a device, but for IPv6 link-local ones."""

        def look() -> list[str]:
            found = []
            for message in rtnetlink.dump(rtnetlink.GET_ADDRESS, bytes(_ADDRESS.size)):
                *_, index = _ADDRESS.unpack_from(message)
                address = by_kind(message, _ADDRESS.size).get(_ADDRESS_ITSELF)
                if index == link.index and address:
                    found.append(ipaddress.ip_address(address))
            return [str(each) for each in found if each.version == 4 or not each.is_link_local]

        return self._do(f"list the addresses of {link.name}", look)

    def _mark(self, name: str, alias: str) -> None:
        _silence(name)
        rtnetlink.change(rtnetlink.NEW_LINK, link_request(ifname=name, ifalias=alias, group=_NO_GROUP))

    def _change(self, what: str, work: Callable[[], object]) -> None:
        """Do what the kernel may not tell of."""

        try:
            self._do(what, work)
        finally:
            with self._drawing:
                self._drawn_at = float("-inf")

    def _do(self, what: str, work: Callable[[], T]) -> T:
        try:
            return work()
        except (OSError, struct.error) as error:
            raise HostFailure(f"the kernel refused to {what}: {error}") from error


def _add(**settings: Any) -> None:
    rtnetlink.change(rtnetlink.NEW_LINK, link_request(**settings), CREATE | EXCLUSIVE)


def _silent_settings(name: str) -> list[tuple[Path, str]]:
    settings = [(Path("/proc/sys/net", path.format(name)), value) for path, value in _SILENT.items()]
    return [(path, value) for path, value in settings if path.exists()]  # The kernel may run without IPv6.


def _silence(name: str) -> None:
    for path, value in _silent_settings(name):
        path.write_text(value)
