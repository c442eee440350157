"""How much a project may have: what is set, and that no way of making things leads past it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from kedge.config import NetworkConfig, load
from kedge.model.errors import BadRequest
from kedge.model.vlan_range import VlanRange
from kedge.network.local import LocalNetworkService

from .network_world import World
from .rest_world import make_network, make_port, make_subnet, ok, refused, rest

UNLIMITED = {"network": -1, "subnet": -1, "port": -1}


@pytest.fixture
def limited(world: World) -> Iterator[TestClient]:
    """Every project may have one network, two subnets and three ports."""
    rules = NetworkConfig(quota_network=1, quota_subnet=2, quota_port=3).rules
    ranges = [VlanRange("physnet1", 200, 299)]
    world.service = LocalNetworkService(
        world.engine, clock=lambda: world.now, vlan_ranges=ranges, rules=rules
    )
    with rest(world) as client:
        yield client


def usage(api: TestClient, project: str) -> dict[str, int]:
    return {name: each["used"] for name, each in ok(api.get(f"quotas/{project}/details"))["quota"].items()}


def set_quota(api: TestClient, project: str, **limits: Any) -> Any:
    return ok(api.put(f"quotas/{project}", json={"quota": limits}))["quota"]


def test_nothing_is_limited(api: TestClient, port: dict[str, Any]) -> None:
    make_port(api, port["network_id"], project_id="p2")
    for path in ("quotas/p1", "quotas/p1/default", "quotas/nobody"):
        assert ok(api.get(path)) == {"quota": UNLIMITED}
    assert ok(api.get("quotas")) == {"quotas": []}
    details = ok(api.get("quotas/p1/details"))["quota"]
    assert {name: each["used"] for name, each in details.items()} == {"network": 1, "subnet": 1, "port": 1}
    assert {name: each["limit"] for name, each in details.items()} == UNLIMITED


def test_a_projects_quota_is_set_and_forgotten(limited: TestClient) -> None:
    defaults = {"network": 1, "subnet": 2, "port": 3}
    refused(limited.delete("quotas/p1"), 404, "TenantQuotaNotFound", "tenant p1")
    assert set_quota(limited, "p1", network=5) == defaults | {"network": 5}
    assert set_quota(limited, "p1", port=-1) == {"network": 5, "subnet": 2, "port": -1}
    assert ok(limited.get("quotas/p1")) == {"quota": {"network": 5, "subnet": 2, "port": -1}}
    assert ok(limited.get("quotas/p1/default")) == {"quota": defaults}
    assert ok(limited.get("quotas/p2")) == {"quota": defaults}
    own = {"network": 5, "subnet": 2, "port": -1, "project_id": "p1", "tenant_id": "p1"}
    assert ok(limited.get("quotas")) == {"quotas": [own]}
    ok(limited.delete("quotas/p1"), 204)
    assert ok(limited.get("quotas/p1")) == {"quota": defaults}
    assert ok(limited.get("quotas")) == {"quotas": []}


@pytest.mark.parametrize("value", [-2, 2**31, "5", 1.5, None, True, [1]])
def test_quotas_that_are_none(limited: TestClient, value: Any) -> None:
    body = {"quota": {"subnet": 7, "port": value}}
    refused(limited.put("quotas/p1", json=body), 400, "HTTPBadRequest", "port")
    refused(limited.put("quotas/p1", json={"quota": {"router": 1}}), 400, "HTTPBadRequest", "'router'")
    assert ok(limited.get("quotas")) == {"quotas": []}


def test_no_more_is_made_than_a_project_may_have(limited: TestClient) -> None:
    network = make_network(limited)
    made = {"project_id": "p1", "network_id": network["id"]}
    for collection, limit, rest_of_it in (
        ("networks", 1, []),
        ("subnets", 2, [made | {"cidr": f"10.{each}.0.0/24"} for each in range(2)]),
        ("ports", 3, [made] * 3),
    ):
        kind = collection.removesuffix("s")
        more = (rest_of_it or [{"project_id": "p1"}])[0]
        if rest_of_it:
            over = {collection: [*rest_of_it, more | {"cidr": "10.9.0.0/24"} if "cidr" in more else more]}
            refused(limited.post(collection, json=over), 409, "OverQuota", f"['{kind}']", f"have {limit};")
            assert usage(limited, "p1")[kind] == 0, "of several, none is made"
            ok(limited.post(collection, json={collection: rest_of_it}), 201)
        refused(limited.post(collection, json={kind: more}), 409, "OverQuota", f"['{kind}']")
        assert usage(limited, "p1")[kind] == limit
        for other in ("p2", ""):
            changes = {"project_id": other} | ({"cidr": f"10.8{len(other)}.0.0/24"} if "cidr" in more else {})
            ok(limited.post(collection, json={kind: more | changes}), 201)
    assert usage(limited, "p2") == {"network": 1, "subnet": 1, "port": 1}


def test_each_project_of_several_has_its_own(limited: TestClient) -> None:
    set_quota(limited, "p2", network=2)
    wanted = [{"project_id": each} for each in ("p1", "p2", "p2")]
    over = {"networks": [*wanted, {"project_id": "p1"}]}
    refused(limited.post("networks", json=over), 409, "OverQuota", "Project p1 may have 1;")
    ok(limited.post("networks", json={"networks": wanted}), 201)


def test_a_quota_takes_nothing_away(limited: TestClient) -> None:
    network = make_network(limited)
    set_quota(limited, "p1", network=0)
    refused(limited.post("networks", json={"network": {"project_id": "p1"}}), 409, "OverQuota", "have 0;")
    assert ok(limited.get("networks"))["networks"] == [network]
    ok(limited.delete(f"networks/{network['id']}"), 204)
    set_quota(limited, "p1", network=-1)
    ok(limited.post("networks", json={"networks": [{"project_id": "p1"}] * 4}), 201)


def test_kedges_own_ports_have_no_limit(world: World, limited: TestClient) -> None:
    network_id = make_network(limited)["id"]
    for _ in range(4):
        world.service.create_port(network_id, device_id="vm")
    assert len(ok(limited.get("ports"))["ports"]) == 4


def test_lists_of_a_subnet_are_as_long_as_is_set(api: TestClient, world: World) -> None:
    def both(servers: int, routes: int) -> dict[str, Any]:
        listed = [
            {"destination": f"10.{each}.0.0/16", "nexthop": "10.100.0.9"} for each in range(1, routes + 1)
        ]
        return {"dns_nameservers": [f"192.0.2.{each}" for each in range(servers)], "host_routes": listed}

    subnet = make_subnet(api, make_network(api)["id"], **both(5, 20))
    path = f"subnets/{subnet['id']}"
    new = {"network_id": make_network(api, 101)["id"], "cidr": "10.101.0.0/16"}
    for lists, kind, limit in (
        (both(6, 0), "DNSNameServersExhausted", 5),
        (both(0, 21), "HostRoutesExhausted", 20),
    ):
        refused(api.put(path, json={"subnet": lists}), 400, kind, f"limit {limit}.")
        refused(api.post("subnets", json={"subnet": new | lists}), 400, kind, f"limit {limit}.")
    world.service.rules = NetworkConfig(max_dns_nameservers=1, max_subnet_host_routes=2).rules
    ok(api.put(path, json={"subnet": {"name": "has more, from before"}}))
    ok(api.put(path, json={"subnet": both(1, 2)}))
    refused(api.put(path, json={"subnet": both(2, 0)}), 400, "DNSNameServersExhausted", "limit 1.")


@pytest.mark.parametrize(
    ("base_mac", "prefix"),
    [
        ("12:34:56:00:00:00", "12:34:56:"),
        ("12:34:56:78:00:00", "12:34:56:78:"),
        ("fa:16:3e:00:01:02", "fa:16:3e:"),
    ],
)
def test_generated_macs_begin_as_is_set(api: TestClient, world: World, base_mac: str, prefix: str) -> None:
    world.service.rules = NetworkConfig(base_mac=base_mac).rules
    network_id = make_network(api)["id"]
    macs = {make_port(api, network_id)["mac_address"] for _ in range(4)}
    assert len(macs) == 4
    assert all(mac.startswith(prefix) for mac in macs)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("quota_network = -2", "quota_network"),
        ('quota_port = "many"', "quota_port"),
        ("max_dns_nameservers = 65", "max_dns_nameservers"),
        ("max_subnet_host_routes = -1", "max_subnet_host_routes"),
        ('base_mac = "01:00:5e:00:00:00"', "one NIC"),
        ('base_mac = "12:34:56"', "write it as fa:16:3e:00:00:00"),
        ('service = "neutron"\ncloud = "c"\nquota_port = 5', "Neutron has its own"),
    ],
)
def test_settings_that_are_none(tmp_path: Path, line: str, reason: str) -> None:
    file = tmp_path / "kedge.toml"
    file.write_text(f"[network]\n{line}\n")
    with pytest.raises(BadRequest, match=reason):
        load(file, {})
