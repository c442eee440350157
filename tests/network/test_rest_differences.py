"""Where Kedge deliberately answers otherwise than Neutron 29: docs/neutron-differences.md, row by row."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from .rest_world import NOBODY, hosts, make_network, make_port, make_subnet, ok, refused


def bind(api: TestClient, path: str, host: str) -> Any:
    return ok(api.post(path, json={"binding": {"host": host}}), 201)["binding"]


def test_a_refusal_to_bind_gives_the_reasons(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    for host, reason in {
        "h6": "openvswitch: physical network 'physnet1' is not mapped on this host (mapped: physnet2)",
        "nohost": "No agent has reported from host 'nohost'",
    }.items():
        response = api.post(path, json={"binding": {"host": host}})
        refused(response, 500, "PortBindingError", port["id"], host, reason)
    assert hosts(api, port["id"]) == {"h4": "ACTIVE"}


@pytest.mark.parametrize("host", [None, "", 5, ["h1"], {"name": "h1"}, True])
def test_a_binding_needs_a_host(api: TestClient, port: dict[str, Any], host: Any) -> None:
    path = f"ports/{port['id']}/bindings"
    refused(api.post(path, json={"binding": {"host": host}}), 400, "HTTPBadRequest", "Invalid input for host")
    assert hosts(api, port["id"]) == {"h4": "ACTIVE"}


def test_open_vswitch_always_makes_the_tap(api: TestClient, port: dict[str, Any]) -> None:
    hybrid = ok(api.get(f"ports/{port['id']}/bindings/h4"))["binding"]
    assert (hybrid["vif_details"]["ovs_hybrid_plug"], hybrid["vif_details"]["ovs_create_tap"]) == (True, True)
    native = bind(api, f"ports/{port['id']}/bindings", "h3")  # on the datapath netdev
    assert native["vif_details"]["ovs_create_tap"] is True


def test_a_port_without_an_active_binding_is_unbound(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}"
    bind(api, f"{path}/bindings", "h1")
    ok(api.delete(f"{path}/bindings/h4"), 204)
    assert hosts(api, port["id"]) == {"": "ACTIVE", "h1": "INACTIVE"}
    shown = ok(api.get(path))["port"]
    assert list(shown) == list(port)
    assert (shown["binding:host_id"], shown["binding:vif_type"]) == ("", "unbound")
    assert ok(api.put(f"{path}/bindings/h1/activate"))["vif_type"] == "macvtap"
    assert ok(api.get(path))["port"]["binding:host_id"] == "h1"


@pytest.mark.parametrize("body", [b"", b"null", b"{}"])
def test_activation_takes_an_empty_body(api: TestClient, port: dict[str, Any], body: bytes) -> None:
    path = f"ports/{port['id']}/bindings"
    bind(api, path, "h1")
    headers = {"Content-Type": "application/json"}
    for wrong in (b'{"host": "h2"}', b"[]", b"5", b"{nope"):
        response = api.put(f"{path}/h1/activate", content=wrong, headers=headers)
        assert response.status_code == 400
    assert hosts(api, port["id"]) == {"h1": "INACTIVE", "h4": "ACTIVE"}
    flat = ok(api.put(f"{path}/h1/activate", content=body, headers=headers))
    assert (flat["host"], flat["status"]) == ("h1", "ACTIVE")


def test_the_former_binding_keeps_its_details(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    before = ok(api.get(f"{path}/h4"))["binding"]
    bind(api, path, "h1")
    ok(api.put(f"{path}/h1/activate"))
    assert ok(api.get(f"{path}/h4"))["binding"] == before | {"status": "INACTIVE"}
    assert ok(api.put(f"{path}/h4/activate")) == before
    shown = ok(api.get(f"ports/{port['id']}"))["port"]
    assert (shown["binding:host_id"], shown["binding:vif_type"]) == ("h4", "ovs")


def test_moving_to_a_host_that_is_bound_already(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}"
    ok(api.put(path, json={"port": {"binding:profile": {"migrating_to": "h1"}}}))
    bind(api, f"{path}/bindings", "h1")
    moved = ok(api.put(path, json={"port": {"binding:host_id": "h1"}}))["port"]
    assert (moved["binding:host_id"], moved["binding:vif_type"]) == ("h1", "macvtap")
    assert hosts(api, port["id"]) == {"h1": "ACTIVE"}


def test_the_host_of_a_binding_stays(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    bind(api, path, "h1")
    for host in ("h1", "h4"):
        response = api.put(f"{path}/{host}", json={"binding": {"host": "h2"}})
        refused(response, 400, "HTTPBadRequest", "Cannot update read-only attribute host")
    assert hosts(api, port["id"]) == {"h1": "INACTIVE", "h4": "ACTIVE"}


def test_a_flat_binding_shows_no_vlan(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    assert bind(api, path, "h1")["vif_details"]["vlan"] == 100
    body = {"provider:network_type": "flat", "provider:physical_network": "physnet1"}
    flat = ok(api.post("networks", json={"network": body}), 201)["network"]
    for _ in range(2):
        made = make_port(api, flat["id"], **{"binding:host_id": "h1"})
        assert made["binding:vif_details"] == {
            "connectivity": "l2",
            "port_filter": False,
            "physical_interface": "eth1",
            "macvtap_source": "eth1",
            "macvtap_mode": "bridge",
            "bound_drivers": {"0": "macvtap"},
        }
    ahead = make_port(api, flat["id"])
    assert "vlan" not in bind(api, f"ports/{ahead['id']}/bindings", "h2")["vif_details"]


def test_a_port_that_is_not_bound_names_no_driver(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}"
    for host, vif_type in (("nohost", "binding_failed"), ("", "unbound")):
        moved = ok(api.put(path, json={"port": {"binding:host_id": host}}))["port"]
        assert (moved["binding:vif_type"], moved["binding:vif_details"]) == (vif_type, {})


def test_the_collection_of_bindings_is_not_deleted(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    for url in (path, f"{path}/"):
        refused(api.delete(url), 405, "HTTPMethodNotAllowed")
    assert hosts(api, port["id"]) == {"h4": "ACTIVE"}


def test_what_kedge_does_not_have(api: TestClient, network: dict[str, Any]) -> None:
    port = make_port(api, network["id"], security_groups=[], extra_dhcp_opts=[])
    assert (port["security_groups"], port["extra_dhcp_opts"]) == ([], [])
    for name in ("security_groups", "extra_dhcp_opts"):
        body = {"port": {"network_id": network["id"], name: [NOBODY]}}
        refused(api.post("ports", json=body), 400, "HTTPBadRequest", name, "Kedge does not have these")
    assert make_subnet(api, network["id"])["enable_dhcp"] is True
    path, name = f"networks/{network['id']}", "router:external"
    refused(api.put(path, json={"network": {name: True}}), 400, "HTTPBadRequest", name)
    assert ok(api.put(path, json={"network": {name: False}}))["network"][name] is False


def test_a_network_names_its_segment(api: TestClient) -> None:
    body = {"name": "blue"}
    refused(api.post("networks", json={"network": body}), 400, "InvalidInput", "vlan_ranges in [network]")
    body |= {"provider:network_type": "vxlan", "provider:physical_network": "physnet1"}
    refused(api.post("networks", json={"network": body}), 400, "HTTPBadRequest", "'flat' or 'vlan'")


def test_without_authentication_projects_are_names(api: TestClient) -> None:
    body = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}
    yours = ok(
        api.post("networks", json={"network": {**body, "tenant_id": "yours", "provider:segmentation_id": 8}}),
        201,
    )["network"]
    nobodys = ok(api.post("networks", json={"network": {**body, "provider:segmentation_id": 9}}), 201)[
        "network"
    ]
    mine = make_network(api, 7, project_id="mine")
    made = [yours, nobodys, mine]
    assert [each["project_id"] for each in made] == ["yours", "", "mine"]
    assert [each["tenant_id"] for each in made] == ["yours", "", "mine"]
    headers = {"X-Project-Id": "mine", "X-Roles": "member"}
    assert ok(api.get("networks", headers=headers))["networks"] == made
    assert ok(api.get("networks", params={"project_id": "yours"}))["networks"] == [yours]
    ok(api.delete(f"networks/{yours['id']}", headers=headers), 204)
