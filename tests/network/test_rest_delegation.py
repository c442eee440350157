"""Subnets of IPv6 whose prefix is not known when they are made."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from .rest_world import make_port, make_subnet, ok, refused

PREFIX = "2001:db8:0:1::/64"
MAC, IDENTIFIER = "34:56:78:9a:bc:de", "3656:78ff:fe9a:bcde"  # RFC 2464, section 4
ADDRESS = f"2001:db8:0:1:{IDENTIFIER}"
SLAAC = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
DELEGATED = {"ip_version": 6, "subnetpool_id": "prefix_delegation", **SLAAC}


def made(api: TestClient, network_id: str, **changes: Any) -> Any:
    body = {"network_id": network_id, "project_id": "p1", **DELEGATED, **changes}
    return ok(api.post("subnets", json={"subnet": body}), 201)["subnet"]


def told(api: TestClient, subnet: Any, prefix: str = PREFIX, **changes: Any) -> Any:
    return api.put(f"subnets/{subnet['id']}", json={"subnet": {"cidr": prefix, **changes}})


def fixed_ips(api: TestClient, port: Any) -> Any:
    return ok(api.get(f"ports/{port['id']}"))["port"]["fixed_ips"]


def test_until_the_prefix_is_known_it_is_a_provisional_one(api: TestClient, network: dict[str, Any]) -> None:
    subnet = made(api, network["id"])
    assert (subnet["cidr"], subnet["gateway_ip"], subnet["subnetpool_id"]) == (
        "::/64",
        "::",
        "prefix_delegation",
    )
    assert ok(api.get("subnets?subnetpool_id=prefix_delegation"))["subnets"] == [subnet]
    port = make_port(api, network["id"], mac_address=MAC)
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": f"::{IDENTIFIER}"}]


def test_ports_have_addresses_of_the_prefix_as_soon_as_it_is_known(
    api: TestClient, subnet: dict[str, Any]
) -> None:
    delegated = made(api, subnet["network_id"])
    port = make_port(api, subnet["network_id"], mac_address=MAC)
    without = make_port(
        api, subnet["network_id"], fixed_ips=[{"subnet_id": delegated["id"], "delete_subnet": True}]
    )
    shown = ok(told(api, delegated))["subnet"]
    assert (shown["cidr"], shown["gateway_ip"]) == (PREFIX, "2001:db8:0:1::1")
    assert shown["allocation_pools"] == [
        {"start": "2001:db8:0:1::2", "end": "2001:db8:0:1:ffff:ffff:ffff:ffff"}
    ]
    assert shown["revision_number"] > delegated["revision_number"]
    assert fixed_ips(api, port) == [
        port["fixed_ips"][0],
        {"subnet_id": delegated["id"], "ip_address": ADDRESS},
    ]
    assert fixed_ips(api, without) == []
    again = ok(told(api, delegated, "2001:db8:0:2::/64"))["subnet"]
    assert fixed_ips(api, port)[1]["ip_address"] == ADDRESS.replace(":1:", ":2:", 1)
    assert ok(api.get(f"subnets/{again['id']}"))["subnet"] == again


def test_a_router_has_the_gateways_address(api: TestClient, network: dict[str, Any]) -> None:
    subnet = made(api, network["id"], gateway_ip="::1")
    fixed = [{"subnet_id": subnet["id"], "ip_address": "::1"}]
    owner = {"device_owner": "network:router_interface", "device_id": "r1", "binding:host_id": ""}
    router = make_port(api, network["id"], fixed_ips=fixed, **owner)
    ok(told(api, subnet))
    assert [each["ip_address"] for each in fixed_ips(api, router)] == ["2001:db8:0:1::1"]


def test_an_address_that_another_has_is_not_taken_from_it(api: TestClient, network: dict[str, Any]) -> None:
    subnet = made(api, network["id"])
    owner = {"device_owner": "network:router_interface", "binding:host_id": ""}
    routers = [
        make_port(
            api,
            network["id"],
            device_id=name,
            fixed_ips=[{"subnet_id": subnet["id"], "ip_address": address}],
            **owner,
        )
        for name, address in (("r1", "::a"), ("r2", "::b"))
    ]
    refused(told(api, subnet), 409, "IpAddressInUse", "2001:db8:0:1::1")
    assert ok(api.get(f"subnets/{subnet['id']}"))["subnet"] == subnet
    assert [fixed_ips(api, each) for each in routers] == [each["fixed_ips"] for each in routers]


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"cidr": PREFIX}, "HTTPBadRequest", "leave them out"),
        ({"allocation_pools": [{"start": "::2", "end": "::3"}]}, "HTTPBadRequest", "leave them out"),
        ({"ip_version": 4}, "HTTPBadRequest", "IPv6"),
        ({"ipv6_ra_mode": None}, "HTTPBadRequest", "ipv6_ra_mode must be slaac"),
        ({"ipv6_address_mode": "dhcpv6-stateful"}, "HTTPBadRequest", "ipv6_address_mode must be slaac"),
        ({"ipv6_ra_mode": "dhcpv6-stateless"}, "InvalidInput", "don't go together"),
        ({"gateway_ip": "10.0.0.1"}, "InvalidInput", "not of the IP version"),
        ({"subnetpool_id": "somewhere"}, "HTTPBadRequest", "subnetpool_id"),
        ({"subnetpool_id": None}, "InvalidInput", "needs a cidr"),
    ],
)
def test_what_cannot_be_delegated(
    api: TestClient, network: dict[str, Any], changes: dict[str, Any], kind: str, message: str
) -> None:
    body = {"network_id": network["id"], **DELEGATED, **changes}
    refused(api.post("subnets", json={"subnet": body}), 400, kind, message)
    assert ok(api.get("subnets")) == {"subnets": []}


@pytest.mark.parametrize(
    ("prefix", "changes", "message"),
    [
        ("2001:db8::/56", {}, "no /64"),
        ("10.0.0.0/24", {}, "IP version 4"),
        ("::/64", {}, "begins with ::"),
        (PREFIX, {"gateway_ip": "2001:db8:0:1::9"}, "afterwards"),
        (PREFIX, {"allocation_pools": []}, "afterwards"),
    ],
)
def test_what_is_no_prefix(
    api: TestClient, network: dict[str, Any], prefix: str, changes: dict[str, Any], message: str
) -> None:
    subnet = made(api, network["id"])
    refusal = told(api, subnet, prefix, **changes)
    refused(refusal, 400, "HTTPBadRequest" if changes else "InvalidInput", message)
    assert ok(api.get(f"subnets/{subnet['id']}"))["subnet"] == subnet


def test_the_block_of_any_other_subnet_stays(api: TestClient, subnet: dict[str, Any]) -> None:
    refused(told(api, subnet, "10.7.0.0/16"), 400, "HTTPBadRequest", "read-only attribute cidr")


def test_one_network_has_its_blocks_of_a_version_from_one_place(
    api: TestClient, network: dict[str, Any]
) -> None:
    made(api, network["id"])
    named = {"network_id": network["id"], "cidr": PREFIX}
    kind = "NetworkSubnetPoolAffinityError"
    refused(api.post("subnets", json={"subnet": named}), 400, kind, network["id"])
    refused(api.post("subnets", json={"subnet": {**DELEGATED, **named, "cidr": None}}), 400, "HTTPBadRequest")
    make_subnet(api, network["id"])  # of the other version


def test_a_second_subnet_waits_for_the_prefix_of_the_first(api: TestClient, network: dict[str, Any]) -> None:
    first = made(api, network["id"])
    body = {"network_id": network["id"], "project_id": "p1", **DELEGATED}
    refused(api.post("subnets", json={"subnet": body}), 400, "InvalidInput", first["id"])
    ok(told(api, first))
    second = made(api, network["id"])
    refused(told(api, second), 400, "InvalidInput", "overlaps", first["id"])
    port = make_port(api, network["id"], mac_address=MAC)
    assert [each["ip_address"] for each in port["fixed_ips"]] == [ADDRESS, f"::{IDENTIFIER}"]
