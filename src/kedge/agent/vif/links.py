"""The kernel's network devices, in the network namespace that the agent runs in.

All netlink work happens on one thread with one open socket: pyroute2's handles belong to the thread
that uses them, and what happens there happens one at a time.
"""

import errno
import fcntl
import os
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from kedge.model.errors import HostFailure

from .link import HALF_MADE, Link, link_of
from .link_events import drain, link_socket

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

_DIRECTIONS = (0xFFFFFFF2, 0xFFFFFFF3)  # The two hooks of a clsact: in and out.

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
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netlink")
        self._ip: Any = self._thread.submit(IPRoute).result()
        self._changes = link_socket()
        self._picture: list[Link] = []
        self._drawn_at = float("-inf")
        self._look = threading.local()

    def close(self) -> None:
        """Close the sockets and end the threads."""
        self._thread.submit(self._ip.close).result()
        self._thread.shutdown()
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
        now = time.monotonic()
        if drain(self._changes) or now - self._drawn_at > _PICTURE_S:
            self._picture = [link_of(message) for message in self._ip.get_links()]
            self._drawn_at = now
        return self._picture

    def find(self, name: str) -> Link | None:
        """The device of this name, if there is one."""
        seen: list[Link] | None = getattr(self._look, "links", None)
        if seen is not None:
            return next((link for link in seen if name == link.name or name in link.altnames), None)

        def look() -> Link | None:
            try:
                return link_of(self._ip.link("get", ifname=name)[0])
            except NetlinkError as error:
                if error.code == errno.ENODEV:
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
        """Make a device, marked and silent, and down; `settings` are those of pyroute2's `link("add")`."""

        def make() -> None:
            self._ip.link("add", ifname=name, kind=kind, group=HALF_MADE, **settings)
            self._mark(name, alias)

        self._change(f"make {kind} {name}", make)
        return self.get(name)

    def add_veth(self, name: str, peer: str, alias: str) -> None:
        """Make a pair of connected devices, both marked and silent, and down."""

        def make() -> None:
            ends = {"group": HALF_MADE, "peer": {"ifname": peer, "group": HALF_MADE}}
            self._ip.link("add", ifname=name, kind="veth", **ends)
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
        """Change a device; `settings` are those of pyroute2's `link("set")` (`master`, `mtu`, `state` …)."""
        self._change(
            f"set {settings} on {link.name}", lambda: self._ip.link("set", index=link.index, **settings)
        )

    def receive_all_multicast(self, link: Link) -> None:
        """Let a device take multicast of every group, whatever groups it is told of."""
        self.set(link, flags=_IFF_ALLMULTI, change=_IFF_ALLMULTI)

    def delete(self, links: Iterable[Link]) -> None:
        """Delete devices; one that is gone already (a veth goes with its peer) is passed over."""

        def remove() -> None:
            for link in links:
                try:
                    self._ip.link("del", index=link.index)
                except NetlinkError as error:
                    if error.code != errno.ENODEV:
                        raise

        self._change("delete devices", remove)

    def is_silent(self, link: Link) -> bool:
        """Whether the host's own IP stack is off a device."""
        return all(path.read_text().strip() == value for path, value in _silent_settings(link.name))

    def learn(self, port: Link, mac: str) -> None:
        """Enter in the bridge that `port` is in that `mac` is behind this port, as if a frame had come from it."""
        self._do(
            f"enter {mac} at {port.name}",
            lambda: self._ip.neigh(
                "replace",
                family=_AF_BRIDGE,
                ifindex=port.index,
                lladdr=mac,
                state=_NUD_REACHABLE,
                flags=_NTF_MASTER,
            ),
        )

    def heard(self, port: Link) -> frozenset[str]:
        """The MACs that the bridge which `port` is in has learned behind it."""

        def look() -> frozenset[str]:
            return frozenset(
                entry.get_attr("NDA_LLADDR")
                for entry in self._ip.get_neighbours(family=_AF_BRIDGE)
                if entry["ifindex"] == port.index
                and entry.get_attr("NDA_MASTER") == port.master
                and not entry["state"] & _NUD_PERMANENT
            )

        return self._do(f"look at what is behind {port.name}", look)

    def attach(self, link: Link, program: int, name: str) -> None:
        """Run a loaded eBPF program on each frame that comes in on a device or goes out of it, before all else."""

        def attach() -> None:
            self._ip.tc("replace", "clsact", index=link.index)
            for parent in _DIRECTIONS:
                self._ip.tc(
                    "replace-filter", "bpf", index=link.index, parent=parent, prio=1, handle=1,
                    fd=program, name=name, classid=1, direct_action=True,
                )  # fmt: skip

        self._do(f"filter the frames of {link.name}", attach)

    def is_attached(self, link: Link, name: str) -> bool:
        """Whether the program of this name runs on a device in both directions."""

        def runs(parent: int) -> bool:
            options = (
                message.get_attr("TCA_OPTIONS") for message in self._ip.get_filters(link.index, parent=parent)
            )
            return any(each.get_attr("TCA_BPF_NAME") == name for each in options if each)

        return self._do(f"look at the filters of {link.name}", lambda: all(map(runs, _DIRECTIONS)))

    def addresses(self, link: Link) -> list[str]:
        """The IP addresses of a device, but for IPv6 link-local ones."""
        return self._do(
            f"list the addresses of {link.name}",
            lambda: [
                message.get_attr("IFA_ADDRESS")
                for message in self._ip.get_addr(index=link.index)
                if not message.get_attr("IFA_ADDRESS").startswith("fe80:")
            ],
        )

    def _mark(self, name: str, alias: str) -> None:
        _silence(name)
        self._ip.link("set", index=self._ip.link_lookup(ifname=name)[0], ifalias=alias, group=_NO_GROUP)

    def _change(self, what: str, work: Callable[[], object]) -> None:
        """Do what the kernel may not tell of."""

        def change() -> None:
            self._drawn_at = float("-inf")
            work()

        self._do(what, change)

    def _do(self, what: str, work: Callable[[], T]) -> T:
        try:
            return self._thread.submit(work).result()
        except (NetlinkError, OSError, RuntimeError) as error:
            raise HostFailure(f"the kernel refused to {what}: {error}") from error


def _silent_settings(name: str) -> list[tuple[Path, str]]:
    settings = [(Path("/proc/sys/net", path.format(name)), value) for path, value in _SILENT.items()]
    return [(path, value) for path, value in settings if path.exists()]  # The kernel may run without IPv6.


def _silence(name: str) -> None:
    for path, value in _silent_settings(name):
        path.write_text(value)
