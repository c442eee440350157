"""Subnet pools, and subnets that have their blocks from one."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from .rest_world import NOBODY, make_network, make_subnet, ok, refused


def make_pool(api: TestClient, *prefixes: str, **changes: Any) -> Any:
    body = {"name": "offices", "project_id": "p1", "prefixes": prefixes or ["10.0.0.0/16"]} | changes
    return ok(api.post("subnetpools", json={"subnetpool": body}), 201)["subnetpool"]


def asked(api: TestClient, network: Any, **changes: Any) -> Any:
    return api.post("subnets", json={"subnet": {"network_id": network["id"], "project_id": "p1", **changes}})


def taken(api: TestClient, network: Any, **changes: Any) -> Any:
    return ok(asked(api, network, **changes), 201)["subnet"]


@pytest.fixture
def pool(api: TestClient) -> Any:
    return make_pool(api, default_prefixlen=24)


def test_a_pool_is_made_shown_changed_and_deleted(api: TestClient) -> None:
    made = make_pool(api, "10.1.0.0/16", "10.0.0.0/16", "192.0.2.0/24", description="for all")
    assert made["prefixes"] == ["10.0.0.0/15", "192.0.2.0/24"]
    assert (made["min_prefixlen"], made["max_prefixlen"], made["default_prefixlen"]) == ("8", "32", "8")
    assert (made["ip_version"], made["default_quota"], made["address_scope_id"]) == (4, None, None)
    assert (made["shared"], made["is_default"], made["project_id"], made["tags"]) == (False, False, "p1", [])
    path = f"subnetpools/{made['id']}"
    assert ok(api.get(path))["subnetpool"] == made
    assert ok(api.get("subnetpools?name=offices&is_default=no"))["subnetpools"] == [made]
    assert ok(api.get("subnetpools?ip_version=6"))["subnetpools"] == []
    body = {"name": "labs", "default_prefixlen": 26, "default_quota": 512, "is_default": True}
    changed = ok(api.put(path, json={"subnetpool": body}))["subnetpool"]
    assert changed == made | body | {
        "default_prefixlen": "26",
        "revision_number": 1,
        "updated_at": changed["updated_at"],
    }
    ok(api.put(f"{path}/tags/blue"), 201)
    assert ok(api.get("subnetpools?tags=blue"))["subnetpools"][0]["id"] == made["id"]
    ok(api.delete(path), 204)
    refused(api.get(path), 404, "SubnetPoolNotFound", made["id"])


def test_a_pool_of_ipv6_gives_blocks_of_64_bits(api: TestClient, network: dict[str, Any]) -> None:
    pool = make_pool(api, "2001:db8::/48")
    assert (pool["ip_version"], pool["min_prefixlen"], pool["max_prefixlen"]) == (6, "64", "128")
    made = taken(api, network, subnetpool_id=pool["id"], ip_version=6)
    assert (made["cidr"], made["gateway_ip"], made["ip_version"]) == ("2001:db8::/64", "2001:db8::", 6)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"prefixes": []}, "EmptySubnetPoolPrefixList", "Empty"),
        ({"prefixes": ["10.0.0.0/8", "2001:db8::/48"]}, "PrefixVersionMismatch", "mix"),
        ({"prefixes": ["ten"]}, "InvalidInput", "'ten' is not a CIDR"),
        ({"min_prefixlen": 25, "max_prefixlen": 24}, "IllegalSubnetPoolPrefixBounds", "max_prefixlen=24"),
        (
            {"min_prefixlen": 25, "default_prefixlen": 24},
            "IllegalSubnetPoolPrefixBounds",
            "default_prefixlen=24",
        ),
        ({"max_prefixlen": 25, "default_prefixlen": 26}, "IllegalSubnetPoolPrefixBounds", "max_prefixlen=25"),
        ({"max_prefixlen": 33}, "IllegalSubnetPoolPrefixBounds", "ip_version_max=32"),
        ({"min_prefixlen": -1}, "HTTPBadRequest", "min_prefixlen"),
        ({"default_quota": -1}, "HTTPBadRequest", "default_quota"),
        ({"address_scope_id": NOBODY}, "HTTPBadRequest", "Kedge does not have this"),
        ({"name": " "}, "HTTPBadRequest", "name"),
    ],
)
def test_what_no_pool_can_be(
    api: TestClient, pool: dict[str, Any], changes: dict[str, Any], kind: str, message: str
) -> None:
    body = {"name": "offices", "prefixes": ["10.0.0.0/16"], **changes}
    refused(api.post("subnetpools", json={"subnetpool": body}), 400, kind, message)
    refused(api.put(f"subnetpools/{pool['id']}", json={"subnetpool": changes}), 400, kind, message)
    assert ok(api.get("subnetpools"))["subnetpools"] == [pool]


def test_a_pool_loses_no_prefix(api: TestClient, pool: dict[str, Any]) -> None:
    path = f"subnetpools/{pool['id']}"
    for prefixes, kind in (
        (["10.0.0.0/17"], "IllegalSubnetPoolPrefixUpdate"),
        (["2001:db8::/48"], "PrefixVersionMismatch"),
    ):
        refused(api.put(path, json={"subnetpool": {"prefixes": prefixes}}), 400, kind)
    wider = ok(api.put(path, json={"subnetpool": {"prefixes": ["10.1.0.0/16", "10.0.0.0/16"]}}))
    assert wider["subnetpool"]["prefixes"] == ["10.0.0.0/15"]
    for name in ("shared", "ip_version", "project_id"):
        refused(
            api.put(path, json={"subnetpool": {name: pool[name]}}), 400, "HTTPBadRequest", "read-only", name
        )


def test_subnets_take_the_next_free_block(api: TestClient, pool: dict[str, Any]) -> None:
    networks = [make_network(api, vlan) for vlan in range(200, 203)]
    given = {"subnetpool_id": pool["id"]}
    first, second = (taken(api, each, **given) for each in networks[:2])
    assert [first["cidr"], second["cidr"]] == ["10.0.0.0/24", "10.0.1.0/24"]
    assert (first["subnetpool_id"], first["gateway_ip"], first["ip_version"]) == (pool["id"], "10.0.0.1", 4)
    assert taken(api, networks[2], prefixlen=20, **given)["cidr"] == "10.0.16.0/20"
    assert taken(api, networks[2], cidr="10.0.3.0/24", gateway_ip=None, **given)["gateway_ip"] is None
    assert taken(api, networks[2], prefixlen=25, gateway_ip="10.0.2.9", **given)["cidr"] == "10.0.2.0/25"
    ok(api.delete(f"subnets/{first['id']}"), 204)
    assert taken(api, networks[0], **given)["cidr"] == "10.0.0.0/24"
    listed = ok(api.get(f"subnets?subnetpool_id={pool['id']}"))["subnets"]
    assert len(listed) == 5


def test_what_no_pool_gives(api: TestClient, network: dict[str, Any]) -> None:
    small = make_pool(api, "10.0.0.0/24", min_prefixlen=24, max_prefixlen=26, default_prefixlen=25)
    given = {"subnetpool_id": small["id"]}
    for changes, kind, message in (
        ({"prefixlen": 23}, "MinPrefixSubnetAllocationError", "minimum allowed prefix is 24"),
        ({"cidr": "10.0.0.0/27"}, "MaxPrefixSubnetAllocationError", "maximum allowed prefix is 26"),
        ({"cidr": "10.0.0.0/25", "prefixlen": 25}, "HTTPBadRequest", "together"),
        ({"ip_version": 6}, "HTTPBadRequest", "IPv6 subnet from IPv4"),
        ({"cidr": "2001:db8::/64"}, "HTTPBadRequest", "IPv6 subnet from IPv4"),
        (
            {"allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.9"}]},
            "HTTPBadRequest",
            "only with a cidr",
        ),
        ({"use_default_subnetpool": True}, "HTTPBadRequest", "cannot both be specified"),
        ({"subnetpool_id": "nowhere"}, "HTTPBadRequest", "not a valid UUID"),
    ):
        refused(asked(api, network, **(given | changes)), 400, kind, message)
    refused(asked(api, network, subnetpool_id=NOBODY), 404, "SubnetPoolNotFound", NOBODY)
    refused(
        asked(api, network, cidr="10.0.1.0/24", **given), 409, "SubnetAllocationError", "requested subnet"
    )
    assert ok(api.get("subnets"))["subnets"] == []
    assert [taken(api, network, **given)["cidr"] for _ in range(2)] == ["10.0.0.0/25", "10.0.0.128/25"]
    refused(asked(api, network, prefixlen=26, **given), 409, "SubnetAllocationError", "subnet size /26")
    refused(
        asked(api, network, cidr="10.0.0.0/26", **given), 409, "SubnetAllocationError", "requested subnet"
    )


def test_a_pool_that_gave_a_block_stays(
    api: TestClient, pool: dict[str, Any], network: dict[str, Any]
) -> None:
    made = taken(api, network, subnetpool_id=pool["id"])
    refused(api.delete(f"subnetpools/{pool['id']}"), 400, "SubnetPoolDeleteError", "existing allocations")
    ok(api.delete(f"subnets/{made['id']}"), 204)
    ok(api.delete(f"subnetpools/{pool['id']}"), 204)


def test_all_subnets_of_a_network_are_of_one_pool(
    api: TestClient, pool: dict[str, Any], network: dict[str, Any]
) -> None:
    taken(api, network, subnetpool_id=pool["id"])
    kind = "NetworkSubnetPoolAffinityError"
    refused(asked(api, network, cidr="192.0.2.0/24"), 400, kind, network["id"])
    other = make_pool(api, "10.9.0.0/16", default_prefixlen=24)
    refused(asked(api, network, subnetpool_id=other["id"]), 400, kind, network["id"])
    make_subnet(api, network["id"], "2001:db8::/64")  # of the other version
    subnet = ok(api.get("subnets?ip_version=4"))["subnets"][0]
    for name in ("subnetpool_id", "prefixlen", "use_default_subnetpool"):
        body = {"subnet": {name: subnet.get(name)}}
        refused(api.put(f"subnets/{subnet['id']}", json=body), 400, "HTTPBadRequest", "read-only", name)


def test_prefixes_of_two_pools_may_overlap_but_not_subnets_of_a_network(
    api: TestClient, pool: dict[str, Any]
) -> None:
    same = make_pool(api, default_prefixlen=24)
    made = [
        taken(api, make_network(api, vlan), subnetpool_id=each["id"])
        for vlan, each in ((200, pool), (201, same))
    ]
    assert [each["cidr"] for each in made] == ["10.0.0.0/24", "10.0.0.0/24"]


def test_the_default_pool_is_used_when_it_is_asked_for(api: TestClient, network: dict[str, Any]) -> None:
    asks = {"use_default_subnetpool": True, "ip_version": 4}
    refused(asked(api, network, **asks), 400, "HTTPBadRequest", "No default subnetpool found for IPv4")
    refused(asked(api, network, use_default_subnetpool=True), 400, "HTTPBadRequest", "ip_version must be")
    pool = make_pool(api, is_default=True, default_prefixlen=24)
    named = taken(api, make_network(api, 200), cidr="10.0.0.0/24")
    assert named["subnetpool_id"] is None
    refused(asked(api, network, ip_version=4), 400, "InvalidInput", "needs a cidr")
    made = taken(api, network, **asks)
    assert (made["subnetpool_id"], made["cidr"]) == (pool["id"], "10.0.0.0/24")
    assert taken(api, network, cidr="10.0.9.0/24", **asks)["subnetpool_id"] == pool["id"]


def test_there_is_one_default_pool_of_a_version(api: TestClient) -> None:
    first = make_pool(api, is_default=True)
    make_pool(api, "2001:db8::/48", is_default=True)
    body = {"name": "x", "prefixes": ["10.9.0.0/16"], "is_default": True}
    refused(api.post("subnetpools", json={"subnetpool": body}), 400, "InvalidInput", "Only one default")
    other = make_pool(api, "10.9.0.0/16")
    turn = {"subnetpool": {"is_default": True}}
    refused(api.put(f"subnetpools/{other['id']}", json=turn), 400, "InvalidInput", "Only one default")
    ok(api.put(f"subnetpools/{first['id']}", json=turn))
    ok(api.put(f"subnetpools/{first['id']}", json={"subnetpool": {"is_default": False}}))
    ok(api.put(f"subnetpools/{other['id']}", json=turn))


def test_a_project_takes_no_more_of_a_pool_than_its_quota(api: TestClient, network: dict[str, Any]) -> None:
    pool = make_pool(api, default_prefixlen=24, default_quota=512)
    given = {"subnetpool_id": pool["id"]}
    taken(api, network, **given)
    taken(api, network, cidr="10.0.9.0/24", **given)
    for more in ({}, {"prefixlen": 32}, {"cidr": "10.0.10.0/24"}):
        refused(asked(api, network, **given, **more), 409, "SubnetPoolQuotaExceeded", "512 /32")
    taken(api, network, **given, project_id="p2")
    taken(api, network, **given, project_id="", prefixlen=20)  # what is nobody's has no limit
    six = make_pool(api, "2001:db8::/48", default_quota=1)
    given = {"subnetpool_id": six["id"], "ip_version": 6}
    taken(api, network, prefixlen=65, **given)
    taken(api, network, prefixlen=65, **given)
    refused(asked(api, network, prefixlen=128, **given), 409, "SubnetPoolQuotaExceeded", "1 /64")


def test_several_pools_are_made_or_none(api: TestClient) -> None:
    pools = [{"name": name, "prefixes": ["10.0.0.0/8"], "is_default": name == "b"} for name in "abb"]
    refused(api.post("subnetpools", json={"subnetpools": pools}), 400, "InvalidInput", "Only one default")
    assert ok(api.get("subnetpools"))["subnetpools"] == []
    made = ok(api.post("subnetpools", json={"subnetpools": pools[:2]}), 201)["subnetpools"]
    assert [each["name"] for each in made] == ["a", "b"]


def test_address_scopes_are_refused_in_words(api: TestClient) -> None:
    refused(api.get("address-scopes"), 404, "HTTPNotFound", "address scopes", "may overlap")
