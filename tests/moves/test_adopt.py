"""Servers that were made without Kedge: adopted as they are, and then moved like any other."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from kedge.lab import image, tour
from kedge.lab.cloud import Cloud
from kedge.lab.sniff import Sniffer
from kedge.model.errors import BadRequest

pytestmark = pytest.mark.lab

MAC = "52:54:00:ad:0b:01"
ADDRESS = "198.51.100.30"

DIRECT = (
    "<interface type='direct'><mac address='{mac}'/><source dev='ens5' mode='bridge'/>"
    "<model type='virtio'/></interface>"
)
BRIDGE = (
    "<interface type='bridge'><mac address='{mac}'/><source bridge='br0'/><model type='virtio'/></interface>"
)
OVS = (
    "<interface type='bridge'><mac address='{mac}'/><source bridge='br-physnet1'/>"
    "<virtualport type='openvswitch'/><model type='virtio'/></interface>"
)

ETHERNET = "<interface type='ethernet'><mac address='{mac}'/><model type='virtio'/></interface>"


def start_by_hand(cloud: Cloud, host: str, interface: str) -> str:
    """A VM as its owner made it, with virsh."""
    uuid = str(uuid4())
    console = f"<graphics type='vnc' autoport='yes' listen='{cloud.lab.hosts[host].address}'/>"
    nics = [interface.format(mac=MAC)]
    xml = image.domain_xml("by-hand", uuid, [(MAC, f"{ADDRESS}/24")], [*nics, console])
    cloud.lab.hosts[host].virsh("create", "/dev/stdin", text_input=xml)
    cloud.wait_for(lambda: tour.answers(cloud, ADDRESS), "the VM", tour.BOOT_S)
    return uuid


def listens(cloud: Cloud, host: str, uuid: str) -> str:
    """The address on which the VM's console can be reached on this host."""
    node = cloud.lab.hosts[host]
    address, _, display = node.virsh("vncdisplay", uuid).stdout.strip().rpartition(":")
    listening = node.run(["ss", "-Hltn", f"sport = :{5900 + int(display)}"]).stdout
    assert f"{address}:" in listening
    return address


def port_status(cloud: Cloud, adopted: dict[str, Any]) -> str:
    (port,) = adopted["ports"]
    status: str = cloud.get(f"/network/v2.0/ports/{port['id']}")["port"]["status"]
    return status


def reported_at(cloud: Cloud, host: str) -> str:
    agent = cloud.get("/network/v2.0/agents", host=host)["agents"][0]
    return str(agent["heartbeat_timestamp"])


@pytest.fixture
def linux_bridge(cloud: Cloud) -> Iterator[None]:
    """A bridge of its owner's on h5, with the physical interface in it."""
    host = cloud.lab.hosts["h5"]
    host.shell("ip link add br0 type bridge; ip link set eth1 master br0; ip link set br0 up")
    yield
    host.shell("ip link set eth1 nomaster; ip link del br0")


@pytest.mark.parametrize(
    ("host", "interface", "destination"),
    [("h2", DIRECT, "h5"), ("h3", OVS, "h1"), ("h5", BRIDGE, "h4")],
    ids=["macvtap", "openvswitch", "linuxbridge"],
)
def test_adopt_and_move(
    cloud: Cloud, host: str, interface: str, destination: str, request: pytest.FixtureRequest
) -> None:
    if interface is BRIDGE:
        request.getfixturevalue("linux_bridge")
    uuid = start_by_hand(cloud, host, interface)
    node = cloud.lab.hosts[host]
    before = (node.virsh("dumpxml", uuid).stdout, node.devices(), node.ovs_ports())
    adopted = cloud.post("/kedge/v1/servers/adopt", {"host": host, "domain": "by-hand"})
    try:
        assert adopted["server"]["id"] == uuid
        assert [port["mac_address"] for port in adopted["ports"]] == [MAC]
        assert (node.virsh("dumpxml", uuid).stdout, node.devices(), node.ovs_ports()) == before
        statuses = set()
        told = reported_at(cloud, host)
        for _ in range(2):  # the first of these reports may have been on its way
            statuses |= {port_status(cloud, adopted)}
            cloud.wait_for(lambda told=told: reported_at(cloud, host) != told, "a report")  # type: ignore[misc]
            told = reported_at(cloud, host)
        assert statuses | {port_status(cloud, adopted)} == {"ACTIVE"}

        if interface is BRIDGE:
            for other in (OVS, ETHERNET):
                refused = node.virsh(
                    "update-device",
                    uuid,
                    "/dev/stdin",
                    "--live",
                    text_input=other.format(mac=MAC),
                    check=False,
                )
                assert "unable to change config on" in refused.stderr, (
                    "so libvirt could rewire it: docs/rewire.md"
                )

        hop = tour.hop(cloud, uuid, host, destination, addresses=[ADDRESS])
        left = [thing for thing in hop.left_behind if thing != "device br0"]
        assert hop.migration["status"] == "completed", hop.migration["error"]
        assert hop.tcp_alive
        assert hop.continuous
        assert left == []
        assert listens(cloud, destination, uuid) == cloud.lab.hosts[destination].address
        if interface is BRIDGE:
            (there,) = cloud.post(f"/kedge/v1/servers/{uuid}/plan", {"host": host})["ports"]
            assert "in Linux bridge br0," in there["plug"]
    finally:
        cloud.delete(f"/kedge/v1/servers/{uuid}")


