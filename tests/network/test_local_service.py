"""The network service: how bindings are made, switched and removed, and what follows from agents' reports."""

import threading
from dataclasses import replace

import pytest
from sqlalchemy import select

from kedge.model.domain import VifState
from kedge.model.errors import BadRequest, CannotBind, Conflict, KedgeError, NotFound
from kedge.model.host import HostBackend
from kedge.model.network import Binding, BindingStatus, NetworkType, Port, PortStatus, Segment, VifType
from kedge.network.local import LocalNetworkService, bindings, ports
from kedge.network.service import NetworkService
from kedge.store import transaction
from kedge.store.tables import BindingRow

from .network_world import World, report_of

ACTIVE, INACTIVE = BindingStatus.ACTIVE, BindingStatus.INACTIVE
SERVER = "5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0001"


@pytest.fixture
def service(world: World) -> LocalNetworkService:
    return world.service


@pytest.fixture
def port(world: World) -> Port:
    """A port of SERVER, bound to h1."""
    port = world.service.create_port(world.network().id, device_id=SERVER)
    world.service.bind(port.id, "h1")
    return port


def where(service: LocalNetworkService, port_id: str) -> dict[str, BindingStatus]:
    return {each.host: each.status for each in service.bindings(port_id)}


def spoil(world: World, port_id: str, host: str, vif_type: VifType) -> None:
    """Take away how a binding is attached, as a Neutron database that was taken over may have it."""
    with transaction(world.engine) as session:
        row = session.get_one(BindingRow, (port_id, host))
        row.vif_type, row.vif_details = vif_type, {}


def test_it_is_a_network_service(service: LocalNetworkService) -> None:
    as_protocol: NetworkService = service
    assert as_protocol is service


def test_the_first_binding_is_active_the_next_is_not(service: LocalNetworkService, port: Port) -> None:
    ahead = service.bind(port.id, "h3", migration_id="m1")
    assert (ahead.status, ahead.vif_type, ahead.migration_id) == (INACTIVE, VifType.OVS, "m1")
    assert ahead.vif_details["bridge_name"] == "br-int"
    first, second = service.bindings(port.id)
    assert (first.host, first.status, first.vif_type, first.migration_id) == (
        "h1",
        ACTIVE,
        VifType.MACVTAP,
        None,
    )
    assert first.vif_details["macvtap_source"] == "eth1.100"
    assert second == ahead


def test_a_preview_is_what_bind_would_make_and_stores_nothing(
    service: LocalNetworkService, port: Port
) -> None:
    previews = {host: service.preview(port.id, host) for host in ("h2", "h3", "h4", "h5")}
    assert where(service, port.id) == {"h1": ACTIVE}
    for host, preview in previews.items():
        assert service.bind(port.id, host, migration_id="m1") == replace(preview, migration_id="m1")
    assert service.preview(port.id, "h1").status == ACTIVE


def test_a_host_that_cannot_bind_says_why_and_leaves_nothing(
    world: World, service: LocalNetworkService, port: Port
) -> None:
    world.pass_time(16)
    for host in ("h1", "h6"):
        world.report(host)
    for host, reason in {"h6": "mapped: physnet2", "h3": "dead", "nohost": "No agent has reported"}.items():
        for attempt in (service.bind, service.preview):
            with pytest.raises(CannotBind, match=reason) as caught:
                attempt(port.id, host)
            assert len(caught.value.reasons) == 1
    assert where(service, port.id) == {"h1": ACTIVE}


def test_a_binding_is_not_made_twice(service: LocalNetworkService, port: Port) -> None:
    service.bind(port.id, "h2")
    for host, migration_id in (("h1", None), ("h1", "m1"), ("h2", None)):
        with pytest.raises(Conflict, match="already exists"):
            service.bind(port.id, host, migration_id=migration_id)


def test_a_left_over_binding_is_adopted_and_made_anew(
    world: World, service: LocalNetworkService, port: Port
) -> None:
    service.bind(port.id, "h2", migration_id="dead")
    moved = HostBackend("macvtap", {"physnet1": "ens6"})
    service.record_host(replace(report_of("h2"), backends=(moved,)))
    adopted = service.bind(port.id, "h2", migration_id="m2")
    assert adopted.migration_id == "m2"
    assert adopted.vif_details["physical_interface"] == "ens6"
    assert service.bind(port.id, "h2", migration_id="m2") == adopted
    assert where(service, port.id) == {"h1": ACTIVE, "h2": INACTIVE}


