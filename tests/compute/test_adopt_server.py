"""Adopting domains that run already: nothing on the host is touched, and they can move from then on."""

import pytest

from kedge.model.domain import DomainState
from kedge.model.errors import BadRequest, Conflict, NotFound, Unreachable
from kedge.model.host import HostBackend
from kedge.model.host_network import HostNetwork, VlanDevice
from kedge.model.network import BindingStatus, NetworkType, PortStatus, Segment, VifType

from .compute_world import ComputeWorld, completed

UUID = "5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0001"
MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02")

DIRECT = "<interface type='direct'>{mac}<source dev='eth1' mode='bridge'/>{model}</interface>"
DIRECT_VLAN = "<interface type='direct'>{mac}<source dev='eth2.300' mode='vepa'/>{model}</interface>"
OVS = (
    "<interface type='bridge'>{mac}<source bridge='br-physnet1'/><virtualport type='openvswitch'/>"
    "<target dev='vnet0'/>{model}</interface>"
)
OVS_VLAN = OVS.replace("br-physnet1", "br-physnet2").replace(
    "<virtualport", "<vlan><tag id='300'/></vlan><virtualport"
)
BRIDGE = "<interface type='bridge'>{mac}<source bridge='br0'/><target dev='vnet0'/>{model}</interface>"
TAP = "<interface type='ethernet'>{mac}<target dev='tap7' managed='no'/>{model}</interface>"

FLAT = Segment(NetworkType.FLAT, "physnet1")
VLAN_300 = Segment(NetworkType.VLAN, "physnet2", 300)


def domain(*interfaces: str, name: str = "legacy") -> str:
    nics = [
        interface.format(mac=f"<mac address='{mac}'/>", model="<model type='virtio'/>")
        for interface, mac in zip(interfaces, MACS, strict=False)
    ]
    return f"<domain type='kvm'><name>{name}</name><uuid>{UUID}</uuid><devices>{''.join(nics)}</devices></domain>"


def place(world: ComputeWorld, host: str, *interfaces: str) -> None:
    world[host].place(domain(*interfaces))
    world[host].network = HostNetwork(
        bridges={"br0": ("eth1", "vnet0", "tap7")},
        vlans={"eth2.300": VlanDevice("eth2", 300)},
    )


ATTACHED = {
    "macvtap": ("h1", DIRECT, FLAT, VifType.MACVTAP),
    "macvtap on a VLAN": ("h1", DIRECT_VLAN, VLAN_300, VifType.MACVTAP),
    "Open vSwitch": ("h3", OVS, FLAT, VifType.OVS),
    "Open vSwitch with a tag": ("h3", OVS_VLAN, VLAN_300, VifType.OVS),
    "Linux bridge": ("h5", BRIDGE, FLAT, VifType.BRIDGE),
    "tap in a Linux bridge": ("h5", TAP, FLAT, VifType.BRIDGE),
}


@pytest.mark.parametrize("name", ATTACHED)
def test_it_is_adopted_as_it_is_and_can_move(world: ComputeWorld, name: str) -> None:
    host, interface, segment, vif_type = ATTACHED[name]
    place(world, host, interface)
    before = world[host].holds[UUID].xml
    server, (port,) = world.servers.adopt(host, "legacy")
    assert (server.id, server.name, server.host, server.status) == (UUID, "legacy", host, "ACTIVE")
    assert port.mac_address == MACS[0]
    assert world.network.network(port.network_id).segment == segment
    (binding,) = world.network.bindings(port.id)
    assert (binding.host, binding.status, binding.vif_type) == (host, BindingStatus.ACTIVE, vif_type)
    assert world[host].holds[UUID].xml == before
    assert world[host].plugged == {}
    assert not {"plug", "create_domain", "unplug", "delete_domain"} & set(world[host].agent.calls)
    for _ in range(3):  # The first report's answer tells the agent of the new binding.
        assert world.network.port(port.id).status is PortStatus.ACTIVE
        world[host].agent.report()
    for destination in ("h2", "h4"):
        assert completed(world.move(world.tools.servers.find(UUID), destination))
        world.check(server, destination)


