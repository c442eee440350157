"""Subnets over REST: allocation pools, gateways, routes and name servers."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from .network_world import World
from .rest_world import NOBODY, make_port, make_subnet, ok, refused

CIDR = "192.0.2.0/24"


def pool(start: str, end: str) -> dict[str, str]:
    return {"start": f"192.0.2.{start}", "end": f"192.0.2.{end}"}


def addresses(port: Any) -> list[str]:
    return [each["ip_address"] for each in port["fixed_ips"]]


def test_addresses_are_chosen_from_the_pools_only(api: TestClient, network: dict[str, Any]) -> None:
    made = make_subnet(api, network["id"], CIDR, allocation_pools=[pool("200", "201"), pool("20", "20")])
    assert made["allocation_pools"] == [pool("20", "20"), pool("200", "201")]
    assert [addresses(make_port(api, network["id"])) for _ in range(3)] == [
        ["192.0.2.20"],
        ["192.0.2.200"],
        ["192.0.2.201"],
    ]
    refused(
        api.post("ports", json={"port": {"network_id": network["id"]}}), 409, "IpAddressGenerationFailure"
    )
    outside = make_port(api, network["id"], fixed_ips=[{"ip_address": "192.0.2.77"}])
    assert addresses(outside) == ["192.0.2.77"], "an address outside of the pools can be asked for"


def test_pools_can_be_widened(api: TestClient, network: dict[str, Any]) -> None:
    made = make_subnet(api, network["id"], CIDR, allocation_pools=[])
    assert made["allocation_pools"] == []
    refused(
        api.post("ports", json={"port": {"network_id": network["id"]}}), 409, "IpAddressGenerationFailure"
    )
    body = {"allocation_pools": [pool("9", "9")]}
    changed = ok(api.put(f"subnets/{made['id']}", json={"subnet": body}))["subnet"]
    assert changed == made | body | {"revision_number": 1}
    assert addresses(make_port(api, network["id"])) == ["192.0.2.9"]


@pytest.mark.parametrize(
    ("pools", "error", "message"),
    [
        ([pool("9", "8")], (400, "InvalidAllocationPool"), "192.0.2.9-192.0.2.8 is not valid"),
        (
            [{"start": "192.0.2.9", "end": "2001:db8::9"}],
            (400, "InvalidAllocationPool"),
            "192.0.2.9-2001:db8::9",
        ),
        ([pool("9", "255")], (400, "OutOfBoundsAllocationPool"), f"spans beyond the subnet cidr {CIDR}"),
        ([{"start": "192.0.3.9", "end": "192.0.3.10"}], (400, "OutOfBoundsAllocationPool"), "192.0.3.9"),
        ([pool("9", "19"), pool("19", "20")], (409, "OverlappingAllocationPools"), "192.0.2.19-192.0.2.20"),
        ([pool("1", "19")], (409, "GatewayConflictWithAllocationPools"), "Gateway ip 192.0.2.1"),
        ([pool("x", "19")], (400, "InvalidInput"), "'192.0.2.x' is not an IP address"),
        ([{"start": "192.0.2.9"}], (400, "HTTPBadRequest"), "'end'"),
        ("192.0.2.9-192.0.2.10", (400, "HTTPBadRequest"), "allocation_pools"),
    ],
)
def test_pools_that_cannot_be_are_refused(
    api: TestClient, network: dict[str, Any], pools: Any, error: tuple[int, str], message: str
) -> None:
    body = {"network_id": network["id"], "cidr": CIDR, "allocation_pools": pools}
    refused(api.post("subnets", json={"subnet": body}), *error, message)
    assert ok(api.get("subnets"))["subnets"] == []
    made = make_subnet(api, network["id"], CIDR)
    path = f"subnets/{made['id']}"
    refused(api.put(path, json={"subnet": {"allocation_pools": pools}}), *error, message)
    assert ok(api.get(path))["subnet"] == made


def test_subnets_are_changed(api: TestClient, world: World, subnet: dict[str, Any]) -> None:
    world.pass_time(61)
    path = f"subnets/{subnet['id']}"
    body = {
        "name": "blue",
        "description": "of the lab",
        "gateway_ip": None,
        "enable_dhcp": True,
        "dns_nameservers": ["192.0.2.53", "192.0.2.54"],
        "host_routes": [{"destination": "198.51.100.0/24", "nexthop": "10.100.0.254"}],
    }
    changed = ok(api.put(path, json={"subnet": body}))["subnet"]
    assert changed == subnet | body | {"updated_at": "2026-11-23T12:01:01Z", "revision_number": 1}
    assert ok(api.get(path))["subnet"] == changed
    assert ok(api.get("subnets", params={"name": "blue"}))["subnets"] == [changed]
    emptied: dict[str, Any] = {"dns_nameservers": [], "host_routes": None}
    changed = ok(api.put(path, json={"subnet": emptied}))["subnet"]
    assert (changed["dns_nameservers"], changed["host_routes"], changed["name"]) == ([], [], "blue")
    for name in ("cidr", "network_id", "ip_version", "id", "tags"):
        message = f"Cannot update read-only attribute {name}"
        refused(api.put(path, json={"subnet": {name: subnet[name]}}), 400, "HTTPBadRequest", message)
    refused(api.put(f"subnets/{NOBODY}", json={"subnet": {}}), 404, "SubnetNotFound", NOBODY)


def test_a_gateway_is_an_address_that_no_port_gets(api: TestClient, network: dict[str, Any]) -> None:
    made = make_subnet(api, network["id"], CIDR, allocation_pools=[pool("9", "99")])
    path = f"subnets/{made['id']}"
    port = make_port(api, network["id"], fixed_ips=[{"ip_address": "192.0.2.100"}])
    for gateway, status, kind in (
        ("192.0.2.9", 409, "GatewayConflictWithAllocationPools"),
        ("192.0.2.100", 409, "GatewayIpInUse"),
        ("192.0.2.0", 400, "InvalidInput"),
        ("192.0.2.255", 400, "InvalidInput"),
        ("2001:db8::1", 400, "InvalidInput"),
        ("gateway", 400, "InvalidInput"),
    ):
        refused(api.put(path, json={"subnet": {"gateway_ip": gateway}}), status, kind, gateway)
    assert ok(api.get(path))["subnet"] == made
    ok(api.delete(f"ports/{port['id']}"), 204)
    changed = ok(api.put(path, json={"subnet": {"gateway_ip": "192.0.2.100"}}))["subnet"]
    assert (changed["gateway_ip"], changed["allocation_pools"]) == ("192.0.2.100", [pool("9", "99")])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"dns_nameservers": ["ns1.example.org"]}, "'ns1.example.org' is not an IP address"),
        ({"dns_nameservers": ["192.0.2.53", "192.0.2.53"]}, "twice"),
        ({"host_routes": [{"destination": "x", "nexthop": "192.0.2.9"}]}, "'x' is not a CIDR"),
        ({"host_routes": [{"destination": "198.51.100.0/24", "nexthop": "2001:db8::1"}]}, "IP version 4"),
        ({"host_routes": [{"destination": "::/0", "nexthop": "192.0.2.9"}]}, "IP version 4"),
        ({"host_routes": [{"destination": "198.51.100.0/24", "nexthop": "192.0.2.9"}] * 2}, "twice"),
    ],
)
def test_routes_and_name_servers_that_cannot_be_are_refused(
    api: TestClient, subnet: dict[str, Any], body: dict[str, Any], message: str
) -> None:
    refused(api.put(f"subnets/{subnet['id']}", json={"subnet": body}), 400, "InvalidInput", message)
    assert ok(api.get(f"subnets/{subnet['id']}"))["subnet"] == subnet


def test_an_ipv6_address_with_a_zone_is_none_of_a_port(api: TestClient, network: dict[str, Any]) -> None:
    make_subnet(api, network["id"], "fe80::/64")
    body = {"network_id": network["id"], "fixed_ips": [{"ip_address": "fe80::9%eth0"}]}
    refused(api.post("ports", json={"port": body}), 400, "InvalidInput", "zone")


@pytest.mark.parametrize(
    ("cidr", "reason"),
    [
        ("127.0.0.0/8", "loopback"),
        ("::1/128", "loopback"),
        ("224.0.0.0/16", "multicast"),
        ("ff02::/64", "multicast"),
        ("10.0.0.0/31", "its ends"),
        ("2001:db8::/127", "its ends"),
    ],
)
def test_a_subnet_that_dhcp_can_serve_nobody_of(
    api: TestClient, network: dict[str, Any], cidr: str, reason: str
) -> None:
    new = {"network_id": network["id"], "cidr": cidr}  # true is what it is if nothing is said
    refused(api.post("subnets", json={"subnet": new}), 400, "InvalidInput", cidr, reason)
    made = make_subnet(api, network["id"], cidr, enable_dhcp=False)
    path = f"subnets/{made['id']}"
    refused(api.put(path, json={"subnet": {"enable_dhcp": True}}), 400, "InvalidInput", cidr, reason)
    assert ok(api.get(path))["subnet"] == made