def test_switching_takes_all_ports_of_a_server(
    world: World, service: LocalNetworkService, port: Port
) -> None:
    other = service.create_port(world.network(None).id, device_id=SERVER)
    stranger = service.create_port(port.network_id, device_id="another")
    for each in (other, stranger):
        service.bind(each.id, "h1")
    for each in (port, other):
        service.bind(each.id, "h5", migration_id="m1")
    switched = service.switch(SERVER, "h5")
    assert [each.port_id for each in switched] == [port.id, other.id]
    assert {(each.host, each.status, each.vif_type) for each in switched} == {("h5", ACTIVE, VifType.BRIDGE)}
    for each in (port, other):
        assert where(service, each.id) == {"h5": ACTIVE, "h1": INACTIVE}
    assert where(service, stranger.id) == {"h1": ACTIVE}


def test_switching_is_all_or_nothing(world: World, service: LocalNetworkService, port: Port) -> None:
    other = service.create_port(world.network(None).id, device_id=SERVER)
    service.bind(other.id, "h1")
    service.bind(port.id, "h3", migration_id="m1")
    with pytest.raises(NotFound, match=f"port {other.id} for host h3"):
        service.switch(SERVER, "h3")
    assert where(service, port.id) == {"h1": ACTIVE, "h3": INACTIVE}
    service.bind(other.id, "h3", migration_id="m1")
    spoil(world, other.id, "h3", VifType.UNBOUND)
    world.pass_time(60)
    with pytest.raises(CannotBind, match="dead"):
        service.switch(SERVER, "h3")
    assert where(service, port.id) == {"h1": ACTIVE, "h3": INACTIVE}


def test_binding_ahead_is_all_or_nothing(service: LocalNetworkService, port: Port) -> None:
    elsewhere = service.create_network("elsewhere", Segment(NetworkType.FLAT, "physnet2"))
    other = service.create_port(elsewhere.id, device_id=SERVER)
    with pytest.raises(CannotBind, match="'physnet2' is not mapped"):
        service.bind_ahead(SERVER, "h3", "m1")
    assert where(service, port.id) == {"h1": ACTIVE}
    service.delete_port(other.id)
    (made,) = service.bind_ahead(SERVER, "h3", "m1")
    assert (made.port_id, made.status, made.migration_id) == (port.id, INACTIVE, "m1")


def test_switching_twice_changes_nothing_more(world: World, service: LocalNetworkService, port: Port) -> None:
    service.bind(port.id, "h2", migration_id="m1")
    first = service.switch(SERVER, "h2")
    revision = revision_of(world, port.id)
    world.pass_time(1)
    assert service.switch(SERVER, "h2") == first
    assert revision_of(world, port.id) == revision


def test_rolling_back_gives_the_source_its_full_binding(
    world: World, service: LocalNetworkService, port: Port
) -> None:
    before = service.bindings(port.id)
    service.bind(port.id, "h4", migration_id="m1")
    service.switch(SERVER, "h4")
    kept = next(each for each in service.bindings(port.id) if each.host == "h1")
    assert kept.vif_details == before[0].vif_details, "the source must still unplug it"
    assert kept.migration_id == "m1", "the migration cleans it up, or the next one adopts it"
    service.switch(SERVER, "h1")
    service.unbind(port.id, "h4")
    assert service.bindings(port.id) == before


@pytest.mark.parametrize("broken", [VifType.UNBOUND, VifType.BINDING_FAILED])
def test_an_unbound_binding_is_bound_when_it_becomes_active(
    world: World, service: LocalNetworkService, port: Port, broken: VifType
) -> None:
    whole = service.bindings(port.id)[0]
    service.bind(port.id, "h4", migration_id="m1")
    service.switch(SERVER, "h4")
    spoil(world, port.id, "h1", broken)
    assert service.switch(SERVER, "h1") == [whole]


def test_unbinding(service: LocalNetworkService, port: Port) -> None:
    service.bind(port.id, "h2")
    with pytest.raises(Conflict, match="is ACTIVE"):
        service.unbind(port.id, "h1")
    service.unbind(port.id, "h2")
    service.unbind(port.id, "h2")
    service.unbind(port.id, "h1", even_active=True)
    assert service.bindings(port.id) == []
    assert service.bind(port.id, "h5").status == ACTIVE


def test_everything_unknown_is_named(service: LocalNetworkService) -> None:
    nobody = "11111111-2222-3333-4444-555555555555"
    calls = (
        lambda: service.port(nobody),
        lambda: service.network(nobody),
        lambda: service.bindings(nobody),
        lambda: service.preview(nobody, "h1"),
        lambda: service.bind(nobody, "h1"),
        lambda: service.unbind(nobody, "h1"),
        lambda: service.delete_port(nobody),
        lambda: service.create_port(nobody, device_id=SERVER),
        lambda: service.host(nobody),
    )
    for call in calls:
        with pytest.raises(NotFound, match=nobody):
            call()
    assert service.ports_of(nobody) == []
    assert service.switch(nobody, "h1") == []


