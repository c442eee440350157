"""Making and deleting servers: whole, or not at all."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from kedge.compute.servers import NicRequest, ServerRequest
from kedge.core.domain_xml import attachments
from kedge.model.domain import DomainState
from kedge.model.errors import BadRequest, Conflict, HostFailure, KedgeError, NotFound, Unreachable
from kedge.model.network import BindingStatus, PortStatus
from kedge.model.server import Server
from kedge.testing.simulated.fabric import FIVE_HOSTS
from kedge.wire.messages import MOST_VIFS

from .compute_world import ComputeWorld

REQUEST = ServerRequest(
    "vm", "h3", (NicRequest(network="flat"), NicRequest(network="tagged")), kernel="/boot/vmlinuz"
)
UUID = "5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0001"
MAC = "52:54:00:12:34:56"
XML = f"""<domain type='kvm'>
  <name>vm</name>
  <uuid>{UUID}</uuid>
  <devices>
    <interface type='bridge'>
      <mac address='{MAC}'/>
      <source bridge='virbr0'/>
      <model type='virtio'/>
      <driver queues='4'/>
    </interface>
  </devices>
</domain>
"""


def nothing_was_made(world: ComputeWorld) -> None:
    assert world.servers._records.all() == []
    assert all(world.network.ports_of(each) == [] for each in (UUID, ""))
    for host in world.fabric.hosts.values():
        assert (host.holds, host.plugged) == ({}, {})
    assert [vif for host in FIVE_HOSTS for vif in world.network.duties(host).vifs] == []


@pytest.mark.parametrize("host", FIVE_HOSTS)
def test_a_server_on_every_backend(world: ComputeWorld, host: str) -> None:
    world.fabric.reporting = True
    server = world.servers.create(replace(REQUEST, host=host))
    assert (server.name, server.host, server.status) == ("vm", host, "ACTIVE")
    assert [port.device_id for port in world.ports(server)] == [server.id] * 2
    assert {port.status for port in world.ports(server)} == {PortStatus.ACTIVE}
    world.check(server, host)


def test_from_an_xml(world: ComputeWorld) -> None:
    nics = (NicRequest(network="flat", mac_address=MAC),)
    server = world.servers.create(ServerRequest("vm", "h3", nics, xml=XML))
    assert server.id == UUID
    (port,) = world.ports(server)
    (nic,) = attachments(world["h3"].holds[UUID].xml)
    assert (nic.kind, nic.target_dev, nic.queues) == ("ethernet", f"tap{port.id[:11]}", 4)
    assert world["h3"].agent.queues == {port.id: 4}
    world.check(server, "h3")


def test_an_xmls_uuid_is_written_as_libvirt_does(world: ComputeWorld) -> None:
    nics = (NicRequest(network="flat", mac_address=MAC),)
    xml = XML.replace(UUID, f" {UUID.upper()} ")
    assert world.servers.create(ServerRequest("vm", "h3", nics, xml=xml)).id == UUID


def test_with_a_port_that_is_there(world: ComputeWorld) -> None:
    port = world.network.create_port(world.networks()["flat"].id, device_id="", mac_address=MAC)
    server = world.servers.create(replace(REQUEST, nics=(NicRequest(port=port.id),)))
    assert [each.id for each in world.ports(server)] == [port.id]
    world.check(server, "h3")


def test_a_network_is_named_by_id_or_name(world: ComputeWorld) -> None:
    network = world.networks()["flat"]
    server = world.servers.create(replace(REQUEST, nics=(NicRequest(network=network.id),)))
    assert world.ports(server)[0].network_id == network.id


# Bad input.


def ambiguous(world: ComputeWorld) -> ServerRequest:
    (flat,) = [network for network in world.network.networks() if network.name == "flat"]
    world.network.create_network("flat", replace(flat.segment, physical_network="physnet2"))
    return REQUEST


def taken_port(world: ComputeWorld) -> ServerRequest:
    port = world.network.create_port(world.networks()["flat"].id, device_id="somebody")
    return replace(REQUEST, nics=(NicRequest(port=port.id),))


BAD: dict[str, tuple[ServerRequest | Callable[[ComputeWorld], ServerRequest], type[KedgeError], str]] = {
    "no NIC": (replace(REQUEST, nics=()), BadRequest, "needs a NIC; name a network or a port"),
    "a NIC of nothing": (replace(REQUEST, nics=(NicRequest(),)), BadRequest, "needs a network or a port"),
    "no such network": (
        replace(REQUEST, nics=(NicRequest(network="flat"), NicRequest(network="blue"))),
        NotFound,
        r"no network 'blue'. Known networks: flat, tagged",
    ),
    "no such port": (replace(REQUEST, nics=(NicRequest(port=UUID),)), NotFound, UUID),
    "no such host": (replace(REQUEST, host="h9"), NotFound, "h9.*h1, h2"),
    "nothing to boot": (replace(REQUEST, kernel=None), BadRequest, "nothing to boot"),
    "two networks of the name": (ambiguous, BadRequest, "Several networks are named 'flat'; use an id"),
    "another's port": (taken_port, Conflict, "is a NIC of somebody already"),
    "an XML without UUID": (
        ServerRequest("vm", "h3", REQUEST.nics, xml=XML.replace(UUID, "")),
        BadRequest,
        "needs a <uuid>",
    ),
    "an XML with a DTD": (
        ServerRequest("vm", "h3", REQUEST.nics, xml="<!DOCTYPE domain>" + XML),
        BadRequest,
        "DOCTYPE",
    ),
    "an XML with other NICs": (
        ServerRequest("vm", "h3", (NicRequest(network="flat"),), xml=XML),
        KedgeError,
        f"interface {MAC} .* has no port",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_makes_nothing(world: ComputeWorld, name: str) -> None:
    made, error, said = BAD[name]
    request = made if isinstance(made, ServerRequest) else made(world)
    with pytest.raises(error, match=said):
        world.servers.create(request)
    nothing_was_made(world)


def test_a_name_is_taken_once(world: ComputeWorld) -> None:
    server = world.servers.create(REQUEST)
    with pytest.raises(Conflict, match="'vm'"):
        world.servers.create(REQUEST)
    world.check(server, "h3")
    assert len(world["h3"].holds) == 1


@pytest.mark.parametrize("state", [DomainState.RUNNING, DomainState.SHUTOFF])
def test_a_domain_that_is_there_is_neither_taken_nor_lost(world: ComputeWorld, state: DomainState) -> None:
    world["h3"].place(XML, state)
    nics = (NicRequest(network="flat", mac_address=MAC),)
    with pytest.raises(Conflict, match=rf"h3 holds a domain vm \({state}\) .* adopt it"):
        world.servers.create(ServerRequest("other", "h3", nics, xml=XML))
    assert world["h3"].holds.pop(UUID).state is state
    nothing_was_made(world)


# What was made before a step that fails is unmade.

STEPS = [("h3", "domains"), ("h3", "plug"), ("h3", "create_domain")]


@pytest.mark.parametrize(("host", "call"), STEPS)
@pytest.mark.parametrize("after", [False, True], ids=["refused", "answer lost"])
def test_a_step_fails_on_the_host(world: ComputeWorld, host: str, call: str, after: bool) -> None:
    error = Unreachable("the answer got lost") if after else HostFailure("libvirt refused")
    world[host].agent.faults.fail(call, error, after=after)
    with pytest.raises(type(error), match=str(error)):
        world.servers.create(REQUEST)
    nothing_was_made(world)


@pytest.mark.parametrize("skip", [0, 1], ids=["first", "second"])
def test_one_vif_can_not_be_plugged(world: ComputeWorld, skip: int) -> None:
    world["h3"].agent.faults.fail("plug one", HostFailure("no room"), skip=skip)
    with pytest.raises(HostFailure, match=r"^1 of 2 VIFs failed: port .*: no room$"):
        world.servers.create(REQUEST)
    nothing_was_made(world)


@pytest.mark.parametrize("mtu", [1450])
def test_the_second_nic_can_not_be_bound(world: ComputeWorld, mtu: int) -> None:
    (backend,) = world["h3"].backends
    world["h3"].backends = (replace(backend, mtus={"physnet2": mtu}),)
    world["h3"].agent.report()
    with pytest.raises(KedgeError, match="has MTU 1450"):
        world.servers.create(REQUEST)
    nothing_was_made(world)


def test_a_port_that_was_lent_is_free_again(world: ComputeWorld) -> None:
    port = world.network.create_port(world.networks()["flat"].id, device_id="", mac_address=MAC)
    world["h3"].agent.faults.fail("create_domain", HostFailure("no"))
    with pytest.raises(HostFailure):
        world.servers.create(replace(REQUEST, nics=(NicRequest(port=port.id),)))
    assert world.network.port(port.id).device_id == ""
    assert world.network.bindings(port.id) == []


def test_it_works_at_the_second_try(world: ComputeWorld) -> None:
    world["h3"].agent.faults.fail("create_domain", HostFailure("no"))
    with pytest.raises(HostFailure):
        world.servers.create(REQUEST)
    world.check(world.servers.create(REQUEST), "h3")


# Deleting.


@pytest.mark.parametrize("host", FIVE_HOSTS)
def test_delete_leaves_nothing(world: ComputeWorld, host: str) -> None:
    server = world.server(host)
    world.servers.delete("vm")
    assert world.ports(server) == []
    nothing_was_made(world)
    assert world.fabric.violations == []


def test_a_server_is_deleted_with_more_ports_than_one_order_unplugs(world: ComputeWorld) -> None:
    server, network = world.server("h3"), world.networks()["flat"]
    for _ in range(MOST_VIFS):
        world.network.create_port(network.id, device_id=server.id, fixed_ips=())
    world.servers.delete("vm")
    assert world["h3"].agent.calls.count("unplug") == 2
    nothing_was_made(world)


def test_a_server_has_only_so_many_nics(world: ComputeWorld) -> None:
    with pytest.raises(BadRequest, match=f"has {MOST_VIFS + 1} NICs; at most {MOST_VIFS}"):
        world.servers.create(replace(REQUEST, nics=(NicRequest(network="flat"),) * (MOST_VIFS + 1)))
    nothing_was_made(world)


def test_delete_of_what_is_not_there(world: ComputeWorld) -> None:
    with pytest.raises(NotFound, match="no server 'ghost'"):
        world.servers.delete("ghost")


def test_a_server_that_migrates_is_not_deleted(world: ComputeWorld) -> None:
    server = world.server("h1")
    migration = world.begin(server, "h3")
    with pytest.raises(Conflict, match=migration.id):
        world.servers.delete(server.id)
    world.drive(migration)
    world.check(server, "h3")


@pytest.mark.parametrize("call", ["delete_domain", "unplug"])
@pytest.mark.parametrize("after", [False, True], ids=["order", "answer"])
def test_a_delete_that_broke_off_can_be_repeated(world: ComputeWorld, call: str, after: bool) -> None:
    server: Server = world.server("h3")
    world["h3"].agent.faults.fail(call, Unreachable("no route to host"), after=after)
    with pytest.raises(Unreachable):
        world.servers.delete(server.id)
    assert world.tools.servers.find(server.id) == server
    world.servers.delete(server.id)
    nothing_was_made(world)


def test_a_server_that_moved_is_deleted_where_it_is(world: ComputeWorld) -> None:
    server = world.server("h1")
    world.move(server, "h4")
    assert {each.status for port in world.ports(server) for each in world.network.bindings(port.id)} == {
        BindingStatus.ACTIVE
    }
    world.servers.delete(server.id)
    nothing_was_made(world)
