"""A VM on a VLAN moves between Open vSwitch hosts: at every instant it hears its own VLAN and no other network.

Userspace Open vSwitch needs nothing of the kernel for a VLAN. Those backends that need VLAN devices are shown on a
kernel that has them, see tests/lab/test_vlan_in_machine.py.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kedge.lab import image
from kedge.lab.cloud import Cloud
from kedge.lab.sniff import Frame, Sniffer

pytestmark = pytest.mark.lab

VLAN, OTHER_VLAN = 100, 200
TYPE = "0x88b5"  # IEEE 802: for local experiments
# Broadcasts on the wire without a tag, on the VM's VLAN, and on another; the source says which.
SOURCES = {None: "02:00:00:00:00:01", VLAN: "02:00:00:00:00:02", OTHER_VLAN: "02:00:00:00:00:03"}
CRIER = """
import socket, struct, sys, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((sys.argv[1], 0))
frames = []
for each in sys.argv[2:]:
    mac, _, tag = each.partition("=")
    head = b"\\xff" * 6 + bytes.fromhex(mac.replace(":", ""))
    head += struct.pack("!HH", 0x8100, int(tag)) if tag else b""
    frames.append(head + struct.pack("!H", 0x88b5) + bytes(46))
while True:
    for frame in frames:
        wire.send(frame)
    time.sleep(0.005)
"""


@pytest.fixture
def crier(cloud: Cloud) -> Iterator[None]:
    what = [f"{mac}={tag or ''}" for tag, mac in SOURCES.items()]
    process = cloud.lab.observer.popen([sys.executable, "-c", CRIER, "eth1", *what])
    yield
    process.kill()
    process.wait(10)


@pytest.fixture
def vm(cloud: Cloud) -> Iterator[dict[str, Any]]:
    network = cloud.create_network("vlan100", "physnet1", "198.18.100.0/24", vlan=VLAN)
    port = cloud.post("/network/v2.0/ports", {"port": {"network_id": network}})["port"]
    made = cloud.post(
        "/kedge/v1/servers",
        {
            "name": "vm-vlan",
            "host": "h3",
            "virt_type": "qemu",
            "memory_mib": image.MEMORY_MIB,
            "kernel": str(image.KERNEL),
            "initrd": str(image.INITRD),
            "cmdline": image.command_line([(port["mac_address"], "198.18.100.10/24")]),
            "nics": [{"port": port["id"]}],
        },
    )
    yield {"id": made["id"], "port": port["id"], "mac": port["mac_address"]}
    cloud.delete(f"/kedge/v1/servers/{made['id']}")
    cloud.delete(f"/network/v2.0/networks/{network}")


def heard_on(cloud: Cloud, host: str, tap: str) -> Sniffer:
    """Listen on a tap from the moment it is there."""
    node = cloud.lab.hosts[host]
    cloud.wait_for(lambda: tap in node.devices(), f"{tap} on {host}")
    return Sniffer(node, tap)


@pytest.mark.usefixtures("crier")
def test_only_its_own_vlan(cloud: Cloud, vm: dict[str, Any]) -> None:
    tap = f"tap{vm['port'][:11]}"
    for source, destination in (("h3", "h4"), ("h4", "h3")):
        on_the_wire = Sniffer(cloud.lab.fabric, f"{destination}-phys1", source=vm["mac"])
        before = heard_on(cloud, source, tap)
        with ThreadPoolExecutor(1) as pool:
            listening = pool.submit(heard_on, cloud, destination, tap)
            migration = cloud.migrate(vm["id"], destination, bandwidth_mib=40)
        assert migration["status"] == "completed", migration["error"]
        for frames in (before.stop(), listening.result().stop()):
            cries = {frame.source for frame in frames if frame.kind == TYPE}
            assert cries == {SOURCES[VLAN]}
            # An access port takes the tag off; a tag that is still there is another network's.
            assert {frame.vlan for frame in frames if frame.kind == TYPE} == {None}
        announced = [frame for frame in on_the_wire.stop() if is_from(frame, vm["mac"])]
        assert announced, "the VM was not heard from its new host"
        assert {frame.vlan for frame in announced} == {VLAN}


def is_from(frame: Frame, mac: str) -> bool:
    return frame.source == mac and not frame.outgoing