def test_ports_of_a_server_keep_their_order(world: World, service: LocalNetworkService) -> None:
    network_id = world.network().id
    made = [service.create_port(network_id, device_id=SERVER, name=str(number)) for number in range(5)]
    assert service.ports_of(SERVER) == made
    assert len({each.mac_address for each in made}) == 5
    assert all(each.mac_address.startswith("fa:16:3e:") for each in made)


def test_a_port_keeps_the_addresses_it_is_adopted_with(world: World, service: LocalNetworkService) -> None:
    network_id = world.network().id
    mac = "52:54:00:AB:CD:EF"
    port = service.create_port(
        network_id, device_id=SERVER, mac_address=mac, fixed_ips=["192.0.2.7", "2001:db8::7"]
    )
    assert (port.mac_address, port.fixed_ips) == (mac.lower(), ("192.0.2.7", "2001:db8::7"))
    with pytest.raises(Conflict, match="in use"):
        service.create_port(network_id, device_id=SERVER, mac_address=mac)
    with pytest.raises(Conflict, match="in use"):
        service.create_port(network_id, device_id=SERVER, fixed_ips=["192.0.2.7"])
    assert len(service.ports_of(SERVER)) == 1
    assert (
        service.create_port(world.network(200).id, device_id=SERVER, mac_address=mac).mac_address
        == mac.lower()
    )


@pytest.mark.parametrize(
    "mac", ["52:54:00:ab:cd", "01:00:5e:00:00:01", "00:00:00:00:00:00", "x", "5254.00ab.cdef"]
)
def test_a_mac_address_that_no_nic_can_have_is_refused(
    world: World, service: LocalNetworkService, mac: str
) -> None:
    with pytest.raises(BadRequest, match=mac):
        service.create_port(world.network().id, device_id=SERVER, mac_address=mac)


def test_deleting_a_port_deletes_its_bindings(service: LocalNetworkService, port: Port) -> None:
    service.bind(port.id, "h2", migration_id="m1")
    service.delete_port(port.id)
    assert service.duties("h1").vifs == ()
    assert service.duties("h2").vifs == ()


def test_an_agent_is_dead_after_15_seconds_of_silence(world: World, service: LocalNetworkService) -> None:
    world.pass_time(10)
    world.report("h1")
    world.pass_time(5)
    assert all(each.alive for each in service.hosts())
    world.pass_time(0.1)
    assert [each.name for each in service.hosts() if each.alive] == ["h1"]
    assert not service.host("h2").alive


def test_a_host_is_as_it_reported_last(service: LocalNetworkService) -> None:
    backends = (HostBackend("linuxbridge", {"physnet1": "eth0"}, {"physnet1": 9000}), HostBackend("macvtap"))
    service.record_host(replace(report_of("h1"), backends=backends, migrate_uri="tcp://10.0.0.1"))
    host = service.host("h1")
    assert host.backends == backends
    assert (host.migrate_uri, host.libvirt_version) == ("tcp://10.0.0.1", 9_000_000)
    service.record_host(replace(report_of("h1"), backends=backends[::-1]))
    assert service.host("h1").backends == backends[::-1]
    service.record_host(replace(report_of("h1"), backends=()))
    assert service.host("h1").backends == ()


def test_two_backends_of_one_driver_are_refused(service: LocalNetworkService) -> None:
    twice = (HostBackend("macvtap", {"physnet1": "a"}), HostBackend("macvtap", {"physnet2": "b"}))
    with pytest.raises(BadRequest, match="two backends of one driver"):
        service.record_host(replace(report_of("h1"), backends=twice))


def test_a_hosts_duties_are_its_own_bindings(world: World, service: LocalNetworkService, port: Port) -> None:
    service.bind(port.id, "h2", migration_id="m1")
    (source,), (destination,) = service.duties("h1").vifs, service.duties("h2").vifs
    assert (source.port_id, destination.port_id) == (port.id, port.id)
    assert source.vif_details["macvtap_source"] == "eth1.100"
    assert destination.vif_details["macvtap_source"] == "ens5.100"
    assert service.duties("h3").vifs == ()
    assert service.duties("never-seen").vifs == ()
    spoil(world, port.id, "h2", VifType.BINDING_FAILED)
    assert service.duties("h2").vifs == ()


