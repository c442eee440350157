"""What a project may do on a network that an admin shares with all, and what it learns there of others."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from kedge.model.vlan_range import VlanRange
from kedge.network.local import LocalNetworkService

from ..network.network_world import make_world
from ..network.rest_world import SERVER, make_network, make_port, make_subnet, ok, refused, rest
from .cloud import Cloud, guarded

TRUTHS: list[Any] = [True, "true", "TRUE", "True", "yes", "on", "t", "y", "1", 1, 1.0]
OWN = {"device_id": "", "device_owner": "", "binding:host_id": ""}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """`networks`, `subnets`, `ports` are another project's, on a network that is shared; `own` is demo's network."""
    with ExitStack() as stack:
        world = stack.enter_context(make_world(tmp_path))
        ranges = [VlanRange("physnet1", 200, 299)]
        world.service = LocalNetworkService(world.engine, clock=lambda: world.now, vlan_ranges=ranges)
        root, client = stack.enter_context(rest(world)), stack.enter_context(guarded(world, tmp_path))
        network = make_network(root, 100, project_id="other", shared=True)
        subnet = make_subnet(root, network["id"], "10.0.0.0/24", project_id="other")
        port = make_port(root, network["id"], project_id="other", **OWN)
        own = make_network(root, 101, project_id="demo")
        found = {each: ok(root.get(each))[each] for each in ("networks", "subnets")}
        things = {"networks": found["networks"][0], "subnets": found["subnets"][0], "ports": port, "own": own}
        assert subnet["id"] == things["subnets"]["id"]
        yield Cloud(client, root, things)


def _path(cloud: Cloud, what: str) -> str:
    return f"{'networks' if what == 'own' else what}/{cloud.things[what]['id']}"


def _port(cloud: Cloud, **more: Any) -> Any:
    body = {"network_id": cloud.things["networks"]["id"]} | more
    return cloud.ask("alice", "POST", "ports", {"port": body})


@pytest.mark.parametrize("user", ["alice", "max"])
def test_only_an_admin_shares_a_network(cloud: Cloud, user: str) -> None:
    before = cloud.state()
    for value in TRUTHS:
        for method, path in (("POST", "networks"), ("PUT", _path(cloud, "own"))):
            answer = cloud.ask(user, method, path, {"network": {"shared": value}})
            refused(answer, 403, "PolicyNotAuthorized", "_network:shared", "needs the role admin")
        several = [{"shared": False}, {"shared": value}]
        answer = cloud.ask(user, "POST", "networks", {"networks": several})
        refused(answer, 403, "PolicyNotAuthorized")
    for value in (None, "perhaps", 2, [True], {"": True}):
        answer = cloud.ask(user, "PUT", _path(cloud, "own"), {"network": {"shared": value}})
        refused(answer, 400, "HTTPBadRequest", "shared")
    assert cloud.state() == before
    for value in TRUTHS:
        changed = cloud.ask("root", "PUT", _path(cloud, "own"), {"network": {"shared": value}})
        assert ok(changed)["network"]["shared"] is True


def test_a_member_may_say_that_its_network_is_what_it_is(cloud: Cloud) -> None:
    path = _path(cloud, "own")
    for method, where, status in (("POST", "networks", 201), ("PUT", path, 200)):
        answer = cloud.ask("alice", method, where, {"network": {"shared": False}})
        assert ok(answer, status)["network"]["shared"] is False
    ok(cloud.ask("root", "PUT", path, {"network": {"shared": True}}))
    assert ok(cloud.ask("alice", "PUT", path, {"network": {"shared": True}}))["network"]["shared"] is True
    refused(
        cloud.ask("alice", "PUT", path, {"network": {"shared": False}}),
        403,
        "PolicyNotAuthorized",
        "rule:update_network:shared",
    )


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_a_guest_sees_the_network_and_its_subnets_and_nobodys_ports(cloud: Cloud, user: str) -> None:
    for what in ("networks", "subnets"):
        thing = cloud.things[what]
        assert ok(cloud.ask(user, "GET", _path(cloud, what))) == {what[:-1]: thing}
        assert thing in ok(cloud.ask(user, "GET", what))[what]
        assert ok(cloud.ask(user, "GET", f"{what}?project_id=other"))[what] == [thing]
        assert ok(cloud.ask(user, "GET", f"{_path(cloud, what)}/tags")) == {"tags": []}
    for value, expected in (("True", "networks"), ("false", "own")):
        shown = ok(cloud.ask(user, "GET", f"networks?shared={value}"))["networks"]
        assert shown == [cloud.things[expected]]
    theirs, network = cloud.things["ports"], cloud.things["networks"]
    for query in ("", f"?network_id={network['id']}", "?project_id=other", f"?id={theirs['id']}"):
        assert ok(cloud.ask(user, "GET", f"ports{query}"))["ports"] == []
    address = theirs["fixed_ips"][0]["ip_address"]
    assert ok(cloud.ask(user, "GET", f"ports?fixed_ips=ip_address={address}"))["ports"] == []
    assert cloud.ask(user, "GET", _path(cloud, "ports")).status_code == 404


def test_a_guest_changes_nothing_of_it(cloud: Cloud) -> None:
    before = cloud.state()
    network_id = cloud.things["networks"]["id"]
    subnet = {"network_id": network_id, "cidr": "198.51.100.0/24"}
    asked: list[tuple[str, str, Any]] = [
        ("POST", "subnets", {"subnet": subnet}),
        ("POST", "subnets", {"subnets": [subnet]}),
        ("POST", "subnets", {"subnet": subnet | {"project_id": "demo"}}),
        ("PUT", _path(cloud, "networks"), {"network": {"shared": True}}),
    ]
    for what in ("networks", "subnets"):
        path = _path(cloud, what)
        asked += [("PUT", path, {what[:-1]: {"name": "mine"}}), ("PUT", path, {what[:-1]: {}})]
        asked += [("DELETE", path, None), ("PUT", f"{path}/tags", {"tags": ["x"]})]
        asked += [("PUT", f"{path}/tags/x", None), ("DELETE", f"{path}/tags", None)]
    for method, path, body in asked:
        answer = cloud.ask("alice", method, path, body)
        refused(answer, 403, "PolicyNotAuthorized", "rule:admin_or_network_owner", "project demo")
    assert cloud.state() == before


def test_a_guest_has_ports_there(cloud: Cloud) -> None:
    subnet = cloud.things["subnets"]["id"]
    for chosen in ({}, {"fixed_ips": [{"subnet_id": subnet}]}, {"project_id": "demo"}):
        made = ok(_port(cloud, **chosen), 201)["port"]
        assert made["project_id"] == "demo"
        assert [each["subnet_id"] for each in made["fixed_ips"]] == [subnet]
        assert ok(cloud.ask("alice", "GET", "ports"))["ports"] == [made]
        path = f"ports/{made['id']}"
        again = {name: made[name] for name in ("name", "fixed_ips", "allowed_address_pairs")}
        changed = ok(cloud.ask("alice", "PUT", path, {"port": again | {"name": "mine"}}))["port"]
        assert (changed["name"], changed["fixed_ips"]) == ("mine", made["fixed_ips"])
        ok(cloud.ask("alice", "DELETE", path), 204)
    assert _port(cloud, project_id="other").status_code == 403
    new = {"network_id": cloud.things["networks"]["id"]}
    assert cloud.ask("bob", "POST", "ports", {"port": new}).status_code == 403
    ok(cloud.ask("root", "PUT", _path(cloud, "networks"), {"network": {"shared": False}}))
    assert _port(cloud).status_code == 404


def test_a_guest_names_no_address(cloud: Cloud) -> None:
    """Neither the gateway's, nor one that would say by its refusal whether another has it."""
    theirs, subnet = cloud.things["ports"], cloud.things["subnets"]["id"]
    mine = ok(_port(cloud), 201)["port"]
    before = cloud.state()
    gateway, taken, free = "10.0.0.1", theirs["fixed_ips"][0]["ip_address"], "10.0.0.200"
    for address in (gateway, taken, free, "198.51.100.1"):
        for named in ({"ip_address": address}, {"ip_address": address, "subnet_id": subnet}):
            body = {"fixed_ips": [{"subnet_id": subnet}, named]}
            for answer in (
                _port(cloud, **body),
                cloud.ask("alice", "PUT", f"ports/{mine['id']}", {"port": body}),
            ):
                refused(answer, 403, "PolicyNotAuthorized", "_port:fixed_ips:ip_address")
        pairs = {"allowed_address_pairs": [{"ip_address": address}]}
        for answer in (
            _port(cloud, **pairs),
            cloud.ask("alice", "PUT", f"ports/{mine['id']}", {"port": pairs}),
        ):
            refused(answer, 403, "PolicyNotAuthorized", "_port:allowed_address_pairs")
    for mac in (theirs["mac_address"], "fa:16:3e:00:00:99"):
        refused(_port(cloud, mac_address=mac), 403, "PolicyNotAuthorized", "rule:create_port:mac_address")
    assert cloud.state() == before
    body = {"network_id": cloud.things["networks"]["id"], "fixed_ips": [{"ip_address": free}]}
    ok(cloud.ask("nova", "POST", "ports", {"port": body | {"project_id": "demo"}}), 201)


