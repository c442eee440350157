"""Dry runs: what they show, that they touch nothing, and how they say what is in the way."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256

import pytest
from sqlalchemy import text

from kedge.core.domain_xml import rewrite
from kedge.core.obstacles import CODES
from kedge.model.domain import DomainState
from kedge.model.errors import CannotMigrate, HostFailure, NotFound
from kedge.model.host import HostBackend
from kedge.model.host_facts import FileFacts
from kedge.model.server import MigrationOptions, Server
from kedge.testing.simulated.fabric import FIVE_HOSTS
from kedge.wire.messages import MOST_VIFS

from .compute_world import PAIRS, ComputeWorld, completed, make_compute_world

TABLES = ("networks", "ports", "bindings", "hosts", "agents", "servers", "migrations", "migration_events")

# What the diff must say of a host: how the flat port and the tagged one are attached there.
PLUGGED = {
    "h1": [
        "macvtap (bridge) on eth1, physnet1 untagged",
        "macvtap (bridge) on eth2.101, VLAN 101 of physnet2",
    ],
    "h2": [
        "macvtap (bridge) on ens5, physnet1 untagged",
        "macvtap (bridge) on ens6.101, VLAN 101 of physnet2",
    ],
    "h3": ["in Open vSwitch br-int, physnet1 untagged", "in Open vSwitch br-int, VLAN 101 of physnet2"],
    "h4": ["veth to Open vSwitch br-int, physnet1", "veth to Open vSwitch br-int, VLAN 101 of physnet2"],
    "h5": ["in Linux bridge brq", "in Linux bridge brq"],
}


def everything(world: ComputeWorld) -> dict[str, object]:
    """All that a plan could have changed: the database, and what hosts hold."""
    with world.engine.connect() as connection:
        rows: dict[str, object] = {
            table: sha256(
                repr(list(connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")))).encode()
            ).hexdigest()
            for table in TABLES
        }
    for name, host in world.fabric.hosts.items():
        rows[name] = (
            dict(host.plugged),
            {uuid: domain.xml for uuid, domain in host.holds.items()},
            set(host.jobs),
        )
    return rows


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComputeWorld]:
    """A world with a server on each host, for plans that change nothing."""
    with make_compute_world(tmp_path_factory.mktemp("fleet")) as world:
        for host in FIVE_HOSTS:
            world.server(host, f"on-{host}")
        yield world


@pytest.mark.parametrize(("source", "destination"), PAIRS)
def test_a_plan_for_every_pair(fleet: ComputeWorld, source: str, destination: str) -> None:
    world, server = fleet, fleet.tools.servers.find(f"on-{source}")
    before = everything(world)
    plan = world.tools.planner.plan(server, destination)
    assert everything(world) == before
    assert plan.obstacles == ()
    assert plan.possible
    assert (plan.source, plan.destination) == (source, destination)
    assert plan.xml_before == world[source].holds[server.id].xml
    assert plan.xml_diff == ""  # The agents make the same devices; only what they put them on differs.
    for port in plan.ports:
        assert f"<target dev='tap{port.port_id[:11]}' managed='no'/>" in plan.xml_after
    for port, described in zip(plan.ports, PLUGGED[destination], strict=True):
        assert described in port.plug
        assert port.obstacle is None
        assert port.source_binding is not None
        assert port.destination_binding is not None
        assert (port.source_binding.host, port.destination_binding.host) == (source, destination)


def test_a_plan_is_what_the_migration_then_does(world: ComputeWorld) -> None:
    server = world.server("h1")
    plan = world.tools.planner.plan(server, "h2")
    world.move(server, "h2")
    for planned in plan.ports:
        (binding,) = world.network.bindings(planned.port_id)
        assert planned.destination_binding is not None
        assert binding.vif_details == planned.destination_binding.vif_details


# What is in the way. Each entry: what makes it so, where to, and what must be said about it.

Spoil = Callable[[ComputeWorld, Server], None]


def nothing(world: ComputeWorld, server: Server) -> None:
    pass


def change_xml(world: ComputeWorld, server: Server, old: str, new: str) -> None:
    domain = world[server.host].holds[server.id]
    assert old in domain.xml
    domain.xml = domain.xml.replace(old, new, 1)


def set_backend(world: ComputeWorld, backend: HostBackend) -> None:
    world["h3"].backends = (backend,)
    world["h3"].agent.report()


def without_physnet2(world: ComputeWorld, server: Server) -> None:
    set_backend(world, HostBackend("openvswitch", {"physnet1": "br-physnet1"}))


def with_small_mtu(world: ComputeWorld, server: Server) -> None:
    mappings = {"physnet1": "br-physnet1", "physnet2": "br-physnet2"}
    set_backend(world, HostBackend("openvswitch", mappings, mtus={"physnet1": 1450}))


def dead_agent(world: ComputeWorld, server: Server) -> None:
    world["h3"].agent.reachable = False
    world.pass_time(60)


def silent_agent(world: ComputeWorld, server: Server) -> None:
    world["h3"].agent.reachable = False


def silent_source(world: ComputeWorld, server: Server) -> None:
    world["h1"].agent.reachable = False


def unmarked(world: ComputeWorld, server: Server) -> None:
    """Take away the names by which Kedge knows its own NICs, as on a domain that somebody else made."""
    for port in world.ports(server):
        change_xml(world, server, f"<alias name='ua-{port.id}'/>", "")


EXTRA = (
    "<interface type='direct'><mac address='{mac}'/><source dev='eth1' mode='bridge'/></interface></devices>"
)


def interface_without_port(world: ComputeWorld, server: Server) -> None:
    change_xml(world, server, "</devices>", EXTRA.format(mac="52:54:00:aa:bb:cc"))


def ambiguous_interfaces(world: ComputeWorld, server: Server) -> None:
    unmarked(world, server)
    port = world.ports(server)[0]
    change_xml(world, server, f"<target dev='tap{port.id[:11]}' managed='no'/>", "<target dev='vnet7'/>")
    change_xml(world, server, "</devices>", EXTRA.format(mac=port.mac_address).replace("eth1", "eth7"))


def port_without_interface(world: ComputeWorld, server: Server) -> None:
    network = world.networks()["flat"]
    port = world.network.create_port(network.id, device_id=server.id, mac_address="fa:16:3e:99:99:99")
    world.network.bind(port.id, server.host)


def port_without_binding(world: ComputeWorld, server: Server) -> None:
    world.network.unbind(world.ports(server)[0].id, "h1", even_active=True)


def with_dtd(world: ComputeWorld, server: Server) -> None:
    domain = world["h1"].holds[server.id]
    domain.xml = "<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + domain.xml


def with_entity(world: ComputeWorld, server: Server) -> None:
    change_xml(world, server, "<name>vm</name>", "<name>&xxe;</name>")


def state(wanted: DomainState) -> Spoil:
    def spoil(world: ComputeWorld, server: Server) -> None:
        world["h1"].holds[server.id].state = wanted

    return spoil


def gone(world: ComputeWorld, server: Server) -> None:
    del world["h1"].holds[server.id]


def migrated_by_hand(world: ComputeWorld, server: Server) -> None:
    world["h1"].jobs.add(server.id)


def held_there(world: ComputeWorld, server: Server) -> None:
    world["h3"].place(world["h1"].holds[server.id].xml, DomainState.SHUTOFF)


def name_is_taken(world: ComputeWorld, server: Server) -> None:
    xml = world["h1"].holds[server.id].xml
    world["h3"].place(xml.replace(server.id, "0b5c7d52-5b0e-4c61-9df1-5a1f3a0c0001"), DomainState.SHUTOFF)


def with_a_pci_device(world: ComputeWorld, server: Server) -> None:
    change_xml(world, server, "</devices>", "<hostdev mode='subsystem' type='pci'/></devices>")


def with_a_filter(world: ComputeWorld, server: Server) -> None:
    change_xml(
        world, server, "<model type='virtio'/>", "<model type='virtio'/><filterref filter='clean-traffic'/>"
    )


def without_ports(world: ComputeWorld, server: Server) -> None:
    for port in world.ports(server):
        world.network.delete_port(port.id)


def with_ports_without_end(world: ComputeWorld, server: Server) -> None:
    network = world.networks()["flat"]
    for _ in range(MOST_VIFS - 1):
        world.network.create_port(network.id, device_id=server.id, fixed_ips=())


def libvirtd_is_away(world: ComputeWorld, server: Server) -> None:
    for call in ("observe", "domain_xml"):
        world["h1"].agent.faults.fail(
            call, HostFailure("h1's libvirtd does not answer; start it"), times=None
        )


def an_image_is_missing(world: ComputeWorld, server: Server) -> None:
    drive = "<disk type='file' device='cdrom'><source file='/iso'/><target dev='sda'/><readonly/></disk></devices>"
    change_xml(world, server, "</devices>", drive)
    world["h3"].facts = replace(world["h3"].facts, files={"/iso": FileFacts()})


IN_THE_WAY: dict[str, tuple[Spoil, str, str]] = {
    "target is the source": (nothing, "h1", "is on h1 already; choose another host"),
    "physical network is missing": (without_physnet2, "h3", "'physnet2' is not mapped on this host"),
    "MTU is too small": (with_small_mtu, "h3", "has MTU 1450 and network"),
    "agent is dead": (dead_agent, "h3", "the agent of h3 is dead"),
    "agent does not answer": (silent_agent, "h3", "does not answer"),
    "source's agent does not answer": (silent_source, "h3", "source h1: the agent of h1"),
    "libvirtd does not answer": (libvirtd_is_away, "h3", "h1's libvirtd does not answer"),
    "interface without port": (
        interface_without_port,
        "h3",
        "interface 52:54:00:aa:bb:cc (direct on eth1) has no port",
    ),
    "interfaces are ambiguous": (ambiguous_interfaces, "h3", "is that of more than one NIC"),
    "port without interface": (
        port_without_interface,
        "h3",
        "(fa:16:3e:99:99:99) has no interface in the domain",
    ),
    "port without binding": (port_without_binding, "h3", "has no ACTIVE binding on h1"),
    "too many ports": (with_ports_without_end, "h3", "has 129 ports, and at most 128 can be plugged"),
    "no ports": (without_ports, "h3", "has no ports"),
    "DTD": (with_dtd, "h3", "has a DOCTYPE; remove it"),
    "entity": (with_entity, "h3", "not well-formed"),
    "shut off": (state(DomainState.SHUTOFF), "h3", "is shutoff on h1; only a running one can move live"),
    "paused": (state(DomainState.PAUSED), "h3", "is paused on h1"),
    "crashed": (state(DomainState.CRASHED), "h3", "is crashed on h1"),
    "not there": (gone, "h3", "is absent on h1"),
    "migrated with virsh": (migrated_by_hand, "h3", "is migrating server vm already"),
    "destination holds it": (held_there, "h3", "h3 holds a domain with this server's UUID (shutoff)"),
    "name is taken": (name_is_taken, "h3", "another domain on h3 is named vm (shutoff, UUID 0b5c7d52"),
    "image is missing": (an_image_is_missing, "h3", "cdrom sda: holds /iso, which is not there on h3"),
    "PCI device": (with_a_pci_device, "h3", "passed through to the guest"),
    "network filter": (with_a_filter, "h3", "has the network filter 'clean-traffic'"),
}


@pytest.mark.parametrize("name", IN_THE_WAY)
def test_what_is_in_the_way_is_said_and_nothing_is_made(world: ComputeWorld, name: str) -> None:
    spoil, destination, said = IN_THE_WAY[name]
    server = world.server("h1")
    spoil(world, server)
    before = everything(world)
    plan = world.tools.planner.plan(server, destination)
    assert not plan.possible
    assert said in "\n".join(plan.obstacles)
    assert plan.obstacles == tuple(str(each) for each in plan.obstacle_details)
    assert {each.code for each in plan.obstacle_details} <= CODES.keys()
    with pytest.raises(CannotMigrate) as refused:
        world.conductor(world.tools).migrate(server, [destination], MigrationOptions())
    assert refused.value.reasons == plan.obstacles
    assert said in str(refused.value)
    assert f"Server vm can't move from h1 to {destination}" in str(refused.value)
    assert everything(world) == before


def test_an_obstacle_names_its_nic(world: ComputeWorld) -> None:
    server = world.server("h1")
    without_physnet2(world, server)
    plan = world.tools.planner.plan(server, "h3")
    tagged = world.ports(server)[1]
    (obstacle,) = plan.obstacles
    assert obstacle.startswith(f"NIC {tagged.mac_address}: ")
    assert "add it to the agent's mappings" in obstacle
    assert [port.obstacle is None for port in plan.ports] == [True, False]


@pytest.mark.parametrize("host", ["h1", "h3"])
def test_an_agent_that_can_not_tell_is_named_in_a_note(world: ComputeWorld, host: str) -> None:
    """It is older than the control plane, or something holds it: a plan without its facts is better than none."""
    server = world.server("h1")
    assert len(world.tools.planner.plan(server, "h3").notes) == 1
    fault = HostFailure(f"the agent of {host} answered HTTP 404")
    world[host].agent.faults.fail("facts", fault, times=None)
    plan = world.tools.planner.plan(server, "h3")
    assert plan.possible
    in_clear, note = plan.notes
    assert "in clear" in in_clear
    assert note.startswith(f"{host} could not be asked") and "HTTP 404" in note


def test_what_an_agent_could_not_look_at_is_in_a_note(world: ComputeWorld) -> None:
    server = world.server("h1")
    world["h3"].facts = replace(world["h3"].facts, troubles=("/d could not be looked at",))
    assert "h3: /d could not be looked at" in world.tools.planner.plan(server, "h3").notes


def test_what_a_nic_loses_is_in_a_note(world: ComputeWorld) -> None:
    server = world.server("h3")
    tuned = "<model type='virtio'/><coalesce><rx><frames max='7'/></rx></coalesce>"
    change_xml(world, server, "<model type='virtio'/>", tuned)
    _, note = world.tools.planner.plan(server, "h1").notes
    flat, _ = world.ports(server)
    assert note.startswith(f"NIC {flat.mac_address} loses how it gathers interrupts (<coalesce>)")


def test_all_obstacles_are_told_at_once(world: ComputeWorld) -> None:
    server = world.server("h1")
    state(DomainState.PAUSED)(world, server)
    without_physnet2(world, server)
    held_there(world, server)
    assert len(world.tools.planner.plan(server, "h3").obstacles) == 3


def test_an_mtu_goes_along_to_macvtap(world: ComputeWorld) -> None:
    server = world.server("h3", nics=["flat"])
    change = "<model type='virtio'/>"
    domain = world["h3"].holds[server.id]
    domain.xml = domain.xml.replace(change, change + "<mtu size='9000'/>")
    plan = world.tools.planner.plan(server, "h1")
    assert plan.obstacles == ()
    assert "<mtu size='9000'/>" in plan.xml_after


def test_an_unknown_host_is_not_a_plan(world: ComputeWorld) -> None:
    server = world.server("h1")
    with pytest.raises(NotFound, match=r"h9.*h1, h2, h3, h4, h5"):
        world.tools.planner.plan(server, "h9")


def test_an_unknown_server(world: ComputeWorld) -> None:
    with pytest.raises(NotFound, match=r"no server 'ghost'.*kedge server list"):
        world.tools.servers.find("ghost")


def test_a_host_without_an_address(world: ComputeWorld) -> None:
    server = world.server("h1")
    world.network.record_host(replace(world["h3"].agent.host(), url=""))
    plan = world.tools.planner.plan(server, "h3")
    assert "has not said where it listens; is it running?" in "\n".join(plan.obstacles)


def test_the_xml_of_the_transfer_comes_from_the_stored_bindings(world: ComputeWorld) -> None:
    server = world.server("h1")
    for port in world.ports(server):
        world.network.bind(port.id, "h2", migration_id="1d4c4c9e-0f7f-4d8b-9d0c-000000000001")
    xml = world.tools.planner.destination_xml(server, "h2")
    for port in world.ports(server):
        assert f"<target dev='tap{port.id[:11]}' managed='no'/>" in xml


def test_what_was_planned_a_moment_ago_is_transferred_once(world: ComputeWorld) -> None:
    server = world.server("h1")
    planner = world.tools.planner
    planner.think(server, "h2")
    for port in world.ports(server):
        world.network.bind(port.id, "h2", migration_id="1d4c4c9e-0f7f-4d8b-9d0c-000000000001")
    asked = len(world["h1"].agent.calls)
    change_xml(world, server, "</devices>", "<console type='pty'/></devices>")
    planned = planner.destination_xml(server, "h2")
    assert len(world["h1"].agent.calls) == asked
    # Whoever orders a transfer again has seen that the first was not taken.
    assert "<console" not in planned
    assert "<console" in planner.destination_xml(server, "h2")


def test_what_was_planned_for_other_bindings_is_not_transferred(world: ComputeWorld) -> None:
    server = world.server("h1", nics=["flat"])
    world.tools.planner.think(server, "h3")
    set_backend(world, replace(world["h3"].backends[0], mappings={"physnet1": "br-other"}, hybrid_plug=True))
    (port,) = world.ports(server)
    world.network.bind(port.id, "h3", migration_id="1d4c4c9e-0f7f-4d8b-9d0c-000000000001")
    asked = len(world["h1"].agent.calls)
    assert world.tools.planner.destination_xml(server, "h3")
    assert len(world["h1"].agent.calls) > asked


def test_a_guest_visible_difference_is_refused(world: ComputeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rewriter makes none; should it ever, libvirt's rules are asked before libvirt is."""
    server = world.server("h1", nics=["flat"])
    monkeypatch.setattr(
        "kedge.compute.migrations.planner.rewrite",
        lambda xml, changes: rewrite(xml, changes).replace("'virtio'/>", "'e1000'/>", 1),
    )
    plan = world.tools.planner.plan(server, "h3")
    assert "the model is virtio and would be e1000" in "\n".join(plan.obstacles)