def test_a_ports_status_is_that_of_its_active_bindings_device(
    world: World, service: LocalNetworkService, port: Port
) -> None:
    def status() -> PortStatus:
        return service.port(port.id).status

    assert status() == PortStatus.DOWN
    world.report("h1", {port.id: VifState.BUILD})
    assert status() == PortStatus.BUILD
    world.report("h1", {port.id: VifState.UP})
    assert status() == PortStatus.ACTIVE
    service.bind(port.id, "h2", migration_id="m1")
    world.report("h2", {port.id: VifState.BUILD})
    assert status() == PortStatus.ACTIVE, "what happens on the destination does not matter yet"
    world.report("h2", {port.id: VifState.UP})
    world.report("h1", {})
    assert status() == PortStatus.ACTIVE, "the agent was not told of it yet"
    world.report("h1", {port.id: VifState.ABSENT})
    assert status() == PortStatus.DOWN
    service.switch(SERVER, "h2")
    assert status() == PortStatus.ACTIVE


def test_a_change_of_status_is_a_revision_of_the_port(world: World, port: Port) -> None:
    before = revision_of(world, port.id)
    world.report("h1", {port.id: VifState.UP})
    assert revision_of(world, port.id) == before + 1
    world.report("h1", {port.id: VifState.UP})
    assert revision_of(world, port.id) == before + 1
    world.service.bind(port.id, "h2", migration_id="m1")
    world.report("h2", {port.id: VifState.UP})
    assert revision_of(world, port.id) == before + 1, "what an INACTIVE binding's device does is no change"


def test_what_belongs_to_a_host_in_a_profile_stays_there(world: World, port: Port) -> None:
    service = world.service
    with service.write() as work:
        row = ports.port(work, port.id)
        profile = {"vendor": "x", "pci_slot": "0000:01:00.1", "trusted": "true"}
        bindings.set_profile(work, row, row.bindings[0], profile)
    assert service.bindings(port.id)[0].profile == profile
    assert service.bind(port.id, "h2", migration_id="m1").profile == {"vendor": "x", "trusted": "true"}
    service.switch(SERVER, "h2")
    service.unbind(port.id, "h1")
    service.unbind(port.id, "h2", even_active=True)
    assert service.bind(port.id, "h3").profile == {"vendor": "x", "trusted": "true"}


def test_rivals_that_activate_different_hosts_leave_one_active(
    world: World, service: LocalNetworkService, port: Port
) -> None:
    hosts = ("h2", "h3", "h4", "h5")
    other = service.create_port(world.network(200).id, device_id=SERVER)
    service.bind(other.id, "h1")
    for each in (port, other):
        for host in hosts:
            service.bind(each.id, host, migration_id="m1")
    stop = threading.Event()
    seen: list[list[tuple[str, str]]] = []
    failures: list[BaseException] = []

    def watch() -> None:
        query = select(BindingRow.port_id, BindingRow.host).where(BindingRow.status == "ACTIVE")
        while not stop.is_set():
            with service.read() as work:
                seen.append([(str(port_id), str(host)) for port_id, host in work.session.execute(query)])

    def activate(host: str) -> None:
        try:
            for _ in range(15):
                service.switch(SERVER, host)
        except BaseException as error:
            failures.append(error)

    watcher = threading.Thread(target=watch)
    rivals = [threading.Thread(target=activate, args=(host,)) for host in hosts]
    for thread in (watcher, *rivals):
        thread.start()
    for thread in rivals:
        thread.join()
    stop.set()
    watcher.join()
    assert failures == []
    assert len(seen) > 10
    for actives in seen:
        assert sorted(port_id for port_id, _ in actives) == sorted((port.id, other.id))
        assert len({host for _, host in actives}) == 1, "both ports were switched at once"
    assert len({host for actives in seen for _, host in actives}) > 1, "the rivals did overlap"


def test_rivals_that_bind_the_same_host_make_one_binding(service: LocalNetworkService, port: Port) -> None:
    results: list[Binding | KedgeError] = []
    start = threading.Barrier(6)

    def bind() -> None:
        start.wait()
        try:
            results.append(service.bind(port.id, "h2"))
        except KedgeError as error:
            results.append(error)

    threads = [threading.Thread(target=bind) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(each, Binding) for each in results) == 1
    assert sum(isinstance(each, Conflict) for each in results) == 5
    assert where(service, port.id) == {"h1": ACTIVE, "h2": INACTIVE}


def revision_of(world: World, port_id: str) -> int:
    with world.service.read() as work:
        return ports.port(work, port_id).revision_number
