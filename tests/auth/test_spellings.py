"""A rule holds for what is stored, however the request names and spells it."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from pydantic import BaseModel

from kedge.network.api.attributes import ATTRIBUTE_RULES
from kedge.network.api.bodies import (
    NetworkChanges,
    NewNetwork,
    NewPort,
    NewSubnet,
    NewSubnetPool,
    PortChanges,
    SubnetChanges,
    SubnetPoolChanges,
)

from ..network.network_world import make_world
from ..network.rest_world import NOBODY, SERVER, make_network, make_port, make_subnet, ok, rest
from .cloud import V2, Cloud, guarded
from .conftest import USERS, basic


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory = tmp_path_factory.mktemp("cloud")
    with make_world(directory) as world, rest(world) as root, guarded(world, directory) as client:
        cloud = Cloud(client, root)
        for number, project in enumerate(("demo", "other")):
            prefix = "" if project == "demo" else "other-"
            network = make_network(root, 100 + number, project_id=project)
            subnet = make_subnet(root, network["id"], f"10.{number}.0.0/24", project_id=project)
            port = make_port(root, network["id"], project_id=project, device_id="", device_owner="")
            pool = {"name": "pool", "prefixes": ["10.0.0.0/8"], "project_id": project}
            pool = ok(root.post("subnetpools", json={"subnetpool": pool}), 201)["subnetpool"]
            made = {"networks": network, "subnets": subnet, "ports": port, "subnetpools": pool}
            cloud.things |= {f"{prefix}{collection}": thing for collection, thing in made.items()}
        yield cloud


BODIES: dict[tuple[str, str], type[BaseModel]] = {
    ("POST", "networks"): NewNetwork,
    ("PUT", "networks"): NetworkChanges,
    ("POST", "subnets"): NewSubnet,
    ("PUT", "subnets"): SubnetChanges,
    ("POST", "subnetpools"): NewSubnetPool,
    ("PUT", "subnetpools"): SubnetPoolChanges,
    ("POST", "ports"): NewPort,
    ("PUT", "ports"): PortChanges,
}
VALUES: dict[str, Any] = {
    "provider:network_type": "vlan",
    "provider:physical_network": "physnet1",
    "provider:segmentation_id": 4000,
    "shared": True,
    "is_default": True,
    "prefixes": ["10.0.0.0/8"],
    "cidr": "10.99.0.0/24",
    "binding:host_id": "h1",
    "binding:profile": {"a": "b"},
    "trusted": True,
    "mac_address": "fa:16:3e:00:00:99",
    "device_id": SERVER,
    "device_owner": "compute:kedge",
    "project_id": "other",
    "tenant_id": "other",
}
CHANGE = {("POST", each): f"create_{each}" for each in ("network", "port")} | {
    ("PUT", each): f"update_{each}" for each in ("network", "port")
}


def _names(body: type[BaseModel]) -> Iterator[tuple[str, bool]]:
    """Every name that an attribute could be given under, and whether it is the one that Neutron has."""
    seen = set()
    for name, about in body.model_fields.items():
        neutrons = about.alias or name
        for spelt in (neutrons, name, neutrons.upper(), f" {neutrons}", neutrons.replace(":", "_")):
            if spelt not in seen:
                seen.add(spelt)
                yield spelt, spelt == neutrons


def _refused(user: str, method: str, collection: str, attribute: str) -> bool:
    """Whether the rules, as they are said in words here once more, forbid it."""
    role, _, project = USERS[user].partition(":")
    if role == "reader" or (role == "service" and collection != "ports"):
        return True
    if role == "admin":
        return False
    if attribute in ("project_id", "tenant_id"):
        return bool(project)
    if attribute in ("device_id", "device_owner", "binding:host_id", "binding:profile"):
        return role == "member"
    if attribute == "trusted":
        return role in ("member", "service")
    if attribute == "mac_address":
        return role == "member" and method == "PUT"
    return attribute in ("shared", "is_default") or attribute.startswith("provider:")


CASES = [
    (method, collection, name, known)
    for (method, collection), body in BODIES.items()
    for name, known in _names(body)
    if (name in VALUES) or not known
]


@pytest.mark.parametrize("bulk", [False, True], ids=["one", "bulk"])
@pytest.mark.parametrize("user", USERS)
def test_every_attribute_in_every_spelling_for_every_role(cloud: Cloud, user: str, bulk: bool) -> None:
    before, wrong = cloud.state(), []
    for method, collection, name, known in CASES:
        if bulk and method == "PUT":
            continue
        kind, value = collection.removesuffix("s"), VALUES.get(name.strip().lower(), "x")
        resource = _minimal(cloud, method, collection) | {name: value}
        body = {collection: [resource]} if bulk else {kind: resource}
        path = collection if method == "POST" else f"{collection}/{cloud.things[collection]['id']}"
        answer = cloud.ask(user, method, path, body)
        may_write = not _refused(user, method, collection, "name")
        read_only = method == "PUT" and name in BODIES[method, collection].read_only  # type: ignore[attr-defined]
        if not may_write:
            expected = {403}
        elif not known or read_only or (collection, name) == ("networks", "is_default"):
            expected = {400}  # of a network it is nothing that Kedge has
        elif any(_refused(user, method, collection, each) for each in resource):
            expected = {403}
        elif (method, name) == ("PUT", "cidr"):
            expected = {400}  # only a delegated prefix is ever another one
        else:
            expected = {200, 201, 409}
        if answer.status_code not in expected:
            wrong.append((method, collection, name, answer.status_code, answer.text[:200]))
        if answer.status_code == 201:
            for made in answer.json().get(collection) or [answer.json()[kind]]:
                ok(cloud.root.delete(f"{collection}/{made['id']}"), 204)
        elif answer.status_code == 200:
            _put_back(cloud)
    assert wrong == []
    assert _without_revisions(cloud.state()) == _without_revisions(before), (
        "a refused request changed nothing"
    )


def _minimal(cloud: Cloud, method: str, collection: str) -> dict[str, Any]:
    if method == "PUT":
        return {}
    if collection == "subnetpools":
        return {"name": "pool", "prefixes": ["10.0.0.0/8"]}
    if collection == "networks":
        names = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")
        return dict(zip(names, ("vlan", "physnet1", 3999), strict=True))
    network_id = cloud.things["networks"]["id"]
    return {"network_id": network_id} | ({"cidr": "10.99.0.0/24"} if collection == "subnets" else {})


def _put_back(cloud: Cloud) -> None:
    pool = cloud.things["subnetpools"]
    back = {name: pool[name] for name in ("name", "is_default")}
    ok(cloud.root.put(f"subnetpools/{pool['id']}", json={"subnetpool": back}))
    network = cloud.things["networks"]
    ok(cloud.root.put(f"networks/{network['id']}", json={"network": {"shared": network["shared"]}}))
    port = cloud.things["ports"]
    names = ("name", "device_id", "device_owner", "mac_address", "binding:host_id")
    ok(cloud.root.put(f"ports/{port['id']}", json={"port": {name: port[name] for name in names}}))


def _without_revisions(state: dict[str, Any]) -> dict[str, Any]:
    volatile = {"revision_number", "updated_at", "binding:profile"}
    return {
        kind: [{name: value for name, value in each.items() if name not in volatile} for each in things]
        for kind, things in state.items()
    }


def test_the_generated_cases_hold_every_rule() -> None:
    cases = {
        (f"{'create' if m == 'POST' else 'update'}_{c[:-1]}", name) for m, c, name, known in CASES if known
    }
    for rule in ATTRIBUTE_RULES:
        for name in rule.of:
            body = BODIES["POST" if name.startswith("create") else "PUT", name.partition("_")[2] + "s"]
            read_only = body.read_only  # type: ignore[attr-defined]
            assert (name, rule.attribute) in cases or rule.attribute in read_only


SPELLINGS: list[Any] = [str.lower, str.upper, str.title, "{{{}}}".format, lambda each: each.replace("-", "")]


@pytest.mark.parametrize("spelt", SPELLINGS)
def test_anothers_network_is_not_there_in_any_spelling(cloud: Cloud, spelt: Any) -> None:
    theirs, own = spelt(cloud.things["other-networks"]["id"]), spelt(cloud.things["networks"]["id"])
    before = cloud.state()
    for body in (
        {"port": {"network_id": theirs}},
        {"subnet": {"network_id": theirs, "cidr": "198.51.100.0/24"}},
    ):
        (kind,) = body
        told = 403 if kind == "subnet" else 404
        for form in (body, {f"{kind}s": [body[kind]]}):
            assert cloud.ask("alice", "POST", f"{kind}s", form).status_code in (400, told)
    assert cloud.state() == before
    answer = cloud.ask("alice", "POST", "ports", {"port": {"network_id": own}})
    if answer.status_code == 201:
        assert answer.json()["port"]["network_id"] == cloud.things["networks"]["id"]
        ok(cloud.root.delete(f"ports/{answer.json()['port']['id']}"), 204)


def test_that_a_network_is_there_is_all_that_is_told(cloud: Cloud) -> None:
    theirs = cloud.things["other-networks"]
    answers = []
    for changes in ({"cidr": "198.51.100.0/24"}, {"cidr": "10.1.0.0/24"}, {"subnetpool_id": NOBODY}):
        new = {"network_id": theirs["id"], **changes}
        answers.append(cloud.ask("alice", "POST", "subnets", {"subnet": new}))
    (said,) = {(each.status_code, each.text) for each in answers}
    assert said[0] == 403
    assert theirs["name"] not in said[1]
    unknown = {"network_id": NOBODY, "cidr": "198.51.100.0/24"}
    assert cloud.ask("alice", "POST", "subnets", {"subnet": unknown}).status_code == 404


def test_a_block_is_taken_from_a_pool_of_ones_own_or_one_that_is_shared(cloud: Cloud) -> None:
    network_id = cloud.things["networks"]["id"]
    new = {"name": "all", "prefixes": ["2001:db8::/48"], "shared": True, "is_default": True}
    shared = ok(cloud.root.post("subnetpools", json={"subnetpool": new}), 201)["subnetpool"]
    path = f"subnetpools/{shared['id']}"
    for method, body in (("PUT", {"subnetpool": {"name": "mine"}}), ("DELETE", None)):
        assert cloud.ask("alice", method, path, body).status_code == 403
    asked = {"network_id": network_id, "subnetpool_id": shared["id"], "ip_version": 6}
    made = ok(cloud.ask("alice", "POST", "subnets", {"subnet": asked}), 201)["subnet"]
    ok(cloud.root.delete(f"subnets/{made['id']}"), 204)
    theirs = cloud.things["other-subnetpools"]["id"]
    answer = cloud.ask(
        "alice", "POST", "subnets", {"subnet": asked | {"subnetpool_id": theirs, "ip_version": 4}}
    )
    assert (answer.status_code, answer.json()["NeutronError"]["type"]) == (404, "SubnetPoolNotFound")
    ok(cloud.root.delete(path), 204)


@pytest.mark.parametrize("spelt", SPELLINGS)
def test_a_servers_ports_are_not_a_members_business(cloud: Cloud, spelt: Any) -> None:
    port, server = cloud.things["ports"]["id"], spelt(SERVER)
    network_id = cloud.things["networks"]["id"]
    assert cloud.ask("alice", "PUT", f"ports/{port}", {"port": {"device_id": server}}).status_code == 403
    new = {"network_id": network_id, "device_id": server}
    assert cloud.ask("alice", "POST", "ports", {"port": new}).status_code == 403
    ok(
        cloud.ask(
            "nova", "PUT", f"ports/{port}", {"port": {"device_id": server, "device_owner": "compute:nova"}}
        )
    )
    try:
        for change in ({"device_id": ""}, {"device_owner": ""}, {"device_id": "x"}):
            assert cloud.ask("alice", "PUT", f"ports/{port}", {"port": change}).status_code == 403
        assert cloud.ask("alice", "DELETE", f"ports/{port}").status_code == 403
        same = {"device_id": server, "device_owner": "compute:nova", "name": "renamed"}
        assert cloud.ask("alice", "PUT", f"ports/{port}", {"port": same}).status_code == 200
    finally:
        _put_back(cloud)


def test_a_member_may_label_a_port_that_is_no_servers(cloud: Cloud) -> None:
    port = cloud.things["ports"]["id"]
    ok(cloud.ask("alice", "PUT", f"ports/{port}", {"port": {"device_id": "printer", "device_owner": "mine"}}))
    ok(cloud.ask("alice", "PUT", f"ports/{port}", {"port": {"device_id": "", "device_owner": ""}}))


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_only_who_runs_servers_makes_a_port_count_for_one(cloud: Cloud, user: str, method: str) -> None:
    role = USERS[user].partition(":")[0]
    port, network_id = cloud.things["ports"]["id"], cloud.things["networks"]["id"]
    path = "ports" if method == "POST" else f"ports/{port}"
    # Those of servers that are made or adopted later are UUIDs too.
    servers = [*(spelt(SERVER) for spelt in SPELLINGS), f"urn:uuid:{SERVER}", SERVER[::-1].replace("-", "")]
    owners = ["", "compute:nova", "COMPUTE:x", "compute:kedge", " compute:Kedge"]
    wrong = []
    for device_id, owner in product(["", "printer", *servers], owners):
        wanted = {"device_id": device_id, "device_owner": owner}
        answer = cloud.ask(
            user, method, path, {"port": wanted | ({"network_id": network_id} if method == "POST" else {})}
        )
        counts = device_id in servers or owner.strip().lower() == "compute:kedge"
        allowed = role in ("admin", "service") or (role == "member" and not counts)
        if (answer.status_code in (200, 201)) != allowed or (not allowed and answer.status_code != 403):
            wrong.append((wanted, answer.status_code, answer.text[:200]))
        if answer.status_code == 201:
            ok(cloud.root.delete(f"ports/{answer.json()['port']['id']}"), 204)
        elif answer.status_code == 200:
            _put_back(cloud)
    assert wrong == []


NOT_FOUND = {"subnetpool": "SubnetPoolNotFound"}


@pytest.mark.parametrize("collection", ["networks", "subnets", "subnetpools", "ports"])
def test_what_is_anothers_is_not_there(cloud: Cloud, collection: str) -> None:
    kind, theirs = collection[:-1], cloud.things[f"other-{collection}"]["id"]
    before = cloud.state()
    for user in ("alice", "bob"):
        for query in ("", "?project_id=other", "?tenant_id=other", f"?id={theirs}", "?fields=id&limit=10"):
            shown = ok(cloud.ask(user, "GET", f"{collection}{query}"))[collection]
            assert theirs not in [each["id"] for each in shown]
        assert [each["id"] for each in ok(cloud.ask(user, "GET", collection))[collection]] == [
            cloud.things[collection]["id"]
        ]
    for method, path, body in [
        ("GET", "", None),
        ("PUT", "", {kind: {"name": "mine"}}),
        ("DELETE", "", None),
        ("GET", "/tags", None),
        ("PUT", "/tags/x", None),
        ("DELETE", "/tags", None),
    ]:
        answer = cloud.ask("alice", method, f"{collection}/{theirs}{path}", body)
        assert answer.status_code == 404, (method, path)
        assert answer.json()["NeutronError"]["type"] == NOT_FOUND.get(kind, f"{kind.title()}NotFound")
    assert cloud.state() == before


def test_what_a_user_of_a_project_makes_is_the_projects(cloud: Cloud) -> None:
    for owner in ({}, {"project_id": "demo"}, {"tenant_id": "demo"}, {"project_id": ""}):
        new = {"network_id": cloud.things["networks"]["id"]} | owner
        made = ok(cloud.ask("alice", "POST", "ports", {"port": new}), 201)["port"]
        assert made["project_id"] == made["tenant_id"] == "demo"
        ok(cloud.root.delete(f"ports/{made['id']}"), 204)


def test_a_project_confines_neither_admin_nor_service(cloud: Cloud) -> None:
    for user, (theirs, own) in product(
        ("root", "nova"), [(cloud.things["other-ports"], cloud.things["ports"])]
    ):
        assert ok(cloud.ask(user, "GET", f"ports/{theirs['id']}"))["port"]["id"] == theirs["id"]
        assert {each["id"] for each in ok(cloud.ask(user, "GET", "ports"))["ports"]} == {
            own["id"],
            theirs["id"],
        }


@pytest.mark.parametrize("user", ["alice", "max"])
def test_a_body_that_might_be_read_in_two_ways_is_refused(cloud: Cloud, user: str) -> None:
    headers = basic(user) | {"content-type": "application/json"}
    path = f"{V2}/ports/{cloud.things['ports']['id']}"
    for body in (b"{", b'{"port": {"name": "x"}, "port": {"binding:host_id": "h1"}}'):
        answer = cloud.guarded.put(path, content=body, headers=headers)
        assert (answer.status_code, answer.json()["NeutronError"]["type"]) == (400, "MalformedRequestBody")


def test_how_much_a_project_has_is_its_own_business(cloud: Cloud) -> None:
    for user, about in USERS.items():
        others = 403 if about.endswith(":demo") else 200
        for path in ("", "/default", "/details"):
            asked = [cloud.ask(user, "GET", f"quotas/{each}{path}").status_code for each in ("demo", "other")]
            assert asked == [200, others], user


@pytest.mark.parametrize("user", USERS)
def test_only_an_admin_says_which_prefix_was_delegated(cloud: Cloud, user: str) -> None:
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    network_id = cloud.things["networks"]["id"]
    new = {"network_id": network_id, "ip_version": 6, "subnetpool_id": "prefix_delegation", **modes}
    project = {"project_id": cloud.things["networks"]["project_id"]}
    held = ok(cloud.root.post("subnets", json={"subnet": new | project}), 201)["subnet"]
    told = {"subnet": {"cidr": "2001:db8:0:1::/64"}}
    answer = cloud.ask(user, "PUT", f"subnets/{held['id']}", told)
    is_admin = USERS[user].startswith("admin")
    assert answer.status_code == (200 if is_admin else 403), answer.text
    shown = ok(cloud.root.get(f"subnets/{held['id']}"))["subnet"]
    assert shown["cidr"] == ("2001:db8:0:1::/64" if is_admin else "::/64")
    ok(cloud.root.delete(f"subnets/{held['id']}"), 204)
