"""What Kedge adds to Neutron's API: preview, switch, ownership, and the state of a binding's device."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from kedge.model.domain import VifState

from .network_world import World
from .rest_world import NOBODY, SERVER, hosts, make_network, make_port, ok, refused

FIRST = "5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f1001"
SECOND = "5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f1002"


@pytest.fixture
def ports(api: TestClient, network: dict[str, Any]) -> list[str]:
    """The ids of a server's two ports, in two networks, both bound to h4."""
    other = make_network(api, 101)
    return [make_port(api, each["id"], device_id=SERVER)["id"] for each in (network, other)]


def bind(api: TestClient, port_id: str, host: str, status: int = 201, **more: Any) -> Any:
    return ok(api.post(f"ports/{port_id}/bindings", json={"binding": {"host": host, **more}}), status)[
        "binding"
    ]


@pytest.mark.parametrize(
    "alias", ["binding-preview", "binding-switch", "binding-ownership", "binding-vif-status"]
)
def test_it_is_announced(api: TestClient, alias: str) -> None:
    shown = ok(api.get(f"extensions/{alias}"))["extension"]
    assert shown["description"].startswith("Kedge: ")
    assert shown in ok(api.get("extensions"))["extensions"]


# binding-preview


@pytest.mark.parametrize("host", ["h1", "h2", "h3", "h5"])
def test_a_preview_is_what_binding_makes(api: TestClient, port: dict[str, Any], host: str) -> None:
    path = f"ports/{port['id']}/bindings"
    before = ok(api.get(f"ports/{port['id']}"))["port"]
    preview = ok(api.get(f"{path}/{host}/preview"))["binding"]
    assert hosts(api, port["id"]) == {"h4": "ACTIVE"}
    assert ok(api.get(f"ports/{port['id']}"))["port"] == before
    made = bind(api, port["id"], host)
    assert list(made) == list(preview)
    assert made == preview
    assert ok(api.get(f"{path}/{host}/preview", params={"fields": "host"})) == {"binding": {"host": host}}