def test_what_cannot_be_told_is_refused(cloud: Cloud) -> None:
    host = cloud.lab.hosts["h5"]
    host.shell("ip link add br-odd type bridge; ip link set br-odd up")
    uuid = str(uuid4())
    odd = BRIDGE.replace("br0", "br-odd").format(mac=MAC)
    xml = image.domain_xml("odd", uuid, [(MAC, f"{ADDRESS}/24")], [odd])
    host.virsh("create", "/dev/stdin", text_input=xml)
    try:
        with pytest.raises(BadRequest, match=rf"NIC {MAC}: no physical network .* bridge br-odd"):
            cloud.post("/kedge/v1/servers/adopt", {"host": "h5", "domain": "odd"})
        assert "odd" not in {server["name"] for server in cloud.get("/kedge/v1/servers")}
    finally:
        host.virsh("destroy", uuid)
        host.shell("ip link del br-odd")


BY_NETWORK = (
    "<interface type='network'><mac address='{mac}'/><source network='corp' portgroup='{portgroup}'/>"
    "<model type='virtio'/></interface>"
)
OVS_NETWORK = """<network><name>corp</name><forward mode='bridge'/><bridge name='br-physnet1'/>
<virtualport type='openvswitch'/><portgroup name='tagged'><vlan><tag id='42'/></vlan></portgroup>
<portgroup name='slow'><bandwidth><outbound average='500'/></bandwidth></portgroup></network>"""
ISOLATING_NETWORK = """<network><name>corp</name><forward mode='bridge'/><bridge name='br0'/><port isolated='yes'/>
<portgroup name='any'/></network>"""


@contextmanager
def adopted_from_network(cloud: Cloud, host: str, network: str, portgroup: str) -> Iterator[dict[str, Any]]:
    """A VM on a real <network> of libvirt's, which Kedge adopts."""
    node, uuid = cloud.lab.hosts[host], str(uuid4())
    node.virsh("net-create", "/dev/stdin", text_input=network)
    try:
        nic = BY_NETWORK.format(mac=MAC, portgroup=portgroup)
        xml = image.domain_xml("by-network", uuid, [(MAC, f"{ADDRESS}/24")], [nic])
        node.virsh("create", "/dev/stdin", text_input=xml)
        assert "<vlan>" not in node.virsh("dumpxml", "--migratable", uuid).stdout
        adopted = cloud.post("/kedge/v1/servers/adopt", {"host": host, "domain": "by-network"})
        try:
            yield adopted
        finally:
            cloud.delete(f"/kedge/v1/servers/{uuid}")
    finally:
        node.virsh("destroy", uuid, check=False)
        node.virsh("net-destroy", "corp")


def test_the_vlan_of_a_portgroup_goes_along(cloud: Cloud) -> None:
    on_the_wire = Sniffer(cloud.lab.fabric, "h4-phys1", source=MAC)
    with adopted_from_network(cloud, "h3", OVS_NETWORK, "tagged") as adopted:
        server, (port,) = adopted["server"], adopted["ports"]
        network = cloud.get(f"/network/v2.0/networks/{port['network_id']}")["network"]
        assert network["provider:segmentation_id"] == 42
        migration = cloud.migrate(server["id"], "h4")
        assert migration["status"] == "completed", migration["error"]
        heard = [frame.vlan for frame in on_the_wire.stop() if not frame.outgoing]
        assert set(heard) == {42}


def test_the_bandwidth_of_a_portgroup_goes_along(cloud: Cloud) -> None:
    with adopted_from_network(cloud, "h3", OVS_NETWORK, "slow") as adopted:
        plan = cloud.post(f"/kedge/v1/servers/{adopted['server']['id']}/plan", {"host": "h5"})
        assert plan["obstacles"] == []
        assert "<outbound average='500'/>" in plan["xml_after"]


@pytest.mark.usefixtures("linux_bridge")
def test_the_isolation_by_a_network_is_an_obstacle(cloud: Cloud) -> None:
    with adopted_from_network(cloud, "h5", ISOLATING_NETWORK, "any") as adopted:
        plan = cloud.post(f"/kedge/v1/servers/{adopted['server']['id']}/plan", {"host": "h3"})
        (obstacle,) = plan["obstacles"]
        assert "is isolated from the other ports of its bridge" in obstacle
