"""What everything above the network service may rely on, whichever it is."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from uuid import uuid4

import pytest

from kedge.core.adopt import Recognised
from kedge.model.errors import CannotBind, Conflict, NotFound
from kedge.model.network import (
    Binding,
    BindingStatus,
    Network,
    NetworkType,
    Port,
    Segment,
    VifType,
)
from kedge.network.service import NetworkService

ACTIVE, INACTIVE = BindingStatus.ACTIVE, BindingStatus.INACTIVE
MIGRATION = "5a3ed8a3-2ab0-4d6b-a1b4-b9e9f2f3a111"
ANOTHER = "5a3ed8a3-2ab0-4d6b-a1b4-b9e9f2f3a222"
_vlans = iter(range(1000, 4000))

MACVTAP_H1 = {
    "physical_interface": "eth1",
    "macvtap_mode": "bridge",
    "connectivity": "l2",
    "port_filter": False,
}


@pytest.fixture
def network(service: NetworkService) -> Iterator[Network]:
    made = service.create_network("contract", Segment(NetworkType.VLAN, "physnet1", next(_vlans)))
    yield made
    with suppress(Conflict):
        service.delete_network(made.id)


@pytest.fixture
def server() -> str:
    return str(uuid4())


@pytest.fixture
def port(service: NetworkService, network: Network, server: str) -> Iterator[Port]:
    made = service.create_port(network.id, device_id=server)
    yield made
    with suppress(NotFound):
        service.delete_port(made.id)


@pytest.fixture
def second(service: NetworkService, network: Network, server: str) -> Iterator[Port]:
    made = service.create_port(network.id, device_id=server)
    yield made
    with suppress(NotFound):
        service.delete_port(made.id)


def where(service: NetworkService, port: Port) -> dict[str, BindingStatus]:
    return {binding.host: binding.status for binding in service.bindings(port.id)}


def on(service: NetworkService, port: Port, host: str) -> Binding:
    return next(binding for binding in service.bindings(port.id) if binding.host == host)


def vif(binding: Binding) -> tuple[VifType, dict[str, object]]:
    return binding.vif_type, dict(binding.vif_details)


# Networks and ports.


def test_a_network_is_what_it_was_made_as(service: NetworkService, network: Network) -> None:
    assert service.network(network.id) == network
    assert network in service.networks()
    assert network.segment.network_type is NetworkType.VLAN
    assert network.mtu == 1500


def test_a_network_with_a_smaller_mtu(service: NetworkService) -> None:
    made = service.create_network("small", Segment(NetworkType.VLAN, "physnet1", next(_vlans)), mtu=1400)
    assert service.network(made.id).mtu == 1400
    service.delete_network(made.id)
    with pytest.raises(NotFound):
        service.network(made.id)


def test_a_segment_makes_one_network(service: NetworkService, network: Network) -> None:
    with pytest.raises(Conflict):
        service.create_network("again", network.segment)


def test_a_network_with_ports_stays(service: NetworkService, network: Network, port: Port) -> None:
    with pytest.raises(Conflict):
        service.delete_network(network.id)


def test_a_port_is_what_it_was_made_as(service: NetworkService, network: Network, server: str) -> None:
    made = service.create_port(
        network.id, device_id=server, mac_address="fa:16:3e:00:00:42", fixed_ips=(), name="nic"
    )
    assert (made.mac_address, made.name, made.device_id) == ("fa:16:3e:00:00:42", "nic", server)
    assert made.device_owner == "compute:kedge"
    assert made.fixed_ips == ()
    assert service.port(made.id) == made
    assert service.bindings(made.id) == []
    service.delete_port(made.id)
    with pytest.raises(NotFound):
        service.port(made.id)


def test_a_mac_address_is_used_once(service: NetworkService, network: Network, port: Port) -> None:
    with pytest.raises(Conflict):
        service.create_port(network.id, device_id="", mac_address=port.mac_address)


def test_the_ports_of_a_server(
    service: NetworkService, network: Network, server: str, port: Port, second: Port
) -> None:
    other = service.create_port(network.id, device_id=str(uuid4()))
    assert {each.id for each in service.ports_of(server)} == {port.id, second.id}
    assert service.ports_of(str(uuid4())) == []
    service.delete_port(other.id)


def test_a_free_port_is_given_to_a_server_and_taken_back(
    service: NetworkService, network: Network, server: str
) -> None:
    made = service.create_port(network.id, device_id="", device_owner="")
    assert service.attach_port(made.id, server).device_id == server
    with pytest.raises(Conflict):
        service.attach_port(made.id, str(uuid4()))
    assert service.attach_port(made.id, "").device_id == ""
    service.delete_port(made.id)


def test_what_is_unknown_is_not_found(service: NetworkService) -> None:
    unknown = str(uuid4())
    for ask in (
        lambda: service.network(unknown),
        lambda: service.port(unknown),
        lambda: service.bindings(unknown),
        lambda: service.preview(unknown, "h1"),
        lambda: service.bind(unknown, "h1"),
        lambda: service.unbind(unknown, "h1"),
        lambda: service.delete_port(unknown),
        lambda: service.create_port(unknown, device_id=""),
    ):
        with pytest.raises(NotFound, match=unknown):
            ask()


# Bindings.


def test_the_first_binding_is_active(service: NetworkService, network: Network, port: Port) -> None:
    made = service.bind(port.id, "h1")
    vlan = network.segment.segmentation_id
    assert made.status is ACTIVE
    assert made.migration_id is None
    assert vif(made) == (
        VifType.MACVTAP,
        {**MACVTAP_H1, "vlan": vlan, "macvtap_source": f"eth1.{vlan}"},
    )
    assert service.bindings(port.id) == [made]


def test_each_host_has_its_own_details(service: NetworkService, port: Port) -> None:
    service.bind(port.id, "h1")
    ahead = service.bind(port.id, "h2", migration_id=MIGRATION)
    assert ahead.vif_details["physical_interface"] == "ens5"
    assert on(service, port, "h1").vif_details["physical_interface"] == "eth1"


@pytest.mark.parametrize("hybrid", [False, True])
def test_open_vswitch(service: NetworkService, port: Port, hybrid: bool) -> None:
    made = service.bind(port.id, "h4" if hybrid else "h3")
    assert made.vif_type is VifType.OVS
    assert made.vif_details["ovs_hybrid_plug"] is hybrid
    assert made.vif_details["bridge_name"] == "br-int"
    assert "bound_drivers" not in made.vif_details


def test_a_binding_made_ahead_is_inactive_and_its_migrations(service: NetworkService, port: Port) -> None:
    first = service.bind(port.id, "h1")
    ahead = service.bind(port.id, "h3", migration_id=MIGRATION)
    assert (ahead.status, ahead.migration_id) == (INACTIVE, MIGRATION)
    assert service.bindings(port.id) == [first, ahead]


def test_a_binding_is_not_made_twice(service: NetworkService, port: Port) -> None:
    service.bind(port.id, "h1")
    service.bind(port.id, "h3", migration_id=MIGRATION)
    with pytest.raises(Conflict):
        service.bind(port.id, "h1", migration_id=MIGRATION)
    with pytest.raises(Conflict):
        service.bind(port.id, "h3")


def test_what_a_dead_migration_left_is_replaced(service: NetworkService, port: Port) -> None:
    service.bind(port.id, "h1")
    service.bind(port.id, "h3", migration_id=MIGRATION)
    again = service.bind(port.id, "h3", migration_id=ANOTHER)
    assert (again.status, again.migration_id) == (INACTIVE, ANOTHER)
    assert where(service, port) == {"h1": ACTIVE, "h3": INACTIVE}


def test_all_ports_of_a_server_are_bound_ahead(
    service: NetworkService, server: str, port: Port, second: Port
) -> None:
    for each in (port, second):
        service.bind(each.id, "h1")
    mine = service.bind(port.id, "h3", migration_id=MIGRATION)
    service.bind(second.id, "h3", migration_id=ANOTHER)
    made = service.bind_ahead(server, "h3", MIGRATION)
    assert mine in made
    assert {(each.port_id, each.status, each.migration_id) for each in made} == {
        (each.id, INACTIVE, MIGRATION) for each in (port, second)
    }
    assert {each.status for each in service.bind_ahead(server, "h1", MIGRATION)} == {ACTIVE}
    assert sorted(service.bind_ahead(server, "h3", MIGRATION), key=str) == sorted(made, key=str)
    assert where(service, port) == where(service, second) == {"h1": ACTIVE, "h3": INACTIVE}


def test_a_host_that_cant_bind_is_refused_with_reasons(service: NetworkService, port: Port) -> None:
    with pytest.raises(CannotBind, match="nohost"):
        service.bind(port.id, "nohost")
    assert service.bindings(port.id) == []
    first = service.bind(port.id, "h1")
    with pytest.raises(CannotBind, match="nohost"):
        service.bind(port.id, "nohost", migration_id=MIGRATION)
    assert service.bindings(port.id) == [first]


def test_a_preview_stores_nothing_and_is_what_comes(service: NetworkService, port: Port) -> None:
    seen = service.preview(port.id, "h1")
    assert service.bindings(port.id) == []
    assert vif(seen) == vif(service.bind(port.id, "h1"))
    for host in ("h2", "h3", "h4"):
        ahead = service.preview(port.id, host)
        assert ahead.status is INACTIVE
        made = service.bind(port.id, host, migration_id=MIGRATION)
        assert made.vif_type is ahead.vif_type
        assert dict(made.vif_details).items() >= dict(ahead.vif_details).items() - {("ovs_create_tap", True)}
        service.unbind(port.id, host)
    with pytest.raises(CannotBind, match="nohost"):
        service.preview(port.id, "nohost")


# The switch.


def test_a_switch_takes_all_ports(service: NetworkService, server: str, port: Port, second: Port) -> None:
    for each in (port, second):
        service.bind(each.id, "h1")
        service.bind(each.id, "h3", migration_id=MIGRATION)
    switched = service.switch(server, "h3")
    assert {binding.port_id for binding in switched} == {port.id, second.id}
    assert all(binding.status is ACTIVE and binding.host == "h3" for binding in switched)
    for each in (port, second):
        assert where(service, each) == {"h3": ACTIVE, "h1": INACTIVE}
    bound = {each.id: bindings for each, bindings in service.bound_ports(server)}
    assert bound == {each.id: service.bindings(each.id) for each in (port, second)}


def test_the_binding_that_was_left_keeps_its_details_and_goes_to_the_migration(
    service: NetworkService, server: str, port: Port
) -> None:
    before = service.bind(port.id, "h1")
    service.bind(port.id, "h3", migration_id=MIGRATION)
    service.switch(server, "h3")
    left = on(service, port, "h1")
    assert vif(left) == vif(before)
    assert left.migration_id == MIGRATION
    assert on(service, port, "h3").migration_id is None


def test_a_switch_that_a_port_cant_follow_changes_nothing(
    service: NetworkService, server: str, port: Port, second: Port
) -> None:
    for each in (port, second):
        service.bind(each.id, "h1")
    service.bind(port.id, "h3", migration_id=MIGRATION)
    with pytest.raises(NotFound):
        service.switch(server, "h3")
    assert where(service, port) == {"h1": ACTIVE, "h3": INACTIVE}
    assert where(service, second) == {"h1": ACTIVE}


def test_switching_again_changes_nothing(service: NetworkService, server: str, port: Port) -> None:
    service.bind(port.id, "h1")
    service.bind(port.id, "h2", migration_id=MIGRATION)
    service.switch(server, "h2")
    before = service.bindings(port.id)
    service.switch(server, "h2")
    assert service.bindings(port.id) == before


@pytest.mark.parametrize(("source", "destination"), [("h1", "h2"), ("h1", "h3"), ("h3", "h1"), ("h4", "h3")])
def test_the_way_back_after_the_switch_is_a_full_binding(
    service: NetworkService, server: str, port: Port, source: str, destination: str
) -> None:
    before = service.bind(port.id, source)
    ahead = service.bind(port.id, destination, migration_id=MIGRATION)
    service.switch(server, destination)
    service.switch(server, source)
    assert where(service, port) == {source: ACTIVE, destination: INACTIVE}
    assert vif(on(service, port, source)) == vif(before)
    assert vif(on(service, port, destination)) == vif(ahead)
    assert on(service, port, destination).migration_id == MIGRATION
    service.unbind(port.id, destination)
    assert where(service, port) == {source: ACTIVE}
    assert vif(on(service, port, source)) == vif(before)


def test_there_and_back_twice_in_the_same_migration(service: NetworkService, server: str, port: Port) -> None:
    service.bind(port.id, "h1")
    service.bind(port.id, "h3", migration_id=MIGRATION)
    for host in ("h3", "h1", "h3", "h1", "h3"):
        service.switch(server, host)
        assert on(service, port, host).status is ACTIVE
        assert on(service, port, host).vif_type is (VifType.OVS if host == "h3" else VifType.MACVTAP)


def test_a_rollback_before_the_switch(service: NetworkService, port: Port) -> None:
    before = service.bind(port.id, "h1")
    service.bind(port.id, "h2", migration_id=MIGRATION)
    service.unbind(port.id, "h2")
    assert service.bindings(port.id) == [before]


def test_a_migration_settles(service: NetworkService, server: str, port: Port) -> None:
    service.bind(port.id, "h1")
    service.bind(port.id, "h3", migration_id=MIGRATION)
    service.switch(server, "h3")
    service.unbind(port.id, "h1")
    assert where(service, port) == {"h3": ACTIVE}
    assert on(service, port, "h3").vif_type is VifType.OVS


def test_one_migration_after_another_and_back_again(service: NetworkService, server: str, port: Port) -> None:
    """What an earlier migration wrote down must never be taken for a later one's."""
    service.bind(port.id, "h1")
    way = ["h1", "h2", "h3", "h4", "h1", "h3", "h1"]
    for number, (source, destination) in enumerate(pairwise(way)):
        migration = f"5a3ed8a3-2ab0-4d6b-a1b4-b9e9f2f3b{number:03}"
        before = on(service, port, source)
        ahead = service.bind(port.id, destination, migration_id=migration)
        assert service.bindings(port.id) == [before, ahead]
        assert ahead.migration_id == migration
        service.switch(server, destination)
        assert vif(on(service, port, destination)) == vif(ahead)
        left = on(service, port, source)
        assert (left.status, left.migration_id, vif(left)) == (INACTIVE, migration, vif(before))
        service.unbind(port.id, source)
        assert where(service, port) == {destination: ACTIVE}


