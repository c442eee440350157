"""Every backend on the kernel's own means: VLAN devices, macvtap on them, and Open vSwitch's kernel datapath.

A host has one interface, `eth1`, that carries a flat network and the VLANs 100 and 200. Each of the three has a
VM on the host; what the VM does with its device, the test does. At the wire's other end is everything else.
Kernels without these means are common, so `KEDGE_MUST_RUN=1` says that nothing may be skipped for it.
"""

import fcntl
import os
import select
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from pyroute2 import netns

from kedge.agent.vif import ovs_client as ovs
from kedge.agent.vif.base import Plugger
from kedge.agent.vif.links import Links
from kedge.agent.vif.linuxbridge import BridgePlugger
from kedge.agent.vif.macvtap import MacvtapPlugger
from kedge.agent.vif.openvswitch import OvsPlugger
from kedge.core.binding import bind_port
from kedge.model.domain import VifState
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

pytestmark = pytest.mark.lab

HOST, FAR = "kedge-kb-host", "kedge-kb-far"
FAR_MAC = "52:54:00:ff:ff:01"
SEGMENTS: Mapping[str, int | None] = {"flat": None, "blue": 100, "red": 200}
UNUSED_VLAN = 300
OVS_MAPPINGS = {"physnet1": "br-physnet1"}
BACKENDS = {
    "macvtap": HostBackend("macvtap", {"physnet1": "eth1"}),
    "linuxbridge": HostBackend("linuxbridge", {"physnet1": "eth1"}),
    "ovs-native": HostBackend("openvswitch", OVS_MAPPINGS),
    "ovs-hybrid": HostBackend("openvswitch", OVS_MAPPINGS, hybrid_plug=True),
}
PLUGGERS: Mapping[VifType, Callable[[HostBackend, Links], Plugger]] = {
    VifType.MACVTAP: MacvtapPlugger,
    VifType.BRIDGE: BridgePlugger,
    VifType.OVS: OvsPlugger,
}

BROADCAST = "ff:ff:ff:ff:ff:ff"
ETHERTYPE = 0x88B5  # IEEE 802: for local experiments
QUIET_S, LIMIT_S = 0.5, 60
IFF_TAP, IFF_NO_PI, TUNSETIFF = 0x0002, 0x1000, 0x400454CA
ETH_P_ALL, SOL_PACKET, PACKET_AUXDATA, PACKET_OUTGOING, TP_STATUS_VLAN_VALID = 3, 263, 8, 4, 1 << 4


def frame(destination: str, source: str, label: str, vlan: int | None = None) -> bytes:
    tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
    addresses = bytes.fromhex((destination + source).replace(":", ""))
    return (addresses + tag + struct.pack("!H", ETHERTYPE) + label.encode()).ljust(60, b"\0")


def label_of(data: bytes) -> str:
    """The label; of a frame that is not one of ours, all of it, so that it can't be mistaken for nothing."""
    if data[12:14] != struct.pack("!H", ETHERTYPE):
        return data.hex()
    return data[14:].rstrip(b"\0").decode()


class End(Protocol):
    """Where frames can be sent and received."""

    def fileno(self) -> int: ...

    def receive(self) -> str | None: ...


def received(end: End, *, at_least: int = 0) -> list[str]:
    """What arrived and arrives until nothing more does; so many are waited for, however slow the machine."""
    labels: list[str] = []
    while select.select([end], [], [], QUIET_S if len(labels) >= at_least else LIMIT_S)[0]:
        label = end.receive()
        if label is not None:
            labels.append(label)
    return sorted(labels)