def test_two_nics_get_two_networks(world: ComputeWorld) -> None:
    place(world, "h1", DIRECT, DIRECT_VLAN)
    known = len(world.network.networks())
    _, ports = world.servers.adopt("h1", UUID)
    flat, tagged = [world.network.network(port.network_id) for port in ports]
    assert flat.name == "flat"  # It was there.
    assert (tagged.name, tagged.segment, tagged.mtu) == ("physnet2-vlan300", VLAN_300, 1500)
    assert len(world.network.networks()) == known + 1


def test_an_mtu_comes_with_the_network_that_is_made(world: ComputeWorld) -> None:
    place(world, "h3", OVS_VLAN.replace("{model}", "{model}<mtu size='9000'/>"))
    _, (port,) = world.servers.adopt("h3", "legacy")
    assert world.network.network(port.network_id).mtu == 9000


def test_what_can_not_be_told_is_said_for_each_nic_and_nothing_is_stored(world: ComputeWorld) -> None:
    place(
        world, "h1", DIRECT.replace("eth1", "eth7"), BRIDGE.replace("br0", "virbr0").replace("vnet0", "vnet9")
    )
    known = world.network.networks()
    with pytest.raises(BadRequest) as refused:
        world.servers.adopt("h1", "legacy")
    said = str(refused.value)
    assert f"NIC {MACS[0]}: no physical network of the host is mapped to eth7" in said
    assert f"NIC {MACS[1]}: no physical network of the host is in bridge virbr0" in said
    assert world.tools.servers.all() == []
    assert world.network.ports_of(UUID) == []
    assert world.network.networks() == known


def test_a_domain_without_interfaces(world: ComputeWorld) -> None:
    place(world, "h1")
    with pytest.raises(BadRequest, match="has no interface, so there is no network to carry"):
        world.servers.adopt("h1", "legacy")
    assert world.tools.servers.all() == []


def test_a_domain_that_is_not_there(world: ComputeWorld) -> None:
    place(world, "h1", DIRECT)
    with pytest.raises(NotFound, match=r"no domain 'ghost' on h1. Domains there: legacy"):
        world.servers.adopt("h1", "ghost")


def test_a_host_that_is_not_there(world: ComputeWorld) -> None:
    with pytest.raises(NotFound, match="h9"):
        world.servers.adopt("h9", "legacy")


@pytest.mark.parametrize("state", [DomainState.SHUTOFF, DomainState.PAUSED, DomainState.INCOMING])
def test_a_domain_that_does_not_run(world: ComputeWorld, state: DomainState) -> None:
    world["h1"].place(domain(DIRECT), state)
    with pytest.raises(Conflict, match=f"legacy on h1 is {state}; start it"):
        world.servers.adopt("h1", "legacy")


def test_a_server_is_not_adopted_twice(world: ComputeWorld) -> None:
    place(world, "h1", DIRECT)
    world.servers.adopt("h1", "legacy")
    with pytest.raises(Conflict, match="There is a server 'legacy'"):
        world.servers.adopt("h1", "legacy")
    assert len(world.network.ports_of(UUID)) == 1


def test_what_was_stored_before_a_failure_is_removed(world: ComputeWorld) -> None:
    """The first NIC's network has to be made; the second NIC's MAC is another port's on its network already."""
    place(world, "h1", DIRECT.replace("eth1", "eth2"), DIRECT)
    networks = world.network.networks()
    flat = next(known for known in networks if known.segment == Segment(NetworkType.FLAT, "physnet1"))
    world.network.create_port(flat.id, device_id="somebody", mac_address=MACS[1])
    with pytest.raises(Conflict, match=MACS[1]):
        world.servers.adopt("h1", "legacy")
    assert world.tools.servers.all() == []
    assert world.network.ports_of(UUID) == []
    assert world.network.networks() == networks
    assert UUID in world["h1"].holds


def test_an_agent_that_does_not_answer(world: ComputeWorld) -> None:
    place(world, "h1", DIRECT)
    world["h1"].agent.reachable = False
    with pytest.raises(Unreachable, match="agent of h1"):
        world.servers.adopt("h1", "legacy")


def test_a_host_whose_agent_maps_nothing(world: ComputeWorld) -> None:
    world.fabric.add("h6", [HostBackend("macvtap", {})])
    place(world, "h6", DIRECT)
    with pytest.raises(BadRequest, match="its agent maps none"):
        world.servers.adopt("h6", "legacy")