def test_a_preview_of_what_is_bound_shows_it_bound_anew(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings/h4"
    assert ok(api.get(f"{path}/preview")) == ok(api.get(path))


def test_a_preview_says_why_not(api: TestClient, world: World, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    refused(
        api.get(f"{path}/h6/preview"), 409, "PortBindingError", "openvswitch: physical network 'physnet1'"
    )
    refused(
        api.get(f"{path}/nohost/preview"), 409, "PortBindingError", "No agent has reported from host 'nohost'"
    )
    world.pass_time(16)
    refused(api.get(f"{path}/h1/preview"), 409, "PortBindingError", "the agent on h1 is dead")
    refused(api.get(f"ports/{NOBODY}/bindings/h1/preview"), 404, "PortNotFound")
    stranger = make_port(api, port["network_id"], device_owner="network:dhcp")["id"]
    refused(api.get(f"ports/{stranger}/bindings/h1/preview"), 400, "BadRequest", "Bad port request")
    assert hosts(api, port["id"]) == {"h4": "ACTIVE"}


# binding-switch


def switch(api: TestClient, host: str, device_id: str = SERVER) -> Any:
    return api.put("binding-switch", json={"switch": {"device_id": device_id, "host": host}})


def test_all_ports_of_a_server_are_switched_at_once(api: TestClient, ports: list[str]) -> None:
    stranger = make_port(api, ok(api.get(f"ports/{ports[0]}"))["port"]["network_id"])["id"]
    for port_id in (*ports, stranger):
        bind(api, port_id, "h1")
    switched = ok(switch(api, "h1"))["bindings"]
    assert [(each["port_id"], each["host"], each["status"]) for each in switched] == [
        (port_id, "h1", "ACTIVE") for port_id in ports
    ]
    for each in switched:
        shown = ok(api.get(f"ports/{each['port_id']}/bindings/h1"))["binding"]
        assert each == {"port_id": each["port_id"], **shown}
        assert hosts(api, each["port_id"]) == {"h1": "ACTIVE", "h4": "INACTIVE"}
    assert hosts(api, stranger) == {"h1": "INACTIVE", "h4": "ACTIVE"}
    assert ok(switch(api, "h1"))["bindings"] == switched, "again, it answers the same"
    assert ok(switch(api, "h4"))["bindings"][0]["vif_type"] == "ovs", "and back"


def test_a_port_without_a_binding_there_leaves_all_as_they_are(api: TestClient, ports: list[str]) -> None:
    bind(api, ports[0], "h1")
    refused(switch(api, "h1"), 404, "PortBindingNotFound", ports[1])
    assert hosts(api, ports[0]) == {"h1": "INACTIVE", "h4": "ACTIVE"}
    assert hosts(api, ports[1]) == {"h4": "ACTIVE"}


def test_a_device_without_ports_is_not_switched(api: TestClient, ports: list[str]) -> None:
    refused(switch(api, "h1", NOBODY), 404, "NoPortsOfDevice", NOBODY)
    make_port(api, ok(api.get(f"ports/{ports[0]}"))["port"]["network_id"], device_id="")
    refused(switch(api, "h1", ""), 400, "HTTPBadRequest", "Invalid input for device_id")


# binding-ownership


def test_a_left_over_is_adopted_instead_of_a_conflict(api: TestClient, port: dict[str, Any]) -> None:
    first = bind(api, port["id"], "h1", migration_id=FIRST)
    assert (first["status"], first["migration_id"]) == ("INACTIVE", FIRST)
    path = f"ports/{port['id']}/bindings"
    refused(api.post(path, json={"binding": {"host": "h1"}}), 409, "PortBindingAlreadyExists")
    assert bind(api, port["id"], "h1", migration_id=SECOND) == first | {"migration_id": SECOND}
    assert bind(api, port["id"], "h1", migration_id=SECOND) == first | {"migration_id": SECOND}
    assert ok(api.get(f"{path}/h1"))["binding"]["migration_id"] == SECOND
    assert hosts(api, port["id"]) == {"h1": "INACTIVE", "h4": "ACTIVE"}


def test_an_active_binding_belongs_to_no_migration(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    bind(api, port["id"], "h1", migration_id=FIRST)
    assert ok(api.put(f"{path}/h1/activate"))["migration_id"] is None
    assert ok(api.get(f"{path}/h4"))["binding"]["migration_id"] == FIRST, "what it leaves is that migration's"
    body = {"binding": {"host": "h1", "migration_id": FIRST}}
    refused(api.post(path, json=body), 409, "PortBindingAlreadyExists")


# binding-vif-status


def test_every_binding_shows_the_state_of_its_own_device(
    api: TestClient, world: World, port: dict[str, Any]
) -> None:
    path = f"ports/{port['id']}/bindings"

    def shown() -> dict[str, str]:
        return {each["host"]: each["vif_status"] for each in ok(api.get(path))["bindings"]}

    assert bind(api, port["id"], "h1")["vif_status"] == "DOWN"
    world.report("h4", {port["id"]: VifState.UP})
    world.report("h1", {port["id"]: VifState.BUILD})
    assert shown() == {"h1": "BUILD", "h4": "ACTIVE"}
    assert ok(api.get(f"{path}/h1/preview"))["binding"]["vif_status"] == "BUILD"
    assert ok(api.get(f"ports/{port['id']}"))["port"]["status"] == "ACTIVE", (
        "the ACTIVE binding's device is up"
    )
    assert ok(api.put(f"{path}/h1/activate"))["vif_status"] == "BUILD"
    assert ok(api.get(f"ports/{port['id']}"))["port"]["status"] == "BUILD"
    world.report("h1", {port["id"]: VifState.UP})
    world.report("h4", {port["id"]: VifState.ABSENT})
    assert shown() == {"h1": "ACTIVE", "h4": "DOWN"}