class Wire:
    """The far end of the host's interface: frames as they are on the wire, with their tags."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._socket.bind(("wire", ETH_P_ALL))
        self.fileno, self.close = self._socket.fileno, self._socket.close

    def send(self, destination: str, label: str, vlan: int | None) -> None:
        self._socket.send(frame(destination, FAR_MAC, label, vlan))

    def receive(self) -> str | None:
        """`LABEL@VLAN`; the kernel hands the tag over beside the frame."""
        data, ((_, _, extra),), _, address = self._socket.recvmsg(2048, socket.CMSG_SPACE(20))
        if address[2] == PACKET_OUTGOING:
            return None
        status, tci = struct.unpack("=I12xH", extra[:18])
        return f"{label_of(data)}@{tci & 0xFFF if status & TP_STATUS_VLAN_VALID else None}"


@dataclass
class Vm:
    """A VM's NIC, with the device behind it open as QEMU has it."""

    vif: Vif
    file: int

    def fileno(self) -> int:
        return self.file

    def send(self, destination: str, label: str) -> None:
        os.write(self.file, frame(destination, self.vif.mac_address, label))

    def receive(self) -> str | None:
        return label_of(os.read(self.file, 2048))


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    netns.pushns(namespace)
    try:
        yield
    finally:
        netns.popns()


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A host and the wire to it, with this thread on the host."""
    with ExitStack() as stack:
        for name in (HOST, FAR):
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "del", name)
            run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        run("ip", "-n", HOST, "link", "add", "eth1", "type", "veth", "peer", "name", "wire", "netns", FAR)
        run("ip", "-n", FAR, "link", "set", "wire", "up")
        with inside(FAR):
            far = Wire()
        stack.callback(far.close)
        stack.enter_context(inside(HOST))
        yield far


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, wire: Wire) -> Iterator[HostBackend]:
    chosen = BACKENDS[request.param]
    needs("VLAN devices", "ip", "link", "add", "link", "eth1", "name", "trial", "type", "vlan", "id", "1")
    run("ip", "link", "del", "trial")
    if chosen.driver != "openvswitch":
        yield chosen
        return
    needs("Open vSwitch's datapath", "modprobe", "openvswitch")
    with open_vswitch():
        for bridge in ("br-int", "br-physnet1"):
            run("ovs-vsctl", "add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=system")
        run("ovs-vsctl", "add-port", "br-physnet1", "eth1")
        run("ip", "link", "set", "eth1", "up")
        yield chosen


def needs(means: str, *trial: str) -> None:
    done = subprocess.run(trial, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"this kernel lacks {means}: {done.stderr.strip()}"
        (pytest.fail if os.environ.get("KEDGE_MUST_RUN") else pytest.skip)(message)


@contextmanager
def open_vswitch() -> Iterator[None]:
    """Open vSwitch's daemons in this namespace, which every client finds through OVS_RUNDIR."""
    with tempfile.TemporaryDirectory(prefix="kedge-") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVS_RUNDIR", home)
        database, listening = f"{home}/conf.db", f"unix:{home}/db.sock"
        run("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
        server = ["ovsdb-server", database, f"--remote=p{listening}", "--no-chdir"]
        switch = ["ovs-vswitchd", listening, "--no-chdir", "--pidfile"]
        with daemon(server, Path(home, "db.sock")), daemon(switch):
            run("ovs-vsctl", "--timeout=30", "init")
            yield
            # Else the kernel's datapath would outlive the daemon that made it.
            run("ovs-appctl", "exit", "--cleanup")


@contextmanager
def daemon(argv: list[str], socket_path: Path | None = None) -> Iterator[None]:
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while socket_path and not socket_path.exists():
                assert process.poll() is None, f"{argv[0]} ended"
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def vif_on(backend: HostBackend, number: int, name: str, vlan: int | None) -> Vif:
    """The VIF as a binding for this host has it."""
    kind = NetworkType.FLAT if vlan is None else NetworkType.VLAN
    network = Network(str(uuid.uuid4()), name, Segment(kind, "physnet1", vlan))
    port = Port(str(uuid.uuid4()), network.id, f"52:54:00:00:00:{number:02x}")
    bound = bind_port(port, network, Host("host", backends=(backend,)))
    return vif_of(
        port, network, Binding(port.id, "host", BindingStatus.ACTIVE, bound.vif_type, bound.vif_details)
    )


@contextmanager
def vm(vif: Vif) -> Iterator[Vm]:
    """Do with the VIF's device what libvirt and QEMU do."""
    name = vif.tap_name
    is_macvtap = vif.vif_type == VifType.MACVTAP
    path = f"/dev/tap{socket.if_nametoindex(name)}" if is_macvtap else "/dev/net/tun"
    file = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
        yield Vm(vif, file)
    finally:
        os.close(file)


def devices() -> set[str]:
    return {name for _, name in socket.if_nameindex()} - {"ovs-system"}


def test_each_vm_has_its_own_network_and_no_other(backend: HostBackend, wire: Wire) -> None:
    before = devices()
    vifs = {name: vif_on(backend, 16 + n, name, vlan) for n, (name, vlan) in enumerate(SEGMENTS.items())}
    with Links() as links:
        plugger = PLUGGERS[vifs["flat"].vif_type](backend, links)
        for vif in vifs.values():
            plugger.plug(vif)
        ovs.wait()
        assert [plugger.state(vif) for vif in vifs.values()] == [VifState.UP] * 3
        for vif in vifs.values():
            plugger.place(vif.tap_name, vif.mac_address, here=True)
        with ExitStack() as stack:
            vms = {name: stack.enter_context(vm(vif)) for name, vif in vifs.items()}
            assert [plugger.state(vif) for vif in vifs.values()] == [VifState.UP] * 3
            assert received(wire) == []  # nobody has said anything yet
            frames_from_the_wire_reach_their_own_vm_only(wire, vms)
            frames_of_a_vm_leave_with_their_own_tag_only(wire, vms)
        for vif in vifs.values():
            plugger.unplug([vif.port_id])
        assert plugger.plugged() == []
    assert devices() == before


def frames_from_the_wire_reach_their_own_vm_only(wire: Wire, vms: Mapping[str, Vm]) -> None:
    for name, vlan in SEGMENTS.items():
        wire.send(BROADCAST, f"to all of {name}", vlan)
        wire.send(vms[name].vif.mac_address, f"to {name}", vlan)
    wire.send(BROADCAST, "to nobody", UNUSED_VLAN)
    for name, each in vms.items():
        assert received(each, at_least=2) == [f"to all of {name}", f"to {name}"]


def frames_of_a_vm_leave_with_their_own_tag_only(wire: Wire, vms: Mapping[str, Vm]) -> None:
    for name, each in vms.items():
        each.send(BROADCAST, f"all from {name}")
        each.send(FAR_MAC, f"from {name}")
    assert received(wire, at_least=2 * len(vms)) == sorted(
        f"{what} {name}@{vlan}" for name, vlan in SEGMENTS.items() for what in ("from", "all from")
    )
    for each in vms.values():
        assert received(each) == []
