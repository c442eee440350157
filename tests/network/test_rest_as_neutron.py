"""What Neutron's own tests see, in small: addresses, what serves a network, attributes that are taken back."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from kedge.config import NetworkConfig
from kedge.model.vlan_range import VlanRange
from kedge.network.local import LocalNetworkService

from .network_world import World
from .rest_world import make_network, make_port, make_subnet, ok, refused, rest


def test_a_port_asks_for_any_address_and_for_the_lowest(api: TestClient, subnet: dict[str, Any]) -> None:
    wanted = [{"subnet_id": subnet["id"]}, {"ip_address": "10.100.0.2"}, {"subnet_id": subnet["id"]}]
    port = make_port(api, subnet["network_id"], fixed_ips=wanted)
    given = [each["ip_address"] for each in port["fixed_ips"]]
    assert given == ["10.100.0.2", "10.100.0.3", "10.100.0.4"]
    body = {"network_id": subnet["network_id"], "fixed_ips": [{"ip_address": "10.100.0.9"}] * 2}
    refused(api.post("ports", json={"port": body}), 400, "HTTPBadRequest", "10.100.0.9", "twice")


@pytest.mark.parametrize(
    ("cidr", "bad", "good"),
    [
        ("192.0.2.0/24", ["192.0.2.0", "192.0.2.255"], "192.0.2.254"),
        ("2001:db8::/64", ["2001:db8::"], "2001:db8::ffff:ffff:ffff:ffff"),
        ("192.0.2.8/31", [], "192.0.2.8"),
    ],
)
def test_no_host_has_the_address_of_its_subnet(
    api: TestClient, network: dict[str, Any], cidr: str, bad: list[str], good: str
) -> None:
    make_subnet(api, network["id"], cidr, enable_dhcp=False)
    for address in bad:
        body = {"network_id": network["id"], "fixed_ips": [{"ip_address": address}]}
        refused(api.post("ports", json={"port": body}), 400, "InvalidIpForNetwork", address, cidr)
    assert make_port(api, network["id"], fixed_ips=[{"ip_address": good}])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cidr": "10.0.2.0"}, "write it as"),
        ({"cidr": "fe80::"}, "write it as"),
        ({"cidr": "10.0.0.0/255.0.0.0"}, "write it as"),
        ({"cidr": "0.0.0.0/0"}, "all addresses"),
        ({"cidr": "::/64"}, "begins with ::"),
        ({"cidr": "::/0"}, "all addresses"),
        ({"ip_version": None}, "null is no value"),
        ({"dns_nameservers": ["2001:db8::53"]}, "not of IP version 4"),
        (
            {"host_routes": [{"destination": "100.1.1.1/8", "nexthop": "10.0.2.20"}]},
            "100.0.0.0/8 may be meant",
        ),
    ],
)
def test_subnets_that_are_none(
    api: TestClient, network: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    body = {"network_id": network["id"], "cidr": "10.0.2.0/24", **changes}
    answer = api.post("subnets", json={"subnet": body})
    refused(
        answer,
        400,
        "HTTPBadRequest" if changes.keys() & {"ip_version", "host_routes"} else "InvalidInput",
        message,
    )


def test_what_serves_a_network_goes_with_it(api: TestClient, subnet: dict[str, Any]) -> None:
    path = f"networks/{subnet['network_id']}"
    made = [
        make_port(api, subnet["network_id"], device_owner=owner, device_id="", **{"binding:host_id": ""})
        for owner in ("network:dhcp", "network:distributed", "compute:nova")
    ]
    refused(api.delete(f"subnets/{subnet['id']}"), 409, "SubnetInUse", subnet["id"])
    refused(api.delete(path), 409, "NetworkInUse", made[2]["id"])
    ok(api.delete(f"ports/{made[2]['id']}"), 204)
    ok(api.delete(f"subnets/{subnet['id']}"), 204)
    assert ok(api.get(f"ports/{made[0]['id']}"))["port"]["fixed_ips"] == []
    ok(api.delete(path), 204)
    assert ok(api.get("ports")) == {"ports": []}


def test_the_mac_address_of_what_serves_a_network_stays(api: TestClient, network: dict[str, Any]) -> None:
    port = make_port(api, network["id"], device_owner="network:dhcp", **{"binding:host_id": ""})
    body = {"port": {"mac_address": "fa:16:3e:00:00:01"}}
    refused(api.put(f"ports/{port['id']}", json=body), 409, "UnsupportedPortDeviceOwner", "network:dhcp")


NEUTRAL: dict[str, dict[str, list[Any]]] = {
    "network": {
        "port_security_enabled": [None, False],
        "availability_zone_hints": [None, []],
        "dns_domain": [""],
    },
    "subnet": {
        "segment_id": [None],
        "service_types": [[]],
        "router:external": [False],
    },
    "port": {"port_security_enabled": [None, False], "qos_policy_id": [None], "dns_name": [None, ""]},
}
OTHERS = {"network": True, "subnet": "slaac", "port": "00000000-0000-0000-0000-000000000001"}


@pytest.mark.parametrize("kind", NEUTRAL)
def test_what_is_shown_is_taken_back_and_nothing_else(
    api: TestClient, port: dict[str, Any], subnet: dict[str, Any], network: dict[str, Any], kind: str
) -> None:
    path = f"{kind}s/{ {'network': network, 'subnet': subnet, 'port': port}[kind]['id'] }"
    for name, values in NEUTRAL[kind].items():
        for value in values:
            ok(api.put(path, json={kind: {name: value}}))
        refused(api.put(path, json={kind: {name: OTHERS[kind]}}), 400, "HTTPBadRequest", name)


def test_things_come_in_envelopes_of_their_own(api: TestClient, network: dict[str, Any]) -> None:
    ports = [{"port": {"network_id": network["id"], "name": name}} for name in "ab"]
    made = ok(api.post("ports", json={"ports": ports}), 201)["ports"]
    assert [each["name"] for each in made] == ["a", "b"]


@pytest.fixture
def ranged(world: World) -> Iterator[TestClient]:
    """The interface of a Kedge that has three VLANs to choose from."""
    ranges = [VlanRange.parse("physnet1:100:101"), VlanRange.parse("physnet2:7:7")]
    world.service = LocalNetworkService(world.engine, clock=lambda: world.now, vlan_ranges=ranges)
    with rest(world) as client:
        yield client


def test_a_network_that_names_no_segment_gets_a_vlan(ranged: TestClient) -> None:
    def made(**attributes: Any) -> tuple[str, int]:
        network = ok(ranged.post("networks", json={"network": {"name": "n", **attributes}}), 201)["network"]
        return network["provider:physical_network"], network["provider:segmentation_id"]

    make_network(ranged, 100)
    assert made(**{"provider:network_type": "vlan", "provider:physical_network": "physnet2"}) == (
        "physnet2",
        7,
    )
    assert made() == ("physnet1", 101)
    answer = ranged.post("networks", json={"network": {}})
    refused(answer, 409, "NoNetworkAvailable", "vlan_ranges in [network]")
    body = {"provider:physical_network": "physnet1"}
    refused(ranged.post("networks", json={"network": body}), 400, "InvalidInput", "provider:network_type")
    body |= {"provider:network_type": "vlan", "provider:physical_network": "physnet3"}
    refused(ranged.post("networks", json={"network": body}), 400, "InvalidInput", "physnet3")


@pytest.mark.parametrize(
    "text", ["physnet1", "physnet1:1", "physnet1:9:8", "physnet1:0:5", "physnet1:1:4095", ":1:2"]
)
def test_ranges_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        NetworkConfig(vlan_ranges=(text,))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("security-groups", "Kedge, which has no security groups"),
        ("security-groups/x", "Kedge, which has no security groups"),
        ("routers", "Kedge, which has no routers"),
        ("qos/policies", "Kedge, which has no QoS policies"),
        ("trunks.json", "Kedge, which has no trunks"),
        ("prots", "could not be found"),
    ],
)
def test_what_kedge_has_none_of_is_said_so(api: TestClient, path: str, message: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        refused(api.request(method, path), 404, "HTTPNotFound", message)
