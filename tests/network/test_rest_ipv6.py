"""Subnets of IPv6 whose guests make their addresses themselves, of what another's router advertises."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from kedge.network.local import networks
from kedge.network.local.ports import WantedAddress, create_port

from .network_world import World
from .rest_world import make_port, make_subnet, ok, refused

BLOCK = "2001:db8:0:1::/64"
MAC, ADDRESS = "34:56:78:9a:bc:de", "2001:db8:0:1:3656:78ff:fe9a:bcde"  # RFC 2464, section 4
ROUTER = "network:router_interface"
UNBOUND = {"binding:host_id": ""}

AUTOMATIC = [
    {"ipv6_address_mode": "slaac"},
    {"ipv6_ra_mode": "slaac"},
    {"ipv6_ra_mode": "dhcpv6-stateless", "ipv6_address_mode": "dhcpv6-stateless"},
]


@pytest.fixture
def slaac(api: TestClient, network: dict[str, Any]) -> Any:
    return make_subnet(api, network["id"], BLOCK, ipv6_address_mode="slaac")


def addresses(port: Any) -> list[str]:
    return [each["ip_address"] for each in port["fixed_ips"]]


def shown(api: TestClient, port: Any) -> Any:
    return ok(api.get(f"ports/{port['id']}"))["port"]


@pytest.mark.parametrize("modes", AUTOMATIC)
def test_a_port_has_the_address_that_its_guest_makes_itself(
    api: TestClient, subnet: dict[str, Any], modes: dict[str, str]
) -> None:
    made = make_subnet(api, subnet["network_id"], BLOCK, **modes)
    assert {"ipv6_ra_mode": None, "ipv6_address_mode": None, "enable_dhcp": True} | modes == {
        name: made[name] for name in ("ipv6_ra_mode", "ipv6_address_mode", "enable_dhcp")
    }
    assert ok(api.get(f"subnets/{made['id']}"))["subnet"] == made
    assert ok(api.get("subnets", params=modes))["subnets"] == [made]
    port = make_port(api, subnet["network_id"], mac_address=MAC)
    assert port["fixed_ips"] == [
        {"subnet_id": subnet["id"], "ip_address": "10.100.0.2"},
        {"subnet_id": made["id"], "ip_address": ADDRESS},
    ]
    assert shown(api, port) == port


def test_without_a_mode_or_with_state_addresses_are_given_out(
    api: TestClient, network: dict[str, Any]
) -> None:
    made = make_subnet(api, network["id"], BLOCK, ipv6_address_mode="dhcpv6-stateful")
    assert (made["ipv6_ra_mode"], made["ipv6_address_mode"]) == (None, "dhcpv6-stateful")
    assert addresses(make_port(api, network["id"])) == ["2001:db8:0:1::1"]


def test_a_port_has_one_of_every_such_subnet(
    api: TestClient, subnet: dict[str, Any], slaac: dict[str, Any]
) -> None:
    make_subnet(api, subnet["network_id"], "2001:db8:0:2::/64", ipv6_ra_mode="slaac")
    make_subnet(api, subnet["network_id"], "2001:db8:0:3::/64", ipv6_ra_mode="dhcpv6-stateful")
    port = make_port(api, subnet["network_id"], mac_address=MAC)
    own = [ADDRESS, ADDRESS.replace(":0:1:", ":0:2:")]
    assert addresses(port) == ["10.100.0.2", "2001:db8:0:3::1", *own]


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"cidr": "192.0.2.0/24", "ipv6_ra_mode": "slaac"}, "InvalidInput", "ipv6_ra_mode can't be set"),
        (
            {"cidr": "192.0.2.0/24", "ipv6_address_mode": "dhcpv6-stateful"},
            "InvalidInput",
            "ipv6_address_mode can't be set, as 192.0.2.0/24 is of IP version 4",
        ),
        (
            {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateless"},
            "InvalidInput",
            "give both the same value",
        ),
        ({"ipv6_ra_mode": "slaac", "enable_dhcp": False}, "InvalidInput", "enable_dhcp false"),
        ({"cidr": "2001:db8::/96", "ipv6_ra_mode": "slaac"}, "InvalidInput", "2001:db8::/96 is no /64"),
        (
            {"cidr": "2001:db8::/48", "ipv6_address_mode": "dhcpv6-stateless"},
            "InvalidInput",
            "whose ipv6_address_mode is dhcpv6-stateless",
        ),
        ({"ipv6_ra_mode": "dhcp"}, "HTTPBadRequest", "ipv6_ra_mode"),
        ({"ipv6_address_mode": ""}, "HTTPBadRequest", "ipv6_address_mode"),
    ],
)
def test_modes_that_cannot_be_are_refused(
    api: TestClient, network: dict[str, Any], changes: dict[str, Any], kind: str, message: str
) -> None:
    body = {"network_id": network["id"], "cidr": BLOCK, **changes}
    refused(api.post("subnets", json={"subnet": body}), 400, kind, message)
    assert ok(api.get("subnets"))["subnets"] == []


def test_modes_stay_as_they_were_made(api: TestClient, slaac: dict[str, Any]) -> None:
    path = f"subnets/{slaac['id']}"
    for name in ("ipv6_ra_mode", "ipv6_address_mode"):
        message = f"Cannot update read-only attribute {name}"
        refused(api.put(path, json={"subnet": {name: slaac[name]}}), 400, "HTTPBadRequest", message)
    refused(api.put(path, json={"subnet": {"enable_dhcp": False}}), 400, "InvalidInput", "enable_dhcp")
    assert ok(api.get(path))["subnet"] == slaac
    changed = ok(api.put(path, json={"subnet": {"name": "blue", "enable_dhcp": True}}))["subnet"]
    assert changed["name"] == "blue"


def test_modes_are_null_on_ipv4(api: TestClient, network: dict[str, Any]) -> None:
    made = make_subnet(api, network["id"], ipv6_ra_mode=None, ipv6_address_mode=None)
    assert (made["ipv6_ra_mode"], made["ipv6_address_mode"], made["enable_dhcp"]) == (None, None, True)


def test_an_address_that_a_guest_makes_itself_is_not_chosen(
    api: TestClient, subnet: dict[str, Any], slaac: dict[str, Any]
) -> None:
    body = {"network_id": subnet["network_id"], "fixed_ips": [{"ip_address": "2001:db8:0:1::5"}]}
    message = (
        f"IPv6 address 2001:db8:0:1::5 cannot be directly assigned to a port on subnet {slaac['id']} "
        "as the subnet is configured for automatic addresses"
    )
    refused(api.post("ports", json={"port": body}), 400, "AllocationOnAutoAddressSubnet", message)
    port = make_port(api, subnet["network_id"], mac_address=MAC, fixed_ips=[{"subnet_id": slaac["id"]}])
    assert addresses(port) == [ADDRESS]
    path = f"ports/{port['id']}"
    change = {"port": {"fixed_ips": body["fixed_ips"]}}
    refused(api.put(path, json=change), 400, "AllocationOnAutoAddressSubnet", message)
    for fixed_ips, expected in (
        ([{"ip_address": "10.100.0.9"}], ["10.100.0.9", ADDRESS]),
        ([{"ip_address": ADDRESS.upper()}, {"subnet_id": subnet["id"]}], [ADDRESS, "10.100.0.2"]),
        ([], [ADDRESS]),
    ):
        changed = ok(api.put(path, json={"port": {"fixed_ips": fixed_ips}}))["port"]
        assert addresses(changed) == expected


def test_a_port_may_have_none_of_a_subnet(
    api: TestClient, subnet: dict[str, Any], slaac: dict[str, Any]
) -> None:
    port = make_port(api, subnet["network_id"], mac_address=MAC)
    assert addresses(port) == ["10.100.0.2", ADDRESS]
    path = f"ports/{port['id']}"
    none = {"subnet_id": slaac["id"], "delete_subnet": True}
    for fixed_ips, expected in (
        ([{"subnet_id": subnet["id"]}, none], ["10.100.0.2"]),
        ([{"ip_address": "10.100.0.3"}, {"subnet_id": slaac["id"]}], ["10.100.0.3", ADDRESS]),
        ([none], []),
        ([{"subnet_id": slaac["id"], "delete_subnet": False}], [ADDRESS]),
    ):
        changed = ok(api.put(path, json={"port": {"fixed_ips": fixed_ips}}))["port"]
        assert addresses(changed) == expected
    for wrong in ({"delete_subnet": True}, {"subnet_id": port["id"], "delete_subnet": True}):
        answer = api.put(path, json={"port": {"fixed_ips": [wrong]}})
        refused(answer, 400, "InvalidInput", "delete_subnet is for a subnet_id of network")
    assert ok(api.get(path))["port"] == changed


def test_an_address_moves_with_the_mac_address(
    api: TestClient, subnet: dict[str, Any], slaac: dict[str, Any]
) -> None:
    chosen = [{"ip_address": "10.100.0.9"}]
    port = make_port(api, subnet["network_id"], mac_address=MAC, fixed_ips=chosen, **UNBOUND)
    other, moved = "34:56:78:9a:bc:df", ADDRESS[:-1] + "f"
    path = f"ports/{port['id']}"
    changed = ok(api.put(path, json={"port": {"mac_address": other}}))["port"]
    assert addresses(changed) == ["10.100.0.9", moved]
    back = {"mac_address": MAC, "fixed_ips": changed["fixed_ips"]}
    changed = ok(api.put(path, json={"port": back}))["port"]
    assert addresses(changed) == ["10.100.0.9", ADDRESS], "what was shown may be sent back"
    assert shown(api, port) == changed
    ok(api.put(path, json={"port": {"mac_address": MAC.upper()}}))
    assert addresses(shown(api, port)) == ["10.100.0.9", ADDRESS]


def test_a_router_makes_no_address_itself(
    api: TestClient, subnet: dict[str, Any], slaac: dict[str, Any]
) -> None:
    make_port(api, subnet["network_id"])
    owned = {"device_owner": ROUTER, **UNBOUND}
    assert addresses(make_port(api, subnet["network_id"], **owned)) == ["10.100.0.3"]
    named = make_port(api, subnet["network_id"], fixed_ips=[{"ip_address": "2001:db8:0:1::1"}], **owned)
    assert addresses(named) == ["2001:db8:0:1::1"]
    any_one = make_port(api, subnet["network_id"], fixed_ips=[{"subnet_id": slaac["id"]}], **owned)
    assert addresses(any_one) == ["2001:db8:0:1::2"], "the lowest, whatever guests made themselves"


def test_a_new_subnet_gives_the_ports_that_are_there_an_address(
    api: TestClient, port: dict[str, Any]
) -> None:
    network_id = port["network_id"]
    router = make_port(api, network_id, device_owner=ROUTER, **UNBOUND)
    make_subnet(api, network_id, "2001:db8:0:9::/64")
    assert shown(api, port) == port, "one without a mode gives none"
    made = make_subnet(api, network_id, BLOCK, ipv6_ra_mode="slaac")
    changed = shown(api, port)
    assert changed["fixed_ips"][:-1] == port["fixed_ips"]
    assert changed["fixed_ips"][-1]["subnet_id"] == made["id"]
    assert addresses(changed)[-1].startswith("2001:db8:0:1:f816:3eff:fe")
    assert changed["revision_number"] > port["revision_number"]
    assert shown(api, router) == router


def test_what_an_adopted_server_has_already_is_the_new_subnets(
    api: TestClient, world: World, network: dict[str, Any]
) -> None:
    wanted = [WantedAddress(ADDRESS), WantedAddress("2001:db8:0:1::7")]
    with world.service.write() as work:
        held = networks.network(work, network["id"], hold=True)
        row = create_port(
            work, held, mac_address=MAC, addresses=wanted, foreign_addresses=True, device_owner=""
        )
        port = {"id": row.id}
    made = make_subnet(api, network["id"], BLOCK, ipv6_ra_mode="slaac")
    assert shown(api, port)["fixed_ips"] == [
        {"subnet_id": made["id"], "ip_address": ADDRESS},
        {"subnet_id": None, "ip_address": "2001:db8:0:1::7"},
    ]


def test_a_subnet_goes_with_what_guests_made_of_it(
    api: TestClient, subnet: dict[str, Any], slaac: dict[str, Any]
) -> None:
    port = make_port(api, subnet["network_id"])
    fixed_ips = [{"ip_address": "2001:db8:0:1::1"}]
    router = make_port(api, subnet["network_id"], device_owner=ROUTER, fixed_ips=fixed_ips, **UNBOUND)
    refused(api.delete(f"subnets/{slaac['id']}"), 409, "SubnetInUse", slaac["id"])
    assert shown(api, port) == port
    ok(api.delete(f"ports/{router['id']}"), 204)
    ok(api.delete(f"subnets/{slaac['id']}"), 204)
    changed = shown(api, port)
    assert addresses(changed) == ["10.100.0.2"]
    assert changed["revision_number"] > port["revision_number"]


def test_any_routers_address_is_a_gateway_of_ipv6(api: TestClient, network: dict[str, Any]) -> None:
    made = make_subnet(api, network["id"], BLOCK, gateway_ip="2001:db8:0:1::0")
    assert made["gateway_ip"] == "2001:db8:0:1::"
    assert made["allocation_pools"] == [
        {"start": "2001:db8:0:1::1", "end": "2001:db8:0:1:ffff:ffff:ffff:ffff"}
    ]
