"""The REST interface, held against what Neutron 29 was seen to answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from kedge.model.domain import VifState
from kedge.network.api import install_error_handlers, network_router

from .network_world import World, make_world

NOBODY = "11111111-2222-3333-4444-555555555555"
SERVER = "5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0001"

# The keys, in their order, and the values as recorded; Kedge has no security groups.
RECORDED_NETWORK = {
    "id": ...,
    "name": "sample-vlan100",
    "tenant_id": "p1",
    "project_id": "p1",
    "admin_state_up": True,
    "mtu": 1500,
    "status": "ACTIVE",
    "subnets": [],
    "shared": False,
    "router:external": False,
    "provider:network_type": "vlan",
    "provider:physical_network": "physnet1",
    "provider:segmentation_id": 100,
    "availability_zone_hints": [],
    "availability_zones": [],
    "ipv4_address_scope": None,
    "ipv6_address_scope": None,
    "description": "",
    "tags": [],
    "created_at": "2026-11-23T12:00:00Z",
    "updated_at": "2026-11-23T12:00:00Z",
    "revision_number": 1,
}
RECORDED_SUBNET = {
    "id": ...,
    "name": "",
    "project_id": "p1",
    "network_id": ...,
    "ip_version": 4,
    "subnetpool_id": None,
    "enable_dhcp": False,
    "ipv6_ra_mode": None,
    "ipv6_address_mode": None,
    "gateway_ip": "10.100.0.1",
    "cidr": "10.100.0.0/16",
    "allocation_pools": [{"start": "10.100.0.2", "end": "10.100.255.254"}],
    "host_routes": [],
    "dns_nameservers": [],
    "description": "",
    "router:external": False,
    "service_types": [],
    "tags": [],
    "created_at": "2026-11-23T12:00:00Z",
    "updated_at": "2026-11-23T12:00:00Z",
    "revision_number": 0,
    "tenant_id": "p1",
}
OVS_DETAILS = {
    "connectivity": "l2",
    "port_filter": True,
    "ovs_hybrid_plug": True,
    "ovs_create_tap": True,
    "datapath_type": "system",
    "bridge_name": "br-int",
}
MACVTAP_DETAILS = {
    "connectivity": "l2",
    "port_filter": False,
    "vlan": 100,
    "physical_interface": "eth1",
    "macvtap_source": "eth1.100",
    "macvtap_mode": "bridge",
}
RECORDED_PORT = {
    "id": ...,
    "name": "",
    "network_id": ...,
    "project_id": "p1",
    "mac_address": ...,
    "admin_state_up": True,
    "status": "DOWN",
    "device_id": "vm-a",
    "device_owner": "compute:nova",
    "fixed_ips": [{"subnet_id": ..., "ip_address": "10.100.0.2"}],
    "allowed_address_pairs": [],
    "extra_dhcp_opts": [],
    "security_groups": [],
    "description": "",
    "binding:vnic_type": "normal",
    "binding:profile": {},
    "binding:host_id": "h4",
    "binding:vif_type": "ovs",
    "binding:vif_details": {**OVS_DETAILS, "bound_drivers": {"0": "openvswitch"}},
    "tags": [],
    "created_at": "2026-11-23T12:00:00Z",
    "updated_at": "2026-11-23T12:00:00Z",
    "revision_number": ...,
    "tenant_id": "p1",
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with make_world(tmp_path) as world:
        yield world


@pytest.fixture
def api(world: World) -> Iterator[TestClient]:
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(network_router(world.service))
    with TestClient(app, base_url="http://testserver/network/v2.0/", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def network(api: TestClient) -> Any:
    body = {
        "name": "sample-vlan100",
        "project_id": "p1",
        "provider:network_type": "vlan",
        "provider:physical_network": "physnet1",
        "provider:segmentation_id": 100,
    }
    return ok(api.post("networks", json={"network": body}), 201)["network"]


@pytest.fixture
def subnet(api: TestClient, network: dict[str, Any]) -> Any:
    body = {"network_id": network["id"], "project_id": "p1", "ip_version": 4, "cidr": "10.100.0.0/16"}
    return ok(api.post("subnets", json={"subnet": {**body, "enable_dhcp": False}}), 201)["subnet"]


@pytest.fixture
def port(api: TestClient, subnet: dict[str, Any]) -> Any:
    return make_port(api, subnet["network_id"])


def make_port(api: TestClient, network_id: str, **changes: Any) -> Any:
    body = {"network_id": network_id, "project_id": "p1", "device_id": "vm-a", "device_owner": "compute:nova"}
    return ok(api.post("ports", json={"port": {**body, "binding:host_id": "h4", **changes}}), 201)["port"]


def ok(response: Any, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json() if response.content else None


def refused(response: Any, status: int, kind: str, *message: str) -> None:
    assert response.status_code == status, response.text
    body = response.json()
    assert list(body) == ["NeutronError"]
    error = body["NeutronError"]
    assert list(error) == ["type", "message", "detail"]
    assert error["type"] == kind
    for part in message:
        assert part in error["message"]


def same(shown: Any, recorded: Any) -> None:
    """The same keys in the same order and the same values; `...` in the record stands for any."""
    if recorded is ...:
        return
    if isinstance(recorded, dict):
        assert list(shown) == list(recorded)
        for key, value in recorded.items():
            same(shown[key], value)
    elif isinstance(recorded, list):
        assert len(shown) == len(recorded)
        for one, other in zip(shown, recorded, strict=True):
            same(one, other)
    else:
        assert shown == recorded


def binding(host: str, status: str, vif_type: str, details: dict[str, Any], **profile: Any) -> dict[str, Any]:
    return {
        "host": host,
        "vif_type": vif_type,
        "vnic_type": "normal",
        "status": status,
        "profile": profile,
        "vif_details": details,
    }


def hosts(api: TestClient, port_id: str) -> dict[str, str]:
    return {each["host"]: each["status"] for each in ok(api.get(f"ports/{port_id}/bindings"))["bindings"]}


def test_versions_are_discovered(api: TestClient) -> None:
    for url in ("http://testserver/network", "http://testserver/network/"):
        (version,) = ok(api.get(url))["versions"]
        assert (version["id"], version["status"]) == ("v2.0", "CURRENT")
        assert version["links"] == [{"rel": "self", "href": "http://testserver/network/v2.0/"}]
    resources = ok(api.get("http://testserver/network/v2.0"))["resources"]
    assert {each["collection"] for each in resources} == {"networks", "subnets", "ports", "agents"}


def test_extensions_are_listed(api: TestClient) -> None:
    listed = ok(api.get("extensions"))["extensions"]
    assert {"binding", "binding-extended", "provider", "agent"} <= {each["alias"] for each in listed}
    assert ok(api.get("extensions/binding-extended"))["extension"]["alias"] == "binding-extended"
    refused(api.get("extensions/flying"), 404, "HTTPNotFound")


def test_a_network_is_shown_as_neutron_shows_it(api: TestClient, network: dict[str, Any]) -> None:
    same(network, RECORDED_NETWORK)
    assert ok(api.get(f"networks/{network['id']}"))["network"] == network
    assert ok(api.get("networks"))["networks"] == [network]


def test_networks_are_changed_and_deleted(api: TestClient, world: World, network: dict[str, Any]) -> None:
    world.pass_time(61)
    path = f"networks/{network['id']}"
    changed = ok(api.put(path, json={"network": {"name": "blue"}}))["network"]
    changes = {"name": "blue", "updated_at": "2026-11-23T12:01:01Z", "revision_number": 2}
    assert changed == network | changes
    refused(api.put(path, json={"network": {"mtu": 9000}}), 400, "HTTPBadRequest", "attribute(s) 'mtu'")
    ok(api.delete(path), 204)
    refused(api.get(path), 404, "NetworkNotFound", f"Network {network['id']} could not be found.")


def test_a_network_with_ports_is_not_deleted(api: TestClient, network: dict[str, Any]) -> None:
    port = make_port(api, network["id"])
    refused(api.delete(f"networks/{network['id']}"), 409, "NetworkInUse", "1 port(s)")
    ok(api.delete(f"ports/{port['id']}"), 204)
    ok(api.delete(f"networks/{network['id']}"), 204)


@pytest.mark.parametrize(
    ("changes", "status", "kind"),
    [
        ({"provider:network_type": "vxlan"}, 400, "HTTPBadRequest"),
        ({"provider:segmentation_id": None}, 400, "InvalidInput"),
        ({"provider:segmentation_id": 4095}, 400, "InvalidInput"),
        ({"provider:network_type": "flat"}, 400, "InvalidInput"),
        ({"provider:physical_network": ""}, 400, "InvalidInput"),
        ({"mtu": 40}, 400, "InvalidInput"),
        ({"provider:segmentation_id": 100}, 409, "VlanIdInUse"),
    ],
)
def test_a_network_that_cannot_be_is_refused(
    api: TestClient, network: dict[str, Any], changes: dict[str, Any], status: int, kind: str
) -> None:
    body = {
        "provider:network_type": "vlan",
        "provider:physical_network": "physnet1",
        "provider:segmentation_id": 200,
    }
    refused(api.post("networks", json={"network": body | changes}), status, kind)
    assert ok(api.get("networks"))["networks"] == [network]


def test_a_subnet_is_shown_as_neutron_shows_it(api: TestClient, subnet: dict[str, Any]) -> None:
    same(subnet, RECORDED_SUBNET)
    assert ok(api.get("subnets", params={"network_id": subnet["network_id"]}))["subnets"] == [subnet]
    assert ok(api.get(f"subnets/{subnet['id']}"))["subnet"] == subnet
    shown = ok(api.get(f"networks/{subnet['network_id']}"))["network"]
    assert shown["subnets"] == [subnet["id"]]
    overlap = {"network_id": subnet["network_id"], "cidr": "10.100.7.0/24"}
    refused(api.post("subnets", json={"subnet": overlap}), 400, "InvalidInput", "overlaps")
    refused(api.post("subnets", json={"subnet": overlap | {"cidr": "x"}}), 400, "InvalidInput", "not a CIDR")


@pytest.mark.parametrize(
    ("given", "shown", "pools"),
    [
        ({"cidr": "192.0.2.0/24"}, "192.0.2.1", [("192.0.2.2", "192.0.2.254")]),
        ({"cidr": "192.0.2.0/24", "gateway_ip": None}, None, [("192.0.2.1", "192.0.2.254")]),
        (
            {"cidr": "192.0.2.0/24", "gateway_ip": "192.0.2.9"},
            "192.0.2.9",
            [("192.0.2.1", "192.0.2.8"), ("192.0.2.10", "192.0.2.254")],
        ),
        (
            {"cidr": "192.0.2.0/24", "gateway_ip": "192.0.2.254"},
            "192.0.2.254",
            [("192.0.2.1", "192.0.2.253")],
        ),
        ({"cidr": "192.0.2.8/30"}, "192.0.2.9", [("192.0.2.10", "192.0.2.10")]),
        ({"cidr": "2001:db8::/64"}, "2001:db8::1", [("2001:db8::2", "2001:db8::ffff:ffff:ffff:ffff")]),
    ],
)
def test_the_pools_of_a_subnet_leave_the_gateway_out(
    api: TestClient,
    network: dict[str, Any],
    given: dict[str, Any],
    shown: str | None,
    pools: list[tuple[str, str]],
) -> None:
    body = {"network_id": network["id"], **given}
    made = ok(api.post("subnets", json={"subnet": body}), 201)["subnet"]
    assert made["gateway_ip"] == shown
    assert made["allocation_pools"] == [{"start": first, "end": last} for first, last in pools]


def test_ports_get_addresses_until_none_is_left(api: TestClient, network: dict[str, Any]) -> None:
    for cidr in ("192.0.2.8/29", "2001:db8::/64"):
        ok(api.post("subnets", json={"subnet": {"network_id": network["id"], "cidr": cidr}}), 201)
    made = [make_port(api, network["id"]) for _ in range(5)]
    given = [[each["ip_address"] for each in port["fixed_ips"]] for port in made]
    assert given == [[f"192.0.2.{9 + n}", f"2001:db8::{1 + n:x}"] for n in range(1, 6)]
    body = {"network_id": network["id"]}
    refused(api.post("ports", json={"port": body}), 409, "IpAddressGenerationFailure")
    ok(api.delete(f"ports/{made[2]['id']}"), 204)
    assert make_port(api, network["id"])["fixed_ips"][0]["ip_address"] == "192.0.2.12"


def test_ports_get_the_addresses_they_ask_for(api: TestClient, subnet: dict[str, Any]) -> None:
    network_id = subnet["network_id"]
    port = make_port(api, network_id, fixed_ips=[{"ip_address": "10.100.9.9"}])
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.100.9.9"}]
    assert make_port(api, network_id, fixed_ips=[])["fixed_ips"] == []
    for address, status, kind in (
        ("10.100.9.9", 409, "IpAddressInUse"),
        ("10.101.0.1", 400, "InvalidIpForNetwork"),
        ("10.100.9", 400, "InvalidInput"),
    ):
        body = {"network_id": network_id, "fixed_ips": [{"ip_address": address}]}
        refused(api.post("ports", json={"port": body}), status, kind, address)
    changed = ok(api.put(f"ports/{port['id']}", json={"port": {"fixed_ips": [{"subnet_id": subnet["id"]}]}}))
    assert changed["port"]["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.100.0.2"}]
    refused(api.delete(f"subnets/{subnet['id']}"), 409, "SubnetInUse")


def test_a_port_is_shown_as_neutron_shows_it(api: TestClient, port: dict[str, Any]) -> None:
    same(port, RECORDED_PORT)
    assert ok(api.get(f"ports/{port['id']}"))["port"] == port
    assert ok(api.get("ports"))["ports"] == [port]


def test_a_port_on_a_host_that_cannot_bind_is_binding_failed(
    api: TestClient, network: dict[str, Any]
) -> None:
    port = make_port(api, network["id"], **{"binding:host_id": "nohost"})
    assert (port["binding:host_id"], port["binding:vif_type"]) == ("nohost", "binding_failed")
    assert port["binding:vif_details"] == {}
    moved = ok(api.put(f"ports/{port['id']}", json={"port": {"binding:host_id": "h1"}}))["port"]
    assert (moved["binding:host_id"], moved["binding:vif_type"]) == ("h1", "macvtap")
    assert hosts(api, port["id"]) == {"h1": "ACTIVE"}


def test_an_unbound_port_is_shown_as_unbound(api: TestClient, network: dict[str, Any]) -> None:
    port = make_port(api, network["id"], **{"binding:host_id": "", "binding:profile": {"a": 1}})
    shown = {key: value for key, value in port.items() if key.startswith("binding:")}
    assert shown == {
        "binding:vnic_type": "normal",
        "binding:profile": {"a": 1},
        "binding:host_id": "",
        "binding:vif_type": "unbound",
        "binding:vif_details": {},
    }
    made = ok(api.post(f"ports/{port['id']}/bindings", json={"binding": {"host": "h1"}}), 201)["binding"]
    assert made == binding("h1", "ACTIVE", "macvtap", MACVTAP_DETAILS, a=1)


def test_ports_are_changed(api: TestClient, world: World, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}"
    world.pass_time(1)
    body = {"name": "eth0", "device_id": SERVER, "allowed_address_pairs": [{"ip_address": "10.0.0.0/8"}]}
    changed = ok(api.put(path, json={"port": body}))["port"]
    assert changed == port | body | {
        "updated_at": "2026-11-23T12:00:01Z",
        "revision_number": port["revision_number"] + 1,
    }
    refused(api.put(path, json={"port": {"mac_address": "fa:16:3e:0:0"}}), 400, "InvalidInput")
    refused(api.put(path, json={"port": {"mac_address": "fa:16:3e:00:00:01"}}), 409, "PortBoundMac")
    ok(api.put(path, json={"port": {"binding:host_id": ""}}))
    body = {"mac_address": "FA:16:3E:00:00:01"}
    assert ok(api.put(path, json={"port": body}))["port"]["mac_address"] == "fa:16:3e:00:00:01"
    refused(api.put(path, json={"port": {"status": "ACTIVE"}}), 400, "HTTPBadRequest", "'status'")


def test_moving_a_port_by_its_host_id(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}"
    ok(api.put(path, json={"port": {"binding:profile": {"migrating_to": "h1", "keep": "me"}}}))
    ok(api.post(f"{path}/bindings", json={"binding": {"host": "h1"}}), 201)
    moved = ok(api.put(path, json={"port": {"binding:host_id": "h1"}}))["port"]
    assert (moved["binding:host_id"], moved["binding:vif_type"]) == ("h1", "macvtap")
    assert moved["binding:profile"] == {"keep": "me"}
    assert hosts(api, port["id"]) == {"h1": "ACTIVE"}
    moved = ok(api.put(path, json={"port": {"binding:host_id": None}}))["port"]
    assert (moved["binding:host_id"], moved["binding:vif_type"]) == ("", "unbound")
    assert hosts(api, port["id"]) == {}


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


def test_activating_the_source_again_binds_it_fully(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    ok(api.post(path, json={"binding": {"host": "h1"}}), 201)
    ok(api.put(f"{path}/h1/activate"))
    assert ok(api.put(f"{path}/h4/activate")) == binding("h4", "ACTIVE", "ovs", OVS_DETAILS)
    ok(api.delete(f"{path}/h4"), 204)
    assert ok(api.put(f"{path}/h1/activate"))["status"] == "ACTIVE", "also when nothing was ACTIVE"


def test_profiles_of_bindings_are_merged(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    body = {"host": "h1", "vnic_type": "normal", "profile": {"migrating_to": "h1"}}
    made = ok(api.post(path, json={"binding": body}), 201)["binding"]
    assert made == binding("h1", "INACTIVE", "macvtap", MACVTAP_DETAILS, migrating_to="h1")
    changed = ok(api.put(f"{path}/h1", json={"binding": {"profile": {"k": "v"}}}))["binding"]
    assert changed["profile"] == {"migrating_to": "h1", "k": "v"}
    changed = ok(api.put(f"{path}/h1", json={"binding": {"profile": {"migrating_to": None}}}))["binding"]
    assert changed["profile"] == {"k": "v"}
    assert ok(api.get(f"{path}/h4"))["binding"]["profile"] == {}


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
    refused(api.post(path, json={"binding": direct}), 409, "PortBindingError", "macvtap: vnic_type 'direct'")
    refused(
        api.post(path, json={"binding": {"host": "nohost"}}), 409, "PortBindingError", "No agent has reported"
    )
    refused(api.post(path, json={"binding": {"host": "h6"}}), 409, "PortBindingError", "(mapped: physnet2)")
    world.pass_time(16)
    refused(api.post(path, json={"binding": {"host": "h2"}}), 409, "PortBindingError", "h2 is dead")
    assert hosts(api, port["id"]) == {"h4": "ACTIVE", "h1": "INACTIVE"}


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
        refused(response, 400, "HTTPBadRequest", f"Bad port request: Invalid port {port_id}.")


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


def test_unknown_paths_and_methods(api: TestClient, port: dict[str, Any]) -> None:
    refused(api.get("colours"), 404, "HTTPNotFound", "The resource could not be found.")
    refused(api.post(f"ports/{port['id']}/bindings/h1/activate"), 405, "HTTPMethodNotAllowed")
    refused(api.put(f"ports/{port['id']}/bindings/h1/deactivate"), 404, "HTTPNotFound")


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


def test_lists_are_filtered_sorted_and_cut(api: TestClient, subnet: dict[str, Any]) -> None:
    network_id = subnet["network_id"]
    made = {name: make_port(api, network_id, name=name, device_id=f"vm-{name}") for name in ("b", "c", "a")}
    make_port(api, network_id, name="d", **{"binding:host_id": ""})

    def names(**query: Any) -> list[str]:
        return [each["name"] for each in ok(api.get("ports", params=query))["ports"]]

    assert names() == ["b", "c", "a", "d"]
    assert names(device_id="vm-c") == ["c"]
    assert names(name=["a", "b"]) == ["b", "a"]
    assert names(id=made["c"]["id"], name="a") == []
    assert names(**{"binding:host_id": "h4"}) == ["b", "c", "a"]
    assert names(mac_address=made["a"]["mac_address"].upper()) == ["a"]
    assert names(admin_state_up="True", status="DOWN", device_owner="compute:nova") == ["b", "c", "a", "d"]
    assert names(admin_state_up="false") == []
    assert names(fixed_ips=f"ip_address={made['c']['fixed_ips'][0]['ip_address']}") == ["c"]
    assert names(fixed_ips=f"subnet_id={subnet['id']}", sort_key="name", sort_dir="desc") == [
        "d",
        "c",
        "b",
        "a",
    ]
    assert names(sort_key="name", limit=2) == ["a", "b"]
    assert names(sort_key="name", limit=2, marker=made["b"]["id"]) == ["c", "d"]
    assert names(sort_key="name", limit=1, marker=made["c"]["id"], page_reverse="True") == ["b"]
    fields = ok(api.get(f"ports/{made['a']['id']}", params={"fields": ["name", "status"]}))["port"]
    assert fields == {"status": "DOWN", "name": "a"}
    refused(
        api.get("ports", params={"colour": "red"}), 400, "HTTPBadRequest", "['colour'] is invalid attribute"
    )
    refused(api.get("ports", params={"limit": "-1"}), 400, "HTTPBadRequest", "limit")
    refused(api.get("ports", params={"marker": NOBODY}), 400, "HTTPBadRequest", "marker")
    refused(api.get("ports", params={"sort_key": "colour"}), 400, "HTTPBadRequest", "sort key")


def test_agents(api: TestClient, world: World) -> None:
    listed = {each["host"]: each for each in ok(api.get("agents"))["agents"]}
    assert set(listed) == {"h1", "h2", "h3", "h4", "h5", "h6"}
    one = listed["h4"]
    assert (one["agent_type"], one["binary"]) == ("Open vSwitch agent", "neutron-openvswitch-agent")
    assert one["configurations"]["bridge_mappings"] == {"physnet1": "br-physnet1"}
    assert one["configurations"]["ovs_hybrid_plug"] is True
    assert one["heartbeat_timestamp"] == "2026-11-23 12:00:00"
    assert listed["h2"]["configurations"] == {"interface_mappings": {"physnet1": "ens5"}}
    macvtaps = ok(api.get("agents", params={"agent_type": "Macvtap agent", "fields": "host"}))["agents"]
    assert macvtaps == [{"host": "h1"}, {"host": "h2"}]
    world.pass_time(20)
    world.report("h4")
    assert [each["host"] for each in ok(api.get("agents", params={"alive": "True"}))["agents"]] == ["h4"]
    shown = ok(api.get(f"agents/{one['id']}"))["agent"]
    assert shown == one | {"heartbeat_timestamp": "2026-11-23 12:00:20"}, "its id stays"
    ok(api.delete(f"agents/{one['id']}"), 204)
    refused(api.get(f"agents/{one['id']}"), 404, "AgentNotFound")
    world.report("h4")
    assert len(ok(api.get("agents", params={"host": "h4"}))["agents"]) == 1