def test_no_xml_for_a_host_on_which_a_port_is_not_bound(world: ComputeWorld) -> None:
    server = world.server("h1", nics=["flat"])
    with pytest.raises(CannotMigrate, match="is not bound on h2 any more"):
        world.tools.planner.destination_xml(server, "h2")


def test_what_a_network_of_libvirts_gave_goes_along_or_is_an_obstacle(world: ComputeWorld) -> None:
    """Bandwidth and isolation of a portgroup are in the live XML alone."""
    server = world.server("h5", nics=("flat",))
    live = world["h5"].holds[server.id].xml
    by_name = live.replace("type='ethernet'", "type='network'")
    world["h5"].migratable[server.id] = by_name.replace("<target dev", "<source network='corp'/><target dev")

    def given(what: str) -> None:
        domain = world["h5"].holds[server.id]
        world["h5"].holds[server.id] = replace(domain, xml=live.replace("<model", f"{what}<model"))

    given("<port isolated='yes'/>")
    (obstacle,) = world.tools.planner.plan(server, "h3").obstacles
    assert "isolated" in obstacle
    given("<bandwidth><inbound average='100'/></bandwidth>")
    assert "<inbound average='100'/>" in world.tools.planner.plan(server, "h3").xml_after
    assert "<inbound average='100'/>" in migrated_xml(world, server, "h3")


