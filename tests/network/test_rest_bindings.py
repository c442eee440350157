"""Port bindings over REST, held against what Neutron 29 was seen to answer."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from kedge.model.domain import VifState

from .network_world import World
from .recorded import (
    MACVTAP_DETAILS,
    OVS_DETAILS,
    binding,
    same,
)
from .rest_world import NOBODY, SERVER, hosts, make_port, ok, refused


def test_the_normal_course_of_port_bindings(api: TestClient, world: World, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    source = binding("h4", "ACTIVE", "ovs", OVS_DETAILS)
    same(ok(api.get(path)), {"bindings": [source]})
    refused(
        api.get(f"{path}/h1"),
        404,
        "PortBindingNotFound",
        f"Binding for port {port['id']} for host h1 could not be found.",
    )
    ahead = binding("h1", "INACTIVE", "macvtap", MACVTAP_DETAILS)
    same(ok(api.post(path, json={"binding": {"host": "h1"}}), 201), {"binding": ahead})
    same(ok(api.get(f"{path}/h1")), {"binding": ahead})
    same(ok(api.get(path, params={"status": "INACTIVE"})), {"bindings": [ahead]})
    fields = {"host": "h1", "fields": ["host", "status"]}
    assert ok(api.get(path, params=fields)) == {"bindings": [{"host": "h1", "status": "INACTIVE"}]}
    assert ok(api.get(f"ports/{port['id']}"))["port"]["binding:host_id"] == "h4"
    world.report("h4", {port["id"]: VifState.UP})
    assert ok(api.get(f"ports/{port['id']}"))["port"]["status"] == "ACTIVE"
    same(ok(api.put(f"{path}/h1/activate")), ahead | {"status": "ACTIVE"})
    shown = ok(api.get(f"ports/{port['id']}"))["port"]
    assert (shown["binding:host_id"], shown["binding:vif_type"], shown["status"]) == ("h1", "macvtap", "DOWN")
    assert shown["binding:vif_details"]["bound_drivers"] == {"0": "macvtap"}
    ok(api.delete(f"{path}/h4"), 204)
    same(ok(api.get(path)), {"bindings": [ahead | {"status": "ACTIVE"}]})


def test_a_binding_costs_few_statements(api: TestClient, world: World, port: dict[str, Any]) -> None:
    """Each is a way to the database and back while the port is locked, and CPU; an ORM's flush would cost more."""
    path = f"ports/{port['id']}/bindings"
    asked: list[str] = []
    event.listen(
        world.service.engine, "before_cursor_execute", lambda *said: asked.append(said[2].split()[0])
    )

    def writes() -> list[str]:
        done = [each for each in asked if each != "BEGIN"]
        asked.clear()
        assert done[:2] == ["SELECT", "SELECT"], "the lock, or the look, and the port"
        return done[2:]

    ok(api.post(path, json={"binding": {"host": "h1"}}), 201)
    made = [each for each in asked if each != "BEGIN"]
    asked.clear()
    assert made[-3:] == ["SELECT", "SELECT", "INSERT"], "the port, the host, the binding"
    ok(api.put(f"{path}/h1/activate"))
    assert writes() == ["UPDATE"] * 3, "both bindings and the port"
    ok(api.delete(f"{path}/h4"), 204)
    assert writes() == ["DELETE"]


