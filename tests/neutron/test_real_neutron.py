"""What only a real Neutron gets itself into, and how Kedge leads it out."""

from collections.abc import Iterator
from uuid import uuid4

import httpx2
import pytest

from kedge.lab.neutron import Neutron as RealNeutron
from kedge.model.network import BindingStatus, NetworkType, Port, Segment, VifType
from kedge.network.neutron import NeutronNetworkService

from .settings import adapter

MIGRATION = "5a3ed8a3-2ab0-4d6b-a1b4-b9e9f2f3a111"


@pytest.fixture(scope="module")
def service(real_neutron: RealNeutron) -> Iterator[NeutronNetworkService]:
    with adapter(real_neutron.url, "parallel") as made:
        yield made


@pytest.fixture(scope="module")
def network(service: NeutronNetworkService) -> str:
    return service.create_network("real", Segment(NetworkType.VLAN, "physnet1", 4000)).id


@pytest.fixture
def port(service: NeutronNetworkService, network: str) -> Port:
    made = service.create_port(network, device_id=str(uuid4()))
    service.bind(made.id, "h1")
    service.bind(made.id, "h3", migration_id=MIGRATION)
    return made


def rows(neutron: RealNeutron, port: Port) -> dict[str, tuple[str, str]]:
    found = httpx2.get(f"{neutron.url}/v2.0/ports/{port.id}/bindings").json()["bindings"]
    return {row["host"]: (row["status"], row["vif_type"]) for row in found}


def test_two_active_bindings_become_one(
    real_neutron: RealNeutron, service: NeutronNetworkService, port: Port
) -> None:
    """What two clients leave that activate different hosts at the same time."""
    real_neutron.sql(f"UPDATE ml2_port_bindings SET status = 'ACTIVE' WHERE port_id = '{port.id}'")
    shown = service.bindings(port.id)
    assert [each.status for each in shown] == [BindingStatus.ACTIVE, BindingStatus.INACTIVE]
    service.switch(port.device_id, "h3")
    assert rows(real_neutron, port) == {"h3": ("ACTIVE", "ovs")}


def test_an_active_binding_that_is_unbound_is_bound_again(
    real_neutron: RealNeutron, service: NeutronNetworkService, port: Port
) -> None:
    """What Nova leaves after a rollback, or an activation beside a deletion."""
    for host in ("h3", "h1"):
        httpx2.put(f"{real_neutron.url}/v2.0/ports/{port.id}/bindings/{host}/activate").raise_for_status()
    assert rows(real_neutron, port) == {"h1": ("ACTIVE", "unbound"), "h3": ("INACTIVE", "unbound")}
    assert all(each.status is BindingStatus.INACTIVE for each in service.bindings(port.id))
    (switched,) = service.switch(port.device_id, "h1")
    assert switched.vif_type is VifType.MACVTAP
    assert rows(real_neutron, port)["h1"] == ("ACTIVE", "macvtap")


def test_a_port_whose_active_binding_was_deleted_gets_one(
    real_neutron: RealNeutron, service: NeutronNetworkService, port: Port
) -> None:
    httpx2.delete(f"{real_neutron.url}/v2.0/ports/{port.id}/bindings/h1").raise_for_status()
    service.switch(port.device_id, "h3")
    assert rows(real_neutron, port) == {"h3": ("ACTIVE", "ovs")}


def test_a_binding_that_somebody_left_there_is_replaced(
    real_neutron: RealNeutron, service: NeutronNetworkService, port: Port
) -> None:
    """Nova's 409 that needs a database clean-up (a leftover of a migration that died)."""
    body = {"binding": {"host": "h2"}}
    url = f"{real_neutron.url}/v2.0/ports/{port.id}/bindings"
    httpx2.post(url, json=body).raise_for_status()
    assert httpx2.post(url, json=body).status_code == 409
    assert service.bind(port.id, "h2", migration_id=MIGRATION).migration_id == MIGRATION


def test_a_profile_of_others_goes_along_and_comes_back(
    real_neutron: RealNeutron, service: NeutronNetworkService, network: str
) -> None:
    made = service.create_port(network, device_id=str(uuid4()))
    service.bind(made.id, "h1")
    body = {"port": {"binding:profile": {"theirs": "kept"}}}
    httpx2.put(f"{real_neutron.url}/v2.0/ports/{made.id}", json=body).raise_for_status()
    service.bind(made.id, "h3", migration_id=MIGRATION)
    for host in ("h3", "h1"):
        (switched,) = service.switch(made.device_id, host)
        assert switched.profile == {"theirs": "kept"}