def migrated_xml(world: ComputeWorld, server: Server, host: str) -> str:
    assert completed(world.move(server, host))
    return world[host].holds[server.id].xml


def test_a_console_listens_on_the_destinations_address(world: ComputeWorld) -> None:
    server = world.server("h1", nics=("flat",))
    console = "<graphics type='vnc' listen='{}'/></devices>"
    domain = world["h1"].holds[server.id]
    world["h1"].holds[server.id] = replace(
        domain, xml=domain.xml.replace("</devices>", console.format("192.0.2.99"))
    )
    (obstacle,) = world.tools.planner.plan(server, "h3").obstacles
    assert "its vnc console listens on 192.0.2.99, which the destination does not have" in obstacle
    world["h1"].graphics_address = "192.0.2.99"
    assert world.tools.planner.plan(server, "h3").possible
    assert "listen='h3.example'" in migrated_xml(world, server, "h3")


OWN, OTHER, VIRTUAL = "own", "52:54:00:0b:0b:01", "00:00:5e:00:01:0a"


@pytest.mark.parametrize(
    ("macs", "model", "destination", "possible"),
    [
        ((), "virtio", "h1", True),
        ((OWN,), "virtio", "h1", True),
        ((OWN, VIRTUAL), "virtio", "h1", False),
        ((OWN, VIRTUAL), "virtio", "h3", True),
        ((OTHER,), "virtio", "h1", True),
        ((OTHER,), "e1000", "h1", False),
        ((OTHER, VIRTUAL), "virtio", "h1", False),
    ],
)
def test_a_guest_that_sends_as_another_mac(
    world: ComputeWorld, macs: tuple[str, ...], model: str, destination: str, possible: bool
) -> None:
    server = world.server("h5", nics=("flat",))
    (port,) = world.ports(server)
    domain = world["h5"].holds[server.id]
    world["h5"].holds[server.id] = replace(domain, xml=domain.xml.replace("type='virtio'", f"type='{model}'"))
    world["h5"].macs[port.id] = tuple(port.mac_address if mac == OWN else mac for mac in macs)
    obstacles = world.tools.planner.plan(server, destination).obstacles
    assert (obstacles == ()) is possible
    for obstacle in obstacles:
        assert f"NIC {port.mac_address}: the guest was heard to send as " in obstacle
        assert macs[-1] in obstacle