def test_on_its_own_network_a_project_names_addresses(cloud: Cloud) -> None:
    own = cloud.things["own"]["id"]
    ok(cloud.ask("root", "PUT", _path(cloud, "own"), {"network": {"shared": True}}))
    subnet = {"subnet": {"network_id": own, "cidr": "10.1.0.0/24"}}
    ok(cloud.ask("alice", "POST", "subnets", subnet), 201)
    named = {"fixed_ips": [{"ip_address": "10.1.0.7"}], "mac_address": "fa:16:3e:00:00:07"}
    made = ok(_port(cloud, network_id=own, **named), 201)["port"]
    assert made["fixed_ips"][0]["ip_address"] == "10.1.0.7"


def test_a_network_is_not_taken_from_those_who_use_it(cloud: Cloud) -> None:
    mine, path = ok(_port(cloud), 201)["port"], _path(cloud, "networks")
    answer = cloud.ask("root", "PUT", path, {"network": {"shared": False, "name": "x"}})
    refused(answer, 409, "InvalidSharedSetting", "Multiple projects are using it.", "belong to demo.")
    assert ok(cloud.ask("alice", "GET", path))["network"] == cloud.things["networks"]
    ok(cloud.ask("alice", "DELETE", f"ports/{mine['id']}"), 204)
    ok(cloud.ask("root", "PUT", path, {"network": {"shared": False}}))
    for what in ("networks", "subnets"):
        assert cloud.ask("alice", "GET", _path(cloud, what)).status_code == 404
        shown = ok(cloud.ask("alice", "GET", what))[what]
        assert shown == [each for each in shown if each["project_id"] == "demo"]


