"""Whatever is sent, the answer is Neutron's form with a message that names what is wrong, and nothing is stored."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from kedge.serving.strict_request import BODY_MAX, DEPTH_MAX, PARAMETERS_MAX

from ..databases import BOTH
from .network_world import make_world
from .rest_world import make_network, make_port, make_subnet, ok, refused, rest

JSON = {"Content-Type": "application/json"}
HUGE = 10**30


@pytest.fixture(scope="module", params=BOTH)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One for all tests of this module, as none of them changes anything."""
    with make_world(tmp_path_factory.mktemp("world"), request.param) as world, rest(world) as client:
        yield client


@pytest.fixture(scope="module")
def network(api: TestClient) -> Any:
    made = make_network(api)
    make_subnet(api, made["id"])
    return made


@pytest.fixture(scope="module")
def port(api: TestClient, network: dict[str, Any]) -> Any:
    return make_port(api, network["id"])


@pytest.fixture(autouse=True)
def unchanged(api: TestClient, network: dict[str, Any], port: dict[str, Any]) -> Iterator[None]:
    """Nothing half-written: all that was there is as it was, and nothing new."""
    before = everything(api)
    yield
    assert everything(api) == before


def everything(api: TestClient) -> Any:
    lists = {kind: ok(api.get(kind))[kind] for kind in ("networks", "subnets", "ports", "agents")}
    return lists | {port["id"]: ok(api.get(f"ports/{port['id']}/bindings")) for port in lists["ports"]}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{nope", "Cannot understand JSON"),
        (b"\xff\xfe", "Cannot understand JSON"),
        ('{"port": {"name": "é"}}'.encode("latin-1"), "Cannot understand JSON"),
        ('{"port": {}}'.encode("utf-16"), "Cannot understand JSON"),
        (b'{"port": {"name": "a\x00b"}}', "Cannot understand JSON"),
        (b'{"port": {"name": "a\\u0000b"}}', "NUL character"),
        (b'{"port": {"binding:profile": {"a": ["\\u0000"]}}}', "NUL character"),
        (b'{"port": {"binding:profile": {"\\u0000": 1}}}', "NUL character"),
        (b'{"port": {"name": "\\ud800"}}', "lone surrogate"),
        (b'{"port": {"binding:profile": {"a": "\\udfff"}}}', "lone surrogate"),
        (b'{"port": {"\\ud800": 1}}', "lone surrogate"),
        (b'{"port": {"name": "a", "name": "b"}}', "'name' is in it twice"),
        (b'{"port": {}, "port": {}}', "'port' is in it twice"),
        (b'{"port": {"binding:profile": {"a": NaN}}}', "NaN"),
        (b'{"port": {"binding:profile": {"a": -Infinity}}}', "-Infinity"),
        (b'{"port": {"binding:profile": {"a": 1e999}}}', "too large"),
        (b'{"port": {"binding:profile": {"a": ' + b"9" * 5000 + b"}}}", "Cannot understand JSON"),
        (json.dumps({"port": {"binding:profile": {"a": nested(DEPTH_MAX)}}}).encode(), "nested deeper"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "nested deeper"),
    ],
)
def test_what_is_not_json_that_can_be_kept(
    api: TestClient, port: dict[str, Any], text: bytes, message: str
) -> None:
    for response in (
        api.post("ports", content=text, headers=JSON),
        api.put(f"ports/{port['id']}", content=text, headers=JSON),
    ):
        refused(response, 400, "MalformedRequestBody", "Malformed request body: ", message)


def test_json_has_to_be_called_so(api: TestClient, port: dict[str, Any]) -> None:
    body = b'{"port": {"name": "x"}}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Content-Type": kind} if kind else {}
        response = api.put(f"ports/{port['id']}", content=body, headers=headers)
        refused(response, 400, "MalformedRequestBody", "Content-Type: application/json")


@pytest.mark.parametrize("announced", [True, False])
def test_a_huge_body_is_refused(api: TestClient, port: dict[str, Any], announced: bool) -> None:
    text = b'{"port": {"name": "' + b"x" * BODY_MAX + b'"}}'
    parts = [text[start : start + 65536] for start in range(0, len(text), 65536)]
    content: Any = text if announced else iter(parts)
    response = api.put(f"ports/{port['id']}", content=content, headers=JSON)
    refused(response, 413, "HTTPRequestEntityTooLarge", f"{BODY_MAX} bytes")
    assert ("content-length" in response.request.headers) is announced


def test_a_body_at_the_limit_is_read(api: TestClient, port: dict[str, Any]) -> None:
    text = b'{"port": {"name": "'
    text += b"x" * (BODY_MAX - len(text) - 3) + b'"}}'
    assert len(text) == BODY_MAX
    response = api.put(f"ports/{port['id']}", content=text, headers=JSON)
    refused(response, 400, "HTTPBadRequest", "Invalid input for name", "at most 255 characters")
    assert len(response.content) < 1000, "what was sent is not sent back"