def test_a_plan_shows_no_secret_and_the_transfer_keeps_it(world: ComputeWorld) -> None:
    server = world.server("h1")
    domain = world["h1"].holds[server.id]
    console = "<graphics type='vnc' port='-1' passwd='hunter2'/></devices>"
    world["h1"].holds[server.id] = replace(domain, xml=domain.xml.replace("</devices>", console))
    plan = world.tools.planner.plan(server, "h3")
    assert plan.possible, plan.obstacles
    assert "hunter2" not in repr(plan)
    assert "passwd='(not shown)'" in plan.xml_before
    assert "passwd='(not shown)'" in plan.xml_after
    assert "passwd='hunter2'" in migrated_xml(world, server, "h3")


def test_a_servers_record_keeps_no_secret(world: ComputeWorld) -> None:
    server = Server("77777777-0000-4000-8000-000000000000", "vm7", "h1", "ACTIVE")
    world.tools.servers.add(
        server, "<domain><devices><graphics type='vnc' passwd='hunter2'/></devices></domain>"
    )
    with world.engine.connect() as connection:
        (stored,) = connection.execute(text("SELECT xml FROM servers WHERE name = 'vm7'")).one()
    assert "hunter2" not in stored


def test_every_plan_says_that_guest_memory_is_in_clear(world: ComputeWorld) -> None:
    server = world.server("h1")
    for host in ("h2", "h3", "h4", "h5"):
        assert "the guest's memory crosses the network" in world.tools.planner.plan(server, host).notes[0]
