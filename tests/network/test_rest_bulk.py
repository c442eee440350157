"""Several networks, subnets or ports made by one request: all of them or none."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from .rest_world import NOBODY, make_subnet, ok, refused

VLAN = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}


def test_networks(api: TestClient) -> None:
    body = [{**VLAN, "name": f"net-{vlan}", "provider:segmentation_id": vlan} for vlan in (7, 8)]
    made = ok(api.post("networks", json={"networks": body}), 201)
    assert list(made) == ["networks"]
    assert [(each["name"], each["provider:segmentation_id"]) for each in made["networks"]] == [
        ("net-7", 7),
        ("net-8", 8),
    ]
    assert ok(api.get("networks")) == made
    clash = [{**VLAN, "provider:segmentation_id": vlan} for vlan in (9, 9)]
    refused(api.post("networks", json={"networks": clash}), 409, "VlanIdInUse", "VLAN 9")
    assert ok(api.get("networks")) == made


def test_subnets(api: TestClient, network: dict[str, Any]) -> None:
    body = [{"network_id": network["id"], "cidr": f"10.{number}.0.0/24"} for number in (1, 2)]
    made = ok(api.post("subnets", json={"subnets": body}), 201)["subnets"]
    assert [each["cidr"] for each in made] == ["10.1.0.0/24", "10.2.0.0/24"]
    assert ok(api.get(f"networks/{network['id']}"))["network"]["subnets"] == [each["id"] for each in made]
    overlap = [{"network_id": network["id"], "cidr": f"10.{number}.0.0/24"} for number in (3, 3)]
    refused(api.post("subnets", json={"subnets": overlap}), 400, "InvalidInput", "overlaps")
    assert len(ok(api.get("subnets"))["subnets"]) == 2


def test_ports(api: TestClient, network: dict[str, Any]) -> None:
    make_subnet(api, network["id"], "192.0.2.0/24")
    body = [
        {"network_id": network["id"], "name": name, "tags": [name], "binding:host_id": "h1"} for name in "ab"
    ]
    made = ok(api.post("ports", json={"ports": body}), 201)["ports"]
    assert [(each["name"], each["tags"], each["binding:vif_type"]) for each in made] == [
        ("a", ["a"], "macvtap"),
        ("b", ["b"], "macvtap"),
    ]
    assert [each["fixed_ips"][0]["ip_address"] for each in made] == ["192.0.2.2", "192.0.2.3"]


@pytest.mark.parametrize(
    ("bad", "status", "kind"),
    [
        ({"network_id": NOBODY}, 404, "NetworkNotFound"),
        ({"network_id": "x"}, 400, "HTTPBadRequest"),
        ({"fixed_ips": [{"ip_address": "198.51.100.1"}]}, 400, "InvalidIpForNetwork"),
        ({"mac_address": "fa:16:3e:00:00:01"}, 409, "MacAddressInUse"),
        ({"colour": "red"}, 400, "HTTPBadRequest"),
    ],
)
def test_one_bad_port_is_none_at_all(
    api: TestClient, network: dict[str, Any], bad: dict[str, Any], status: int, kind: str
) -> None:
    good = {"network_id": network["id"]}
    body = [good | {"mac_address": "fa:16:3e:00:00:01"}, good | bad, good]
    refused(api.post("ports", json={"ports": body}), status, kind)
    assert ok(api.get("ports"))["ports"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"ports": []},
        {"ports": {}},
        {"ports": None},
        {},
        {"port": {}, "ports": []},
        {"ports": [5]},
        {"ports": [None]},
    ],
)
def test_bodies_that_are_neither_one_nor_many(api: TestClient, body: Any) -> None:
    refused(api.post("ports", json=body), 400, "HTTPBadRequest")


def test_more_than_a_thousand_are_too_many(api: TestClient, network: dict[str, Any]) -> None:
    body = [{"network_id": network["id"]}] * 1001
    refused(api.post("ports", json={"ports": body}), 400, "HTTPBadRequest", "at most 1000 items")
    assert ok(api.get("ports"))["ports"] == []


def test_bindings_are_made_one_by_one(api: TestClient, port: dict[str, Any]) -> None:
    body = {"bindings": [{"host": "h5"}]}
    refused(
        api.post(f"ports/{port['id']}/bindings", json=body),
        400,
        "HTTPBadRequest",
        "Bulk operation not supported",
    )