@pytest.mark.parametrize("path", ["ports", "networks", "subnets", "agents"])
def test_thousands_of_filters_are_refused(api: TestClient, path: str) -> None:
    query = "&".join(f"id={number}" for number in range(PARAMETERS_MAX + 1))
    refused(api.get(f"{path}?{query}"), 400, "HTTPBadRequest", f"{PARAMETERS_MAX} parameters")
    query = "&".join(f"id={number}" for number in range(PARAMETERS_MAX))
    assert ok(api.get(f"{path}?{query}")) == {path: []}


@pytest.mark.parametrize("path", ["ports", "networks", "subnets", "agents"])
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("name=a%00b", "NUL"),
        (f"limit=-{HUGE}", "limit"),
        ("limit=1.5", "limit"),
        ("limit=five", "limit"),
        ("limit=%D9%A3", "limit"),
        ("sort_key=colour", "sort key"),
        ("sort_key=binding:host_id", "sort key"),
        ("sort_key=id&sort_dir=up", "sort_dir"),
        ("sort_key=id&sort_dir=asc&sort_dir=asc", "sort_dirs"),
        ("marker=nobody", "marker"),
        ("colour=red", "['colour'] is invalid attribute for filtering"),
        ("%F0%9F%9A%80=1", "invalid attribute"),
    ],
)
def test_queries_that_make_no_sense(api: TestClient, path: str, query: str, message: str) -> None:
    refused(api.get(f"{path}?{query}"), 400, "HTTPBadRequest", message)


