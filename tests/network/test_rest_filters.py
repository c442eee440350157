"""What a list is filtered by."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from .rest_world import NOBODY, make_network, make_port, make_subnet, ok, refused


@pytest.fixture
def ports(api: TestClient, subnet: dict[str, Any]) -> dict[str, str]:
    """Two ports of a subnet and one of another network's; what stands for each in the tests below."""
    other = make_subnet(api, make_network(api, 101)["id"])
    for name, network_id in {
        "a": subnet["network_id"],
        "b": subnet["network_id"],
        "c": other["network_id"],
    }.items():
        address = {"a": "10.100.0.17", "b": "10.100.0.117", "c": "10.100.0.17"}[name]
        make_port(api, network_id, name=name, fixed_ips=[{"ip_address": address}])
    return {"S": subnet["id"], "T": other["id"], "NOBODY": NOBODY}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (["ip_address=10.100.0.17"], "ac"),
        (["ip_address=10.100.0.17", "subnet_id={S}"], "a"),
        (["subnet_id={T}", "ip_address=10.100.0.17", "ip_address=10.100.0.117"], "c"),
        (["ip_address=10.100.0.17", "ip_address=10.100.0.117"], "abc"),
        (["subnet_id={S}", "subnet_id={T}"], "abc"),
        (["subnet_id={NOBODY}", "ip_address=10.100.0.17"], ""),
        (["ip_address_substr=0.117"], "b"),
        (["ip_address_substr=0.17", "ip_address_substr=117", "subnet_id={S}"], "ab"),
        (["ip_address=10.100.0.1"], ""),
    ],
)
def test_all_that_is_asked_of_an_address_holds(
    api: TestClient, ports: dict[str, str], query: list[str], names: str
) -> None:
    params = {"fixed_ips": [each.format(**ports) for each in query], "sort_key": "name"}
    found = ok(api.get("ports", params=params))["ports"]
    assert "".join(each["name"] for each in found) == names


@pytest.mark.parametrize("text", ["ip=10.0.0.1", "ip_address", "", "mac_address=x", "=10.0.0.1"])
def test_addresses_are_asked_for_by_names_that_are_known(api: TestClient, text: str) -> None:
    refused(
        api.get("ports", params={"fixed_ips": text}),
        400,
        "HTTPBadRequest",
        "fixed_ips",
        "ip_address_substr=…",
    )


@pytest.mark.parametrize("text", ["fake", "", "2", "null"])
@pytest.mark.parametrize("filtered", ["ports?admin_state_up", "networks?shared", "subnets?enable_dhcp"])
def test_what_is_true_or_false_is_asked_for_so(api: TestClient, filtered: str, text: str) -> None:
    refused(api.get(f"{filtered}={text}"), 400, "InvalidInput", filtered.partition("?")[2], "true nor false")


def test_truth_has_neutrons_spellings(api: TestClient, network: dict[str, Any]) -> None:
    for text, found in {"1": 1, "true": 1, "True": 1, "yes": 1, "0": 0, "false": 0}.items():
        assert len(ok(api.get("networks", params={"admin_state_up": text}))["networks"]) == found
    assert network["admin_state_up"]


def test_a_block_is_found_by_any_of_its_addresses_with_its_mask(
    api: TestClient, subnet: dict[str, Any]
) -> None:
    assert ok(api.get("subnets?cidr=10.100.3.7/16"))["subnets"] == [subnet]
    refused(api.get("subnets?cidr=ten"), 400, "InvalidInput", "'ten' is not a CIDR")
