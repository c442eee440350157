"""Each kind of thing that goes wrong, planted in the database or on the hosts: it is found, said, and repaired.

A repair leaves the VM as it is, makes nothing worse when it is asked for again, and leaves nothing to find.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

import pytest

from kedge.core.domain_xml import attachments
from kedge.model.domain import DomainState
from kedge.model.host import HostBackend
from kedge.model.network import Vif, VifType
from kedge.model.server import Server
from kedge.store import transaction
from kedge.store.tables import EventRow

from .doctor_world import UNKNOWN, DoctorWorld

Plant = Callable[[DoctorWorld, Server], None]


@dataclass(frozen=True)
class Case:
    """Something that goes wrong with a server that runs on `host`.

    Attributes:
        kind: what is found.
        on: the host that the finding names.
        says: what stands in its words.
        others: kinds that come with it.
    """

    kind: str
    plant: Plant
    on: str
    says: str
    host: str = "h1"
    others: frozenset[str] = frozenset()


# What can be put right.


def recorded_elsewhere(world: DoctorWorld, server: Server) -> None:
    world.sql("UPDATE servers SET host = 'h2'")


def moved_and_forgotten(world: DoctorWorld, server: Server) -> None:
    """The VM arrived on h3 and whoever was to settle that went away: record, bindings and VIFs are on h1."""
    old = UNKNOWN
    world.bind_everywhere(server, "h1", old)
    world.network.switch(server.id, "h1")
    world.sql("UPDATE servers SET host = 'h1'")


def stuck_migrating(world: DoctorWorld, server: Server) -> None:
    world.sql("UPDATE servers SET status = 'MIGRATING'")


def said_to_be_off(world: DoctorWorld, server: Server) -> None:
    world.sql("UPDATE servers SET status = 'SHUTOFF'")


def said_to_be_being_made(world: DoctorWorld, server: Server) -> None:
    world.sql("UPDATE servers SET status = 'BUILD', updated_at = '2020-01-01 00:00:00'")


def no_binding(world: DoctorWorld, server: Server) -> None:
    world.sql("DELETE FROM bindings")


def no_active_binding(world: DoctorWorld, server: Server) -> None:
    world.sql("UPDATE bindings SET status = 'INACTIVE'")


def bound_elsewhere(world: DoctorWorld, server: Server) -> None:
    """A rollback after the switch never came to its end."""
    world.bind_everywhere(server, "h3", UNKNOWN)
    world.network.switch(server.id, "h3")


def bound_to_a_host_that_never_reported(world: DoctorWorld, server: Server) -> None:
    world.sql("UPDATE bindings SET host = 'h99'")


def binding_failed(world: DoctorWorld, server: Server) -> None:
    world.sql("UPDATE bindings SET vif_type = 'binding_failed', vif_details = '{}'")


def left_by_an_unknown_migration(world: DoctorWorld, server: Server) -> None:
    world.bind_everywhere(server, "h4", UNKNOWN)


def left_by_an_ended_migration(world: DoctorWorld, server: Server) -> None:
    ended = world.move(server, "h2")
    world.move(world.tools.servers.find(server.id), "h1")
    world.bind_everywhere(server, "h2", ended.id)


def left_by_nobody(world: DoctorWorld, server: Server) -> None:
    world.bind_everywhere(server, "h5", None)


def left_on_a_host_that_never_reported(world: DoctorWorld, server: Server) -> None:
    world.bind_everywhere(server, "h5", None)
    world["h5"].plugged.clear()
    world.sql("UPDATE bindings SET host = 'h99' WHERE host = 'h5'")


def unexplained_vif(world: DoctorWorld, server: Server) -> None:
    segment = world.networks()["flat"].segment
    details = {"bridge_name": "br-int", "ovs_hybrid_plug": False}
    world["h3"].plug(Vif(str(uuid4()), UNKNOWN, "fa:16:3e:00:00:99", segment, VifType.OVS, details))


def vif_gone(world: DoctorWorld, server: Server) -> None:
    """Somebody ran `ovs-vsctl del-port`."""
    world["h3"].plugged.clear()


def half_made(world: DoctorWorld, server: Server) -> None:
    world.bind_everywhere(server, "h2", UNKNOWN)
    world.domain_on("h2", server, "h1", DomainState.INCOMING)


def half_made_and_unbound(world: DoctorWorld, server: Server) -> None:
    world.domain_on("h2", server, "h1", DomainState.INCOMING)
    no_binding(world, server)


def old_definition(world: DoctorWorld, server: Server) -> None:
    world.domain_on("h2", server, "h1", DomainState.SHUTOFF)


def past_that_is_still_paused(world: DoctorWorld, server: Server) -> None:
    world.domain_on("h2", server, "h1", DomainState.SWITCHOVER)


UNBOUND_TOO = frozenset({"binding-of-no-migration", "binding-of-ended-migration"})

REPAIRABLE = {
    each.plant.__name__: each
    for each in [
        Case("server-elsewhere", recorded_elsewhere, "h2", "its domain is on h1 (running)"),
        Case(
            "server-elsewhere",
            moved_and_forgotten,
            "h1",
            "belong to h3",
            host="h3",
            others=frozenset({"bound-elsewhere"}) | UNBOUND_TOO,
        ),
        Case("stuck-migrating", stuck_migrating, "h1", "no migration of it is under way"),
        Case("status-differs", said_to_be_off, "h1", "recorded as SHUTOFF"),
        Case("stuck-building", said_to_be_being_made, "h1", "can be recorded as ACTIVE"),
        Case("no-active-binding", no_binding, "h3", "no ACTIVE binding", "h3", frozenset({"vif-not-wired"})),
        Case("no-active-binding", no_active_binding, "h4", "no ACTIVE binding", host="h4"),
        Case("bound-elsewhere", bound_elsewhere, "h3", "the VM runs on h1", others=UNBOUND_TOO),
        Case(
            "binding-on-unknown-host",
            bound_to_a_host_that_never_reported,
            "h99",
            "never reported",
            others=UNBOUND_TOO,
        ),
        Case("binding-failed", binding_failed, "h5", "binding_failed", host="h5"),
        Case("binding-of-ended-migration", left_by_an_unknown_migration, "h4", "which nobody knows"),
        Case("binding-of-ended-migration", left_by_an_ended_migration, "h2", "which has ended"),
        Case("binding-of-no-migration", left_by_nobody, "h5", "belongs to no migration"),
        Case("binding-on-unknown-host", left_on_a_host_that_never_reported, "h99", "never reported"),
        Case("vif-unexplained", unexplained_vif, "h3", "explained by no binding"),
        Case("vif-not-wired", vif_gone, "h3", "can be plugged again", host="h3"),
        Case("half-made-domain", half_made, "h2", "The VM runs on h1", others=UNBOUND_TOO),
        Case(
            "half-made-domain",
            half_made_and_unbound,
            "h2",
            "The VM runs on h1",
            others=frozenset({"no-active-binding"}),
        ),
        Case("leftover-definition", old_definition, "h2", "which runs on h1"),
        Case("left-paused", past_that_is_still_paused, "h2", "The VM has left for h1"),
    ]
}


@pytest.mark.parametrize("name", REPAIRABLE)
def test_repaired_with_the_vm_untouched(world: DoctorWorld, name: str) -> None:
    case = REPAIRABLE[name]
    server = world.server(case.host)
    case.plant(world, server)
    before = world.snapshot(server, case.host)
    found = world.findings()
    of_kind = [each for each in found if each["kind"] == case.kind and each["host"] == case.on]
    assert of_kind, found
    assert all(case.says in each["words"] and each["repair"] for each in of_kind)
    assert {each["kind"] for each in found} <= {case.kind} | case.others
    assert world.findings() == found, "a look changes nothing"
    world.check_untouched(server, before)

    answer = world.repair()
    assert answer["left"] == []
    assert [each["error"] for each in answer["done"]] == [None] * len(answer["done"])
    world.check_untouched(server, before)
    world.check(server, case.host)
    assert world.findings() == []
    assert world.repair() == {"done": [], "left": []}
    world.check_untouched(server, before)


def test_a_vm_that_a_dead_migration_left_paused_runs_on(world: DoctorWorld) -> None:
    server = world.server("h1")
    world["h1"].holds[server.id].state = DomainState.SWITCHOVER
    (finding,) = world.findings()
    assert (finding["kind"], finding["severity"]) == ("left-paused", "critical")
    assert world.repair()["left"] == []
    world.check(server, "h1")


def test_a_vm_left_paused_beside_its_half_made_copy_runs_on(world: DoctorWorld) -> None:
    server = world.server("h1")
    half_made(world, server)
    world["h1"].holds[server.id].state = DomainState.SWITCHOVER
    assert world.repair()["left"] == []
    world.check(server, "h1")


def test_a_paused_vm_stays_so_while_a_host_does_not_answer(world: DoctorWorld) -> None:
    server = world.server("h1")
    world["h1"].holds[server.id].state = DomainState.SWITCHOVER
    world["h5"].agent.reachable = False
    answer = world.repair()
    assert answer["done"] == []
    assert {each["kind"] for each in answer["left"]} == {"left-paused", "agent-silent"}
    assert world["h1"].holds[server.id].state is DomainState.SWITCHOVER


def test_a_migration_that_nobody_drives_is_driven(world: DoctorWorld) -> None:
    server = world.server("h1")
    migration = world.begin(server, "h3")
    (finding,) = world.findings()
    assert (finding["kind"], finding["subject"]) == ("undriven-migration", f"migration {migration.id}")
    assert world.repair()["left"] == []
    world.check(server, "h3")


@pytest.mark.parametrize(
    ("state", "status"),
    [(DomainState.SHUTOFF, "SHUTOFF"), (DomainState.PAUSED, "PAUSED"), (DomainState.CRASHED, "ERROR")],
)
def test_a_stopped_vm_is_recorded_as_that_and_not_started(
    world: DoctorWorld, state: DomainState, status: str
) -> None:
    server = world.server("h1")
    world["h1"].holds[server.id].state = state
    (finding,) = world.findings()
    assert finding["kind"] == "status-differs"
    assert f"recorded as ACTIVE, and its domain on h1 is {state}" in finding["words"]
    assert world.repair()["left"] == []
    assert world.tools.servers.find(server.id).status == status
    assert world["h1"].holds[server.id].state is state


def test_a_server_that_arrived_and_was_shut_down(world: DoctorWorld) -> None:
    server = world.server("h3")
    moved_and_forgotten(world, server)
    world["h3"].holds[server.id].state = DomainState.SHUTOFF
    assert "server-elsewhere" in world.kinds()
    assert world.repair()["left"] == []
    record = world.tools.servers.find(server.id)
    assert (record.host, record.status) == ("h3", "SHUTOFF")
    assert world["h3"].holds[server.id].state is DomainState.SHUTOFF


def test_a_port_of_an_unknown_server_is_freed(world: DoctorWorld) -> None:
    server = world.server("h3")
    world.pass_time(1)
    del world["h3"].holds[server.id]
    world.sql("DELETE FROM servers")
    assert world.findings() == [], "it may be about to be made"
    world.pass_time(1)  # Their devices are gone, which is news.
    world.pass_time(11 * 60)
    world.sql("UPDATE events SET sent_at = at")
    assert world.kinds() == {"port-of-unknown-server"}
    assert world.repair()["left"] == []
    assert world["h3"].plugged == {}
    free = world.ports(replace(server, id=""))
    assert len(free) == 2
    assert all(world.network.bindings(port.id) == [] for port in free)


def test_a_host_that_was_renamed_keeps_its_server(world: DoctorWorld) -> None:
    """Its agent reports under its new name; record and bindings are of the old one, which is dead."""
    server = world.server("h5")
    before = world.snapshot(server, "h5")
    renamed(world, server)
    world.sql("UPDATE bindings SET host = 'h5-old'")
    world.sql("UPDATE servers SET host = 'h5-old'")
    left = {each["kind"] for each in world.repair()["left"]}
    assert left == {"host-renamed", "agent-dead"}
    world.check_untouched(server, before)
    world.check(server, "h5")


def test_what_a_dead_host_had_is_settled_without_it(world: DoctorWorld) -> None:
    server = world.server("h3")
    moved_and_forgotten(world, server)
    before = world.snapshot(server, "h3")
    world["h1"].agent.reachable = False
    world.pass_time(60)
    assert {each["kind"] for each in world.repair()["left"]} == {"agent-dead"}
    world.check_untouched(server, before)
    world.check(server, "h3", unreachable=["h1"])
    world["h1"].agent.reachable = True
    world.pass_time(1)
    world.check(server, "h3")
    assert world.findings() == []


# What is for a person to decide.


def twice(world: DoctorWorld, server: Server) -> None:
    world.domain_on("h2", server, "h1", DomainState.RUNNING)


def nowhere(world: DoctorWorld, server: Server) -> None:
    del world["h1"].holds[server.id]


def unknown_while_silent(world: DoctorWorld, server: Server) -> None:
    world["h1"].agent.reachable = False


def dead(world: DoctorWorld, server: Server) -> None:
    world["h5"].agent.reachable = False
    world.pass_time(60)


def skewed(world: DoctorWorld, server: Server) -> None:
    world["h4"].clock_skew_ns = 180 * 10**9


def renamed(world: DoctorWorld, server: Server) -> None:
    world.sql(
        "INSERT INTO hosts (name, url, libvirt_uri, migrate_uri, libvirt_version, running, created_at, last_seen)"
        " SELECT 'h5-old', url, libvirt_uri, migrate_uri, libvirt_version, '[]', created_at, '2020-01-01 00:00:00'"
        " FROM hosts WHERE name = 'h5'"
    )


def older_libvirt(world: DoctorWorld, server: Server) -> None:
    world.sql("UPDATE hosts SET libvirt_version = 7000000 WHERE name = 'h2'")


def mapping_changed(world: DoctorWorld, server: Server) -> None:
    world["h1"].backends = (HostBackend("macvtap", {"physnet1": "eth7", "physnet2": "eth2"}),)
    world["h1"].agent.report()


def mapping_removed(world: DoctorWorld, server: Server) -> None:
    world["h1"].backends = (HostBackend("macvtap", {"physnet1": "eth1"}),)
    world["h1"].agent.report()


def another_backend(world: DoctorWorld, server: Server) -> None:
    world["h1"].backends = (HostBackend("openvswitch", {"physnet1": "br-1", "physnet2": "br-2"}),)
    world["h1"].agent.report()


def nic_without_port(world: DoctorWorld, server: Server) -> None:
    world.network.delete_port(world.ports(server)[0].id)


def port_without_nic(world: DoctorWorld, server: Server) -> None:
    port = world.network.create_port(world.networks()["flat"].id, device_id=server.id)
    world.network.bind(port.id, "h1")


def another_mac(world: DoctorWorld, server: Server) -> None:
    world.sql(
        "UPDATE ports SET mac_address = 'fa:16:3e:12:34:56' WHERE number = (SELECT min(number) FROM ports)"
    )


def events_unsent(world: DoctorWorld, server: Server) -> None:
    with transaction(world.engine) as session:
        at = world.now - timedelta(minutes=10)
        session.add(EventRow(name="network-vif-plugged", server_id=server.id, at=at))
    world.sql("DELETE FROM events WHERE number < (SELECT max(number) FROM events)")


def moved_with_virsh(world: DoctorWorld, server: Server) -> None:
    world["h1"].jobs.add(server.id)
    world.domain_on("h2", server, "h1", DomainState.INCOMING)


BY_HAND = {
    each.plant.__name__: each
    for each in [
        Case("runs-twice", twice, "h1, h2", "at the same time"),
        Case("domain-nowhere", nowhere, "h1", "no host has a domain of it"),
        Case(
            "whereabouts-unknown", unknown_while_silent, "h1", "not known", others=frozenset({"agent-silent"})
        ),
        Case(
            "agent-silent",
            unknown_while_silent,
            "h1",
            "does not answer",
            others=frozenset({"whereabouts-unknown"}),
        ),
        Case("agent-dead", dead, "h5", "not reported lately"),
        Case("clock-differs", skewed, "h4", "180.0 s ahead"),
        Case("host-renamed", renamed, "h5-old", "renamed to h5", others=frozenset({"agent-dead"})),
        Case("libvirt-differs", older_libvirt, "h2", "7.0.0"),
        Case("binding-outdated", mapping_changed, "h1", "'eth1', and now it would be 'eth7'"),
        Case("binding-outdated", another_backend, "h1", "no macvtap backend any more"),
        Case("network-unmapped", mapping_removed, "h1", "physnet2, which the agent of h1 does not map"),
        Case("nic-without-port", nic_without_port, "h1", "Make a port"),
        Case("port-without-nic", port_without_nic, "h1", "has no NIC"),
        Case("mac-differs", another_mac, "h1", "The port's MAC is fa:16:3e:12:34:56"),
        Case("events-unsent", events_unsent, "", "Nova has not taken 1 of them"),
        Case("moved-by-others", moved_with_virsh, "h1", "Kedge was not asked to"),
    ]
}


@pytest.mark.parametrize("name", BY_HAND)
def test_said_and_left_to_a_person(world: DoctorWorld, name: str) -> None:
    case = BY_HAND[name]
    server = world.server(case.host)
    case.plant(world, server)
    found = world.findings()
    of_kind = [each for each in found if each["kind"] == case.kind and each["host"] == case.on]
    assert of_kind, found
    assert all(case.says in each["words"] and each["repair"] is None for each in of_kind), of_kind
    assert {each["kind"] for each in found} <= {case.kind} | case.others
    held = {host.name: dict(host.holds) for host in world.fabric.hosts.values()}
    assert world.repair()["done"] == []
    assert world.findings() == found
    assert {host.name: dict(host.holds) for host in world.fabric.hosts.values()} == held
    assert world.fabric.violations == []


def test_an_adopted_server_is_as_it_was_found(world: DoctorWorld) -> None:
    server = world.server("h5")
    xml = world["h5"].holds[server.id].xml
    assert attachments(xml)
    world.sql('UPDATE bindings SET vif_details = \'{"port_filter": false, "bridge_name": "br0"}\'')
    assert "binding-outdated" not in world.kinds()