def test_the_owner_sees_and_deletes_what_is_on_its_network(cloud: Cloud) -> None:
    own = {"network_id": cloud.things["own"]["id"]}
    theirs = make_port(cloud.root, own["network_id"], project_id="other", **OWN)
    mine = ok(_port(cloud, **own), 201)["port"]
    path = f"ports/{theirs['id']}"
    for user in ("alice", "bob"):
        assert ok(cloud.ask(user, "GET", "ports"))["ports"] == [theirs, mine]
        assert ok(cloud.ask(user, "GET", "ports?project_id=other"))["ports"] == [theirs]
        assert ok(cloud.ask(user, "GET", path))["port"] == theirs
    before = cloud.state()
    for method, where, body in (
        ("PUT", path, {"port": {"name": "mine"}}),
        ("PUT", path, {"port": {}}),
        ("PUT", f"{path}/tags/x", None),
        ("DELETE", f"{path}/tags", None),
    ):
        answer = cloud.ask("alice", method, where, body)
        refused(answer, 403, "PolicyNotAuthorized", "rule:update_port", "another's port")
    answer = cloud.ask("alice", "DELETE", _path(cloud, "own"))
    refused(answer, 409, "NetworkInUse", "has 2 port(s)", f"{theirs['id']}, {mine['id']}.")
    assert cloud.ask("bob", "DELETE", path).status_code == 403
    assert cloud.state() == before
    ok(cloud.ask("alice", "DELETE", path), 204)
    assert ok(cloud.ask("alice", "GET", "ports"))["ports"] == [mine]


def test_the_owner_deletes_no_servers_port(cloud: Cloud) -> None:
    there = {"project_id": "other", "device_id": SERVER, "binding:host_id": ""}
    port = make_port(cloud.root, cloud.things["own"]["id"], **there)
    answer = cloud.ask("alice", "DELETE", f"ports/{port['id']}")
    refused(answer, 403, "PolicyNotAuthorized", "rule:delete_port:device_id")


@pytest.mark.parametrize("owner", ["network:dhcp", "network:router_interface", "network:x"])
def test_what_serves_a_network_says_its_owner(cloud: Cloud, owner: str) -> None:
    guest = ok(_port(cloud), 201)["port"]
    own = {"network_id": cloud.things["own"]["id"]}
    before = cloud.state()
    wanted = {"device_owner": owner, "device_id": "reserved_dhcp_port"}
    for answer in (
        _port(cloud, **wanted),
        cloud.ask("alice", "PUT", f"ports/{guest['id']}", {"port": wanted}),
    ):
        refused(answer, 403, "PolicyNotAuthorized", "_port:device_owner")
    for more in ({"device_id": SERVER}, {"device_id": SERVER.upper()}, {"device_owner": "compute:kedge"}):
        refused(_port(cloud, **own | wanted | more), 403, "PolicyNotAuthorized", "rule:create_port:device")
    assert cloud.state() == before
    made = ok(_port(cloud, **own | wanted), 201)["port"]
    plain = ok(_port(cloud, **own), 201)["port"]
    for port in (made, plain):
        path = f"ports/{port['id']}"
        assert ok(cloud.ask("alice", "PUT", path, {"port": wanted}))["port"]["device_owner"] == owner
        refused(cloud.ask("alice", "PUT", path, {"port": {"device_id": SERVER}}), 403, "PolicyNotAuthorized")
