"""The REST interface, held against what Neutron 29 was seen to answer: what is on offer, networks, subnets."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from .network_world import World
from .recorded import (
    RECORDED_NETWORK,
    RECORDED_SUBNET,
    same,
)
from .rest_world import make_port, ok, refused


def test_versions_are_discovered(api: TestClient) -> None:
    for url in ("http://testserver/network", "http://testserver/network/"):
        (version,) = ok(api.get(url))["versions"]
        assert (version["id"], version["status"]) == ("v2.0", "CURRENT")
        assert version["links"] == [{"rel": "self", "href": "http://testserver/network/v2.0/"}]
    resources = ok(api.get("http://testserver/network/v2.0"))["resources"]
    collections = {"networks", "subnets", "subnetpools", "ports", "agents"}
    assert {each["collection"] for each in resources} == collections


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
    refused(api.put(path, json={"network": {"mtu": 9000}}), 400, "HTTPBadRequest", "read-only attribute mtu")
    ok(api.delete(path), 204)
    refused(api.get(path), 404, "NetworkNotFound", f"Network {network['id']} could not be found.")


def test_a_network_with_ports_is_not_deleted(api: TestClient, network: dict[str, Any]) -> None:
    port = make_port(api, network["id"])
    refused(api.delete(f"networks/{network['id']}"), 409, "NetworkInUse", "1 port(s)", port["id"])
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
        ({"cidr": "2001:db8::/64"}, "2001:db8::", [("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff")]),
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


def test_unknown_paths_and_methods(api: TestClient, port: dict[str, Any]) -> None:
    refused(api.get("colours"), 404, "HTTPNotFound", "The resource could not be found.")
    answer = api.post(f"ports/{port['id']}/bindings/h1/activate")
    refused(answer, 405, "HTTPMethodNotAllowed")
    assert answer.headers["Allow"] == "PUT"
    assert api.patch(f"ports/{port['id']}").headers["Allow"] == "DELETE, GET, PUT"
    refused(api.put(f"ports/{port['id']}/bindings/h1/deactivate"), 404, "HTTPNotFound")