@pytest.mark.parametrize(
    "query",
    [
        f"limit={HUGE}",
        "limit=" + "9" * 5000,
        "id=nonsense",
        "id=",
        "fields=colour",
        "fields=",
        "sort_key=id&sort_dir=desc&limit=1",
        "id=%FF",
    ],
)
@pytest.mark.parametrize("path", ["ports", "networks", "subnets", "agents"])
def test_odd_queries_that_have_an_answer(api: TestClient, path: str, query: str) -> None:
    assert path in ok(api.get(f"{path}?{query}"))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("ports", "revision_number"),
        ("networks", "mtu"),
        ("networks", "provider:segmentation_id"),
        ("subnets", "ip_version"),
        ("ports", "status"),
        ("ports", "binding:host_id"),
    ],
)
@pytest.mark.parametrize("value", [str(HUGE), "-1", "x", "", "1e3", "ip_address=x", "=", "None"])
def test_filters_by_values_that_nothing_has(api: TestClient, path: str, name: str, value: str) -> None:
    assert ok(api.get(path, params={name: value})) == {path: []}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 5}, "Invalid input for name"),
        ({"name": None}, "Invalid input for name"),
        ({"name": "x" * 256}, "at most 255 characters"),
        ({"description": ["x"]}, "Invalid input for description"),
        ({"admin_state_up": "perhaps"}, "Invalid input for admin_state_up"),
        ({"network_id": "nonsense"}, "'nonsense' is not a valid UUID"),
        ({"network_id": 5}, "Invalid input for network_id"),
        ({"network_id": "x" * 9000}, "is not a valid UUID"),
        ({"device_id": 5}, "Invalid input for device_id"),
        ({"mac_address": 5}, "Invalid input for mac_address"),
        ({"mac_address": "fa:16:3e:00:00"}, "is not a MAC address"),
        ({"mac_address": "01:00:5e:00:00:01"}, "group address"),
        ({"fixed_ips": "192.0.2.1"}, "Invalid input for fixed_ips"),
        ({"fixed_ips": [{}]}, "needs a subnet_id or an ip_address"),
        ({"fixed_ips": [{"ip_address": 5}]}, "Invalid input for fixed_ips.0.ip_address"),
        ({"fixed_ips": [{"subnet_id": "x"}]}, "'x' is not a valid UUID"),
        ({"fixed_ips": [{"colour": "red"}]}, "Unrecognized attribute(s) 'colour'"),
        ({"fixed_ips": [{"ip_address": "10.100.9.9"}] * 65}, "at most 64 items"),
        ({"allowed_address_pairs": [{"mac_address": "x"}]}, "'ip_address'"),
        ({"allowed_address_pairs": [{"ip_address": "x"}]}, "'x' is neither an IP address nor a CIDR"),
        ({"allowed_address_pairs": [{"ip_address": "192.0.2.1", "mac_address": "x"}]}, "not a MAC address"),
        ({"security_groups": ["default"]}, "Kedge does not have these"),
        ({"binding:host_id": 5}, "Invalid input for binding:host_id"),
        ({"binding:host_id": "x" * 256}, "at most 255 characters"),
        ({"binding:profile": "x"}, "Invalid input for binding:profile"),
        ({"binding:profile": {"k": "x" * 4095}}, "binding:profile value too large"),
        ({"binding:vnic_type": "purple"}, "Invalid input for binding:vnic_type"),
        ({"colour": "red", "taste": "sour"}, "Unrecognized attribute(s) 'colour, taste'"),
        ({"tags": ["a", "a"]}, "Duplicate items in the list"),
        ({"status": "ACTIVE"}, "Attribute 'status' not allowed in POST"),
        ({"revision_number": HUGE}, "Attribute 'revision_number' not allowed in POST"),
    ],
)
def test_ports_that_make_no_sense(
    api: TestClient, network: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    body = {"port": {"network_id": network["id"], **changes}}
    response = api.post("ports", json=body)
    assert response.status_code == 400
    error = response.json()["NeutronError"]
    assert message in error["message"]
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mtu": HUGE}, "MTU"),
        ({"mtu": -1}, "MTU"),
        ({"mtu": "large"}, "mtu"),
        ({"mtu": 1500.5}, "mtu"),
        ({"provider:segmentation_id": HUGE}, "provider:segmentation_id"),
        ({"provider:segmentation_id": 0}, "provider:segmentation_id"),
        ({"provider:segmentation_id": [1]}, "provider:segmentation_id"),
        ({"provider:physical_network": "x" * 65}, "provider:physical_network"),
        ({"provider:network_type": "vxlan"}, "provider:network_type"),
        ({"shared": "perhaps"}, "shared"),
        ({"shared": None}, "shared"),
        ({"router:external": True}, "router:external"),
    ],
)
def test_networks_that_make_no_sense(api: TestClient, changes: dict[str, Any], message: str) -> None:
    body = {
        "provider:network_type": "vlan",
        "provider:physical_network": "physnet1",
        "provider:segmentation_id": 200,
    }
    response = api.post("networks", json={"network": body | changes})
    assert response.status_code == 400
    assert message in response.json()["NeutronError"]["message"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cidr": "x" * 9000}, "cidr"),
        ({"cidr": 5}, "cidr"),
        ({"cidr": "10.0.0.0/99"}, "is not a CIDR"),
        ({"ip_version": 5}, "ip_version"),
        ({"ip_version": 6}, "is of IP version 4"),
        ({"gateway_ip": 5}, "gateway_ip"),
        ({"enable_dhcp": "perhaps"}, "enable_dhcp"),
        ({"allocation_pools": [{"start": 5, "end": 6}]}, "allocation_pools.0.start"),
        ({"dns_nameservers": [5]}, "dns_nameservers.0"),
        ({"host_routes": [{"destination": "10.0.0.0/8"}]}, "'nexthop'"),
    ],
)
def test_subnets_that_make_no_sense(
    api: TestClient, network: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    body = {"network_id": network["id"], "cidr": "192.0.2.0/24"} | changes
    response = api.post("subnets", json={"subnet": body})
    assert response.status_code == 400
    assert message in response.json()["NeutronError"]["message"]
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"host": 5}, "Invalid input for host"),
        ({"host": None}, "Invalid input for host"),
        ({"host": ""}, "Invalid input for host"),
        ({"host": "x" * 256}, "Invalid input for host"),
        ({"host": "h1", "profile": {"k": "x" * 4095}}, "binding:profile value too large"),
        ({"host": "h1", "profile": None, "vif_type": "ovs"}, "Attribute 'vif_type' not allowed in POST"),
        ({"host": "h1", "migration_id": "m1"}, "'m1' is not a valid UUID"),
        ({"host": "h1", "migration_id": 5}, "Invalid input for migration_id"),
    ],
)
def test_bindings_that_make_no_sense(
    api: TestClient, port: dict[str, Any], body: dict[str, Any], message: str
) -> None:
    response = api.post(f"ports/{port['id']}/bindings", json={"binding": body})
    refused(response, 400, "HTTPBadRequest", message)


@pytest.mark.parametrize(
    "body", [5, "x", [], {"switch": None}, {"switch": {}}, {"switch": {"device_id": ""}}, {}]
)
def test_switches_that_make_no_sense(api: TestClient, body: Any) -> None:
    refused(api.put("binding-switch", json=body), 400, "HTTPBadRequest")


@pytest.mark.parametrize("name", ["nonsense", "a%00b", "%F0%9F%9A%80", "x" * 9000, "..%2F..", "%FF"])
def test_names_in_paths_that_nothing_has(api: TestClient, port: dict[str, Any], name: str) -> None:
    bindings = f"ports/{port['id']}/bindings"
    for path in (f"networks/{name}", f"subnets/{name}", f"ports/{name}", f"agents/{name}"):
        assert api.get(path).status_code == 404
        assert api.delete(path).status_code == 404
    for path in (f"ports/{name}/bindings", f"{bindings}/{name}", f"ports/{name}/tags", f"extensions/{name}"):
        assert api.get(path).status_code == 404
    assert api.put(f"{bindings}/{name}/activate").status_code == 404
    assert api.delete(f"{bindings}/{name}").status_code == 404