def test_a_port_is_taken_off_its_host(service: NetworkService, port: Port) -> None:
    service.bind(port.id, "h1")
    with pytest.raises(Conflict):
        service.unbind(port.id, "h1")
    service.unbind(port.id, "h3")  # there is none
    assert where(service, port) == {"h1": ACTIVE}
    service.unbind(port.id, "h1", even_active=True)
    assert service.bindings(port.id) == []
    assert service.bind(port.id, "h3").status is ACTIVE


def test_a_port_is_deleted_with_its_bindings(service: NetworkService, port: Port) -> None:
    service.bind(port.id, "h1")
    service.bind(port.id, "h3", migration_id=MIGRATION)
    service.delete_port(port.id)
    with pytest.raises(NotFound):
        service.bindings(port.id)


# A server that is adopted.


def test_a_nic_is_bound_as_it_was_found_and_moves_on(
    service: NetworkService, network: Network, server: str, port: Port
) -> None:
    details = {
        "connectivity": "l2",
        "port_filter": False,
        "bridge_name": "br-physnet1",
        "ovs_hybrid_plug": False,
    }
    found = Recognised(network.segment, VifType.OVS, details)
    made = service.bind_as_found(port.id, "h3", found)
    assert (made.host, made.status, vif(made)) == ("h3", ACTIVE, (VifType.OVS, details))
    with pytest.raises(Conflict):
        service.bind_as_found(port.id, "h3", found)
    service.bind(port.id, "h1", migration_id=MIGRATION)
    assert vif(on(service, port, "h3")) == (VifType.OVS, details)
    service.switch(server, "h1")
    assert vif(on(service, port, "h3")) == (VifType.OVS, details)
    service.unbind(port.id, "h3")
    assert where(service, port) == {"h1": ACTIVE}
