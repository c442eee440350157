"""A host in a throw-away network namespace, what is at the other end of its wire, and stand-ins for VMs."""

import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pyroute2 import netns

from kedge.agent.vif import Pluggers
from kedge.agent.vif import ovs_client as ovs
from kedge.agent.vif.link import Link
from kedge.agent.vif.links import Links
from kedge.core.binding import bind_port
from kedge.model.host import Host, HostBackend
from kedge.model.network import (
    Binding,
    BindingStatus,
    Network,
    NetworkType,
    Port,
    Segment,
    Vif,
    VifType,
    vif_of,
)

PHYSICAL_NETWORK, INTERFACE = "physnet1", "eth1"
Test = TypeVar("Test", bound=Callable[..., None])
ALL = "ff:ff:ff:ff:ff:ff"
PEER_MAC = "52:54:00:aa:00:01"
ETHERTYPE = 0x88B5  # IEEE 802: for local experiments
QUIET_S = 0.25
LIMIT_S = 60.0
"""So long what must come may take on a busy machine."""

_IFF_TAP, _IFF_NO_PI, _TUNSETIFF = 0x0002, 0x1000, 0x400454CA
_IFF_VNET_HDR, _IFF_MULTI_QUEUE = 0x4000, 0x0100
_SOL_PACKET, _PACKET_AUXDATA, _OUTGOING, _VLAN_VALID = 263, 8, 4, 1 << 4


@dataclass(frozen=True)
class Case:
    """A backend with a segment. `datapath` is Open vSwitch's."""

    name: str
    backend: HostBackend
    vlan: int | None = None

    @property
    def is_ovs(self) -> bool:
        return self.backend.driver == "openvswitch"

    @property
    def needs_8021q(self) -> bool:
        return not self.is_ovs and self.vlan is not None

    @property
    def needs_openvswitch_module(self) -> bool:
        return self.is_ovs and self.backend.datapath_type == "system"

    @property
    def needs_kernel(self) -> bool:
        """Whether it needs what common kernels lack."""
        return self.needs_8021q or self.needs_openvswitch_module


def _ovs(datapath: str, hybrid: bool) -> HostBackend:
    return HostBackend(
        "openvswitch", {PHYSICAL_NETWORK: "br-physnet1"}, datapath_type=datapath, hybrid_plug=hybrid
    )


# Flat and VLAN segments differ in Open vSwitch's flows alone, so not every form of it is tried with both.
CASES = [
    Case("macvtap-flat", HostBackend("macvtap", {PHYSICAL_NETWORK: INTERFACE})),
    Case("macvtap-vlan", HostBackend("macvtap", {PHYSICAL_NETWORK: INTERFACE}), 100),
    Case("bridge-flat", HostBackend("linuxbridge", {PHYSICAL_NETWORK: INTERFACE})),
    Case("bridge-vlan", HostBackend("linuxbridge", {PHYSICAL_NETWORK: INTERFACE}), 100),
    Case("ovs-native-flat", _ovs("netdev", hybrid=False)),
    Case("ovs-native-vlan", _ovs("netdev", hybrid=False), 100),
    Case("ovs-hybrid-vlan", _ovs("netdev", hybrid=True), 100),
    Case("ovs-native-kernel-vlan", _ovs("system", hybrid=False), 100),
    Case("ovs-hybrid-kernel-vlan", _ovs("system", hybrid=True), 100),
]
# Set where the kernel has all that common kernels lack. `1`: run what is chosen for it, `all`: run everything.
MUST_RUN = os.environ.get("KEDGE_MUST_RUN", "")


def cases(
    choose: Callable[[Case], bool] = lambda case: True, *, every_kernel: bool = False
) -> Callable[[Test], Test]:
    """Runs a test on a host of each chosen case.

    Emulating a machine with the right kernel is slow, so there only the tests are run that depend on the
    kernel's own means (`every_kernel`), in the cases that use these.
    """
    chosen = [case for case in CASES if choose(case)]
    parametrize = pytest.mark.parametrize("host", chosen, indirect=True, ids=[case.name for case in chosen])

    def mark(test: Test) -> Test:
        marked: Test = parametrize(test)
        marked.every_kernel = every_kernel  # type: ignore[attr-defined]
        return marked

    return mark