def test_activating_the_source_again_binds_it_fully(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    ok(api.post(path, json={"binding": {"host": "h1"}}), 201)
    ok(api.put(f"{path}/h1/activate"))
    assert ok(api.put(f"{path}/h4/activate")) == binding("h4", "ACTIVE", "ovs", OVS_DETAILS)
    ok(api.delete(f"{path}/h4"), 204)
    assert ok(api.put(f"{path}/h1/activate"))["status"] == "ACTIVE", "also when nothing was ACTIVE"


def test_profiles_are_replaced(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    body = {"host": "h1", "vnic_type": "normal", "profile": {"migrating_to": "h1"}}
    made = ok(api.post(path, json={"binding": body}), 201)["binding"]
    assert made == binding("h1", "INACTIVE", "macvtap", MACVTAP_DETAILS, migrating_to="h1")
    for given, kept in [
        ({"k": "v"}, {"k": "v"}),  # so Nova takes away what says that a server migrates
        ({"k": None, "l": "w"}, {"l": "w"}),
        ({}, {}),
        (None, {}),
    ]:
        changed = ok(api.put(f"{path}/h1", json={"binding": {"profile": given}}))["binding"]
        assert changed["profile"] == kept
        changed = ok(api.put(f"ports/{port['id']}", json={"port": {"binding:profile": given}}))["port"]
        assert changed["binding:profile"] == kept
    assert ok(api.get(f"{path}/h4"))["binding"]["profile"] == {}


def test_a_kedges_note_in_a_profile_stays(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings/h4"
    for given, kept in [
        ({"kedge": {"turn": 1}, "k": "v"}, {"kedge": {"turn": 1}, "k": "v"}),
        ({"l": "w"}, {"kedge": {"turn": 1}, "l": "w"}),
        ({}, {"kedge": {"turn": 1}}),
        ({"kedge": {"turn": 2}}, {"kedge": {"turn": 2}}),
        ({"kedge": None}, {}),
    ]:
        assert ok(api.put(path, json={"binding": {"profile": given}}))["binding"]["profile"] == kept


def test_a_binding_becomes_another_type_of_vnic(api: TestClient, world: World, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}"
    for where in (f"{path}/bindings/h4", path):
        name = "vnic_type" if where != path else "binding:vnic_type"
        kind = "binding" if where != path else "port"
        refused(api.put(where, json={kind: {name: "direct"}}), 409, "PortBindingError", "direct")
        assert ok(api.get(where))[kind][name] == "normal"
        refused(api.put(where, json={kind: {name: "nonsense"}}), 400, "HTTPBadRequest")
        assert ok(api.put(where, json={kind: {name: "normal"}}))[kind][name] == "normal"


def test_activation_may_name_its_port(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    ok(api.post(path, json={"binding": {"host": "h1"}}), 201)
    refused(api.put(f"{path}/h1/activate", json={"port_id": NOBODY}), 400, "InvalidInput", "another")
    assert ok(api.put(f"{path}/h1/activate", json={"port_id": port["id"]}))["status"] == "ACTIVE"


def test_an_allocation_of_bandwidth_is_refused(api: TestClient, port: dict[str, Any]) -> None:
    body = {"host": "h1", "profile": {"allocation": NOBODY}}
    answer = api.post(f"ports/{port['id']}/bindings", json={"binding": body})
    refused(answer, 500, "PortBindingError", NOBODY, "Placement")


def test_a_trusted_port_is_so_in_its_profile(api: TestClient, network: dict[str, Any]) -> None:
    port = make_port(api, network["id"], trusted=True)
    assert port["binding:profile"] == {"trusted": True}
    made = ok(api.post(f"ports/{port['id']}/bindings", json={"binding": {"host": "h1"}}), 201)["binding"]
    assert made["profile"] == {"trusted": True}
    changed = ok(api.put(f"ports/{port['id']}", json={"port": {"trusted": False}}))["port"]
    assert changed["binding:profile"] == {"trusted": False}


def test_refusals_of_port_bindings(api: TestClient, world: World, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    ok(api.post(path, json={"binding": {"host": "h1"}}), 201)
    for host in ("h1", "h4"):
        message = f"Binding for port {port['id']} on host {host} already exists."
        refused(api.post(path, json={"binding": {"host": host}}), 409, "PortBindingAlreadyExists", message)
    refused(api.put(f"{path}/h4/activate"), 409, "PortBindingAlreadyActive", "on host h4 is already active.")
    refused(api.put(f"{path}/nohost/activate"), 404, "PortBindingNotFound")
    refused(api.put(f"{path}/nohost", json={"binding": {"profile": {}}}), 404, "PortBindingNotFound")
    refused(api.delete(f"{path}/nohost"), 404, "PortBindingNotFound")
    direct = {"host": "h2", "vnic_type": "direct"}
    refused(api.post(path, json={"binding": direct}), 500, "PortBindingError", "macvtap: vnic_type 'direct'")
    refused(
        api.post(path, json={"binding": {"host": "nohost"}}), 500, "PortBindingError", "No agent has reported"
    )
    refused(api.post(path, json={"binding": {"host": "h6"}}), 500, "PortBindingError", "(mapped: physnet2)")
    world.pass_time(16)
    refused(api.post(path, json={"binding": {"host": "h2"}}), 500, "PortBindingError", "h2 is dead")
    assert hosts(api, port["id"]) == {"h4": "ACTIVE", "h1": "INACTIVE"}


def test_the_first_binding_waits_to_be_activated(api: TestClient, network: dict[str, Any]) -> None:
    port = make_port(api, network["id"], trusted=True, **{"binding:host_id": ""})
    path = f"ports/{port['id']}"
    (nowhere,) = ok(api.get(f"{path}/bindings"))["bindings"]
    assert nowhere == binding("", "ACTIVE", "unbound", {})
    refused(api.post(f"{path}/bindings", json={"binding": {"host": "nohost"}}), 500, "PortBindingError")
    assert ok(api.get(f"{path}/bindings"))["bindings"] == [nowhere]

    preview = ok(api.get(f"{path}/bindings/h1/preview"))["binding"]
    made = ok(api.post(f"{path}/bindings", json={"binding": {"host": "h1"}}), 201)["binding"]
    assert made == preview == binding("h1", "INACTIVE", "macvtap", MACVTAP_DETAILS, trusted=True)
    assert ok(api.get(f"{path}/bindings"))["bindings"] == [nowhere, made]
    shown = ok(api.get(path))["port"]
    assert (shown["binding:host_id"], shown["binding:vif_type"]) == ("", "unbound")

    assert ok(api.put(f"{path}/bindings/h1/activate")) == made | {"status": "ACTIVE"}
    assert hosts(api, port["id"]) == {"": "INACTIVE", "h1": "ACTIVE"}
    assert ok(api.get(path))["port"]["binding:host_id"] == "h1"
    ok(api.delete(f"{path}/bindings/h1"), 204)
    assert hosts(api, port["id"]) == {"": "ACTIVE"}


@pytest.mark.parametrize("port_id", [NOBODY, "nonsense"])
def test_an_unknown_port_is_not_found_by_any_call(api: TestClient, port_id: str) -> None:
    path = f"ports/{port_id}"
    for response in (
        api.get(path),
        api.put(path, json={"port": {"name": "x"}}),
        api.delete(path),
        api.get(f"{path}/bindings"),
        api.post(f"{path}/bindings", json={"binding": {"host": "h1"}}),
        api.get(f"{path}/bindings/h1"),
        api.put(f"{path}/bindings/h1", json={"binding": {"profile": {}}}),
        api.put(f"{path}/bindings/h1/activate"),
        api.delete(f"{path}/bindings/h1"),
    ):
        refused(response, 404, "PortNotFound", f"Port {port_id} could not be found.")


@pytest.mark.parametrize("owner", ["network:dhcp", ""])
def test_only_ports_of_servers_have_bindings_to_ask_for(
    api: TestClient, network: dict[str, Any], owner: str
) -> None:
    port_id = make_port(api, network["id"], device_owner=owner)["id"]
    path = f"ports/{port_id}/bindings"
    for response in (
        api.get(path),
        api.post(path, json={"binding": {"host": "h1"}}),
        api.put(f"{path}/h4/activate"),
        api.delete(f"{path}/h4"),
    ):
        refused(response, 400, "BadRequest", f"Bad port request: Invalid port {port_id}.")


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (
            b'{"binding": {}}',
            "HTTPBadRequest",
            "Failed to parse request. Required attribute 'host' not specified",
        ),
        (
            b'{"binding": {"host": "h9", "colour": "red"}}',
            "HTTPBadRequest",
            "Unrecognized attribute(s) 'colour'",
        ),
        (b'{"binding": {"host": "h9", "vif_type": "ovs"}}', "HTTPBadRequest", "'vif_type'"),
        (
            b'{"binding": {"host": "h9", "vnic_type": "purple"}}',
            "HTTPBadRequest",
            "Invalid input for vnic_type",
        ),
        (b'{"binding": {"host": "h9", "profile": "x"}}', "HTTPBadRequest", "Invalid input for profile"),
        (b'{"binding": {"host": 5}}', "HTTPBadRequest", "Invalid input for host"),
        (b'{"binding": {"host": ""}}', "HTTPBadRequest", "Invalid input for host"),
        (b'{"binding": {"host": null}}', "HTTPBadRequest", "Invalid input for host"),
        (b'{"host": "h9"}', "HTTPBadRequest", "Unable to find 'binding' in request body"),
        (b"{nope", "MalformedRequestBody", "Malformed request body: Cannot understand JSON."),
        (b"", "HTTPBadRequest", "Resource body required"),
        (b"[]", "HTTPBadRequest", ""),
    ],
)
def test_bodies_that_make_no_sense_are_refused(
    api: TestClient, port: dict[str, Any], body: bytes, kind: str, message: str
) -> None:
    headers = {"Content-Type": "application/json"}
    refused(api.post(f"ports/{port['id']}/bindings", content=body, headers=headers), 400, kind, message)


@pytest.mark.parametrize("status", ["ACTIVE", "PAUSED", "MIGRATING", "SHUTOFF"])
def test_a_running_servers_port_is_not_cut_off(
    api: TestClient, world: World, network: dict[str, Any], status: str
) -> None:
    port = make_port(api, network["id"], device_id=SERVER, device_owner="compute:kedge")
    path = f"ports/{port['id']}"
    ok(api.post(f"{path}/bindings", json={"binding": {"host": "h1"}}), 201)
    world.server(SERVER, status)
    if status == "SHUTOFF":  # What a host says counts, whatever the server's row holds.
        world.report("h4", running=(SERVER,))
    for response in (
        api.delete(f"{path}/bindings/h4"),
        api.put(path, json={"port": {"binding:host_id": "h1"}}),
        api.put(path, json={"port": {"binding:host_id": ""}}),
        api.put(path, json={"port": {"binding:vnic_type": "direct"}}),
        api.put(f"{path}/bindings/h4", json={"binding": {"vnic_type": "direct"}}),
        api.delete(path),
    ):
        refused(response, 409, "PortInUse", SERVER)
    ok(api.put(path, json={"port": {"binding:host_id": "h4", "name": "same host"}}))
    assert hosts(api, port["id"]) == {"h4": "ACTIVE", "h1": "INACTIVE"}
    ok(api.delete(f"{path}/bindings/h1"), 204)
    world.server(SERVER, "SHUTOFF")
    world.report("h4", running=())
    ok(api.delete(f"{path}/bindings/h4"), 204)
    ok(api.delete(path), 204)
