"""Ports over REST, held against what Neutron 29 was seen to answer."""

from typing import Any

from fastapi.testclient import TestClient

from .network_world import World
from .recorded import (
    MACVTAP_DETAILS,
    RECORDED_PORT,
    binding,
    same,
)
from .rest_world import NOBODY, SERVER, hosts, make_port, ok, refused


def test_ports_get_addresses_until_none_is_left(api: TestClient, network: dict[str, Any]) -> None:
    for cidr in ("192.0.2.8/29", "2001:db8::/64"):
        ok(api.post("subnets", json={"subnet": {"network_id": network["id"], "cidr": cidr}}), 201)
    made = [make_port(api, network["id"]) for _ in range(5)]
    given = [[each["ip_address"] for each in port["fixed_ips"]] for port in made]
    assert given == [[f"192.0.2.{9 + n}", f"2001:db8::{n:x}"] for n in range(1, 6)]
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
        ("10.100.0.0", 400, "InvalidIpForNetwork"),
        ("10.100.255.255", 400, "InvalidIpForNetwork"),
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
    assert made == binding("h1", "INACTIVE", "macvtap", MACVTAP_DETAILS, a=1)


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
    refused(
        api.put(path, json={"port": {"status": "ACTIVE"}}),
        400,
        "HTTPBadRequest",
        "read-only attribute status",
    )


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
    assert hosts(api, port["id"]) == {"": "ACTIVE"}


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