def is_wanted(item: pytest.Item) -> bool:
    """Whether a test of ours is to be run on this kernel."""
    if MUST_RUN != "1" or not isinstance(item, pytest.Function):
        return True
    if "place" in item.fixturenames:
        return False
    if "host" not in item.fixturenames:
        return True
    case = item.callspec.params["host"]
    return (
        isinstance(case, Case) and case.needs_kernel and bool(getattr(item.function, "every_kernel", False))
    )


def run(*argv: str) -> str:
    try:
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
    except subprocess.CalledProcessError as error:
        error.add_note(error.stderr)
        raise


def _needs(means: str, there: bool) -> None:
    """Skip what this kernel can't do; where it must be able to, fail."""
    if not there:
        (pytest.fail if MUST_RUN else pytest.skip)(f"this kernel lacks {means}")


@cache
def _has_8021q() -> bool:
    name = f"kedge-t-try-{uuid.uuid4().hex[:6]}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "add", "eth1", "type", "veth", "peer", "name", "wire")
        vlan = ["ip", "-n", name, "link", "add", "link", "eth1", "name", "trial", "type", "vlan", "id", "1"]
        return subprocess.run(vlan, capture_output=True, check=False).returncode == 0
    finally:
        run("ip", "netns", "del", name)


@cache
def _has_openvswitch_module() -> bool:
    if Path("/sys/module/openvswitch").exists():
        return True
    try:
        return subprocess.run(["modprobe", "openvswitch"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def frame(
    destination: str, source: str, label: str, vlan: int | None = None, ethertype: int = ETHERTYPE
) -> bytes:
    tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
    addresses = bytes.fromhex((destination + source).replace(":", ""))
    return (addresses + tag + struct.pack("!H", ethertype) + label.encode()).ljust(60, b"\0")


def label_of(data: bytes) -> str:
    """The label; a frame that is not one of ours is shown whole, so that it is not taken for nothing."""
    if data[12:14] != struct.pack("!H", ETHERTYPE):
        return data.hex()
    return data[14:].rstrip(b"\0").decode()


class Wire:
    """The far end of the host's interface: frames as they are on the wire, with their tags."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self._socket.bind(("wire", 3))
        self.close = self._socket.close

    def send(self, destination: str, label: str, vlan: int | None, source: str = PEER_MAC) -> None:
        self._socket.send(frame(destination, source, label, vlan))

    def raw(self, quiet_s: float = QUIET_S, at_least: int = 0) -> list[tuple[int | None, bytes]]:
        """(tag, frame without its tag) of what comes in until `at_least` so many have come, and nothing more does."""
        heard: list[tuple[int | None, bytes]] = []
        while select.select([self._socket], [], [], quiet_s if len(heard) >= at_least else LIMIT_S)[0]:
            data, ((_, _, extra),), _, address = self._socket.recvmsg(2048, socket.CMSG_SPACE(20))
            status, tci = struct.unpack("=I12xH", extra[:18])
            if address[2] != _OUTGOING:
                heard.append((tci & 0xFFF if status & _VLAN_VALID else None, data))
        return heard

    def heard(self, quiet_s: float = QUIET_S, at_least: int = 0) -> list[tuple[int | None, str]]:
        """(tag, label), sorted: the first frame of a kind may be overtaken on its way through a switch."""
        return sorted(((vlan, label_of(data)) for vlan, data in self.raw(quiet_s, at_least)), key=str)


class Vm:
    """A VM's NIC, with the device behind it open as QEMU has it."""

    def __init__(self, vif: Vif, queues: int = 1) -> None:
        self.vif = vif
        self.mac = vif.mac_address
        name = vif.tap_name
        is_macvtap = vif.vif_type == VifType.MACVTAP
        path = f"/dev/tap{socket.if_nametoindex(name)}" if is_macvtap else "/dev/net/tun"
        self._file = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | (_IFF_MULTI_QUEUE if queues > 1 else 0)
        fcntl.ioctl(self._file, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        _wait_for(lambda: _is_forwarding(name), f"{name} does not come up")

    def send(self, destination: str, label: str, vlan: int | None = None, ethertype: int = ETHERTYPE) -> None:
        os.write(self._file, bytes(10) + frame(destination, self.mac, label, vlan, ethertype))

    def heard(self, quiet_s: float = QUIET_S, at_least: int = 0) -> list[str]:
        """As `Wire.heard`."""
        labels: list[str] = []
        while select.select([self._file], [], [], quiet_s if len(labels) >= at_least else LIMIT_S)[0]:
            labels.append(label_of(os.read(self._file, 2048)[10:]))
        return sorted(labels)

    def stop(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _is_forwarding(device: str) -> bool:
    """Whether the bridge that the device is in, if any, has noticed that somebody opened it."""
    ports = json.loads(run("bridge", "-j", "link", "show", "dev", device) or "[]")
    return all(port["state"] == "forwarding" for port in ports)


def _wait_for(condition: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.01)


@dataclass
class World:
    """A host of one backend, with its pluggers, and the wire."""

    case: Case
    pluggers: Pluggers
    wire: Wire
    restart_vswitchd: Callable[[], None]

    def network(self, vlan: int | None) -> Network:
        kind = NetworkType.FLAT if vlan is None else NetworkType.VLAN
        return Network(str(uuid.uuid4()), "net", Segment(kind, PHYSICAL_NETWORK, vlan))

    def vif(self, network: Network | None = None, ips: Sequence[str] = ()) -> Vif:
        """The VIF as a binding for this host has it."""
        network = network or self.network(self.case.vlan)
        unique = uuid.uuid4()
        mac = "52:54:" + ":".join(f"{byte:02x}" for byte in unique.bytes[:4])
        port = Port(str(unique), network.id, mac, fixed_ips=tuple(ips))
        bound = bind_port(port, network, Host("host", backends=(self.case.backend,)))
        binding = Binding(port.id, "host", BindingStatus.ACTIVE, bound.vif_type, bound.vif_details)
        return vif_of(port, network, binding)

    @contextmanager
    def vm(self, vif: Vif, queues: int = 1) -> Iterator[Vm]:
        vm = Vm(vif, queues)
        try:
            yield vm
        finally:
            vm.stop()

    @contextmanager
    def vm_plugged(self, network: Network | None = None, ips: Sequence[str] = ()) -> Iterator[Vm]:
        vif = self.vif(network, ips)
        self.pluggers.plug(vif)
        with self.vm(vif) as vm:
            self.pluggers.place(vif.tap_name, vif.mac_address, here=True)
            yield vm

    def wait_until_forwarding(self, vif: Vif) -> None:
        """Wait until the VIF's own bridge, if it has one, has noticed that what is in it is up."""
        inner = f"qvb{vif.port_id[:11]}"
        if inner in {name for _, name in socket.if_nameindex()}:
            _wait_for(lambda: _is_forwarding(inner), f"{inner} does not come up")

    def devices(self) -> object:
        """All that is on the host and could have been made by a plugger: devices, ports and flows."""
        links = run("ip", "-o", "-d", "link", "show")
        kernel = {
            line.split(": ")[1]: [word for word in ("kedge", " master ") if word in line]
            for line in links.splitlines()
            if "ovs-system" not in line
        }
        if not self.case.is_ovs:
            return kernel
        switch = ovs.look()
        flows = {
            line.split("actions")[0]
            for name in switch.bridges
            for line in run("ovs-ofctl", "--no-stats", "dump-flows", name).splitlines()
            if "priority=0 " not in line
        }
        return kernel, switch, flows


@contextmanager
def world(case: Case) -> Iterator[World]:
    """Make the host; afterwards it is gone, whatever happened."""
    if case.needs_8021q:
        _needs("VLAN devices", _has_8021q())
    if case.needs_openvswitch_module:
        _needs("Open vSwitch's datapath", _has_openvswitch_module())
    tag = uuid.uuid4().hex[:6]
    host, far = f"kedge-t-host-{tag}", f"kedge-t-far-{tag}"
    try:
        for name in (host, far):
            run("ip", "netns", "add", name)
        run("ip", "-n", host, "link", "add", INTERFACE, "type", "veth", "peer", "name", "wire", "netns", far)
        for name, device in ((host, INTERFACE), (far, "wire")):
            # Only these two are kept from talking of themselves; what a plugger makes it must keep quiet itself.
            run("ip", "netns", "exec", name, "sysctl", "-qw", f"net.ipv6.conf.{device}.disable_ipv6=1")
            run("ip", "-n", name, "link", "set", device, "up")
        with _inside(far):
            wire = Wire()
        with (
            closing(wire),
            _inside(host),
            _switch(case) as restart,
            Pluggers([case.backend]) as pluggers,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(Links, "add", _add_with_an_index_of_its_own)
            yield World(case, pluggers, wire, restart)
    finally:
        for name in (host, far):
            with suppress(subprocess.CalledProcessError):
                run("ip", "netns", "del", name)


def _add_with_an_index_of_its_own(links: Links, name: str, kind: str, alias: str, **settings: Any) -> Link:
    """A macvtap's node in /dev goes by its index, and all namespaces share /dev."""
    if kind == "macvtap":
        settings["index"] = 1_000_000 + uuid.uuid4().int % 1_000_000_000
    return _add(links, name, kind, alias, **settings)


_add = Links.add


@contextmanager
def _inside(namespace: str) -> Iterator[None]:
    netns.pushns(namespace)
    try:
        yield
    finally:
        netns.popns()


@contextmanager
def _switch(case: Case) -> Iterator[Callable[[], None]]:
    """Open vSwitch's daemons in this namespace, which every client finds through OVS_RUNDIR."""
    if not case.is_ovs:
        yield lambda: None
        return
    with tempfile.TemporaryDirectory(prefix="kedge-t-") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVS_RUNDIR", home)
        database, listening = f"{home}/conf.db", f"unix:{home}/db.sock"
        run("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
        server = _Daemon(["ovsdb-server", database, f"--remote=p{listening}"])
        server.start(lambda: Path(home, "db.sock").exists())
        vswitchd = _Daemon(["ovs-vswitchd", listening, "--pidfile"])

        def start() -> None:
            vswitchd.start(lambda: Path(home, "ovs-vswitchd.pid").exists())
            run("ovs-vsctl", "--timeout=30", "init")

        def restart() -> None:
            vswitchd.stop()
            Path(home, "ovs-vswitchd.pid").unlink(missing_ok=True)
            start()
            while subprocess.run(
                ["ovs-ofctl", "show", "br-int"], capture_output=True, check=False
            ).returncode:
                time.sleep(0.02)

        try:
            start()
            for bridge in ("br-int", "br-physnet1"):
                run("ovs-vsctl", "add-br", bridge, "--", "set", "Bridge", bridge,
                    f"datapath_type={case.backend.datapath_type}")  # fmt: skip
            run("ovs-vsctl", "set-fail-mode", "br-int", "secure")
            run("ovs-vsctl", "add-port", "br-physnet1", INTERFACE)
            yield restart
        finally:
            # Else the kernel's datapath would outlive the daemon that made it.
            with suppress(subprocess.CalledProcessError):
                run("ovs-appctl", "exit", "--cleanup")
            vswitchd.stop()
            server.stop()


class _Daemon:
    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = [*argv, "--no-chdir"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, is_ready: Callable[[], bool]) -> None:
        self._process = subprocess.Popen(self._argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for(is_ready, f"{self._argv[0]} did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)


def changed(vif: Vif, **details: object) -> Vif:
    """The same VIF with other details."""
    merged: Mapping[str, object] = {**vif.vif_details, **details}
    return replace(vif, vif_details=merged)
