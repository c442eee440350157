"""The table of rules: complete, unambiguous, and enforced."""

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.routing import iter_route_contexts

from kedge.auth.policy import Policy
from kedge.auth.rules import ADMIN, ANYBODY, RULES, V1, V2, Of, Rule
from kedge.control_plane import clients_app

from .conftest import Guarded, basic

# Each row of the table again, in words: who gets in of reader, member, service, admin without a project,
# and of a reader and a member of a project.
R, M, S, A, RP, MP = "audit", "max", "nova", "root", "bob", "alice"
EVERYBODY = {R, M, S, A, RP, MP}
MATRIX = [
    ("GET", f"{V2}/extensions", EVERYBODY),
    ("GET", f"{V2}/networks", EVERYBODY),
    ("POST", f"{V2}/networks", {M, A, MP}),
    ("GET", f"{V2}/networks/demo-1", EVERYBODY),
    ("PUT", f"{V2}/networks/demo-1", {M, A, MP}),
    ("DELETE", f"{V2}/networks/demo-1", {M, A, MP}),
    ("POST", f"{V2}/subnets", {M, A, MP}),
    ("DELETE", f"{V2}/subnets/demo-1", {M, A, MP}),
    ("GET", f"{V2}/ports", EVERYBODY),
    ("POST", f"{V2}/ports", {M, S, A, MP}),
    ("PUT", f"{V2}/ports/demo-1", {M, S, A, MP}),
    ("DELETE", f"{V2}/ports/demo-1", {M, S, A, MP}),
    ("GET", f"{V2}/ports/demo-1/bindings", {S, A}),
    ("POST", f"{V2}/ports/demo-1/bindings", {S, A}),
    ("GET", f"{V2}/ports/demo-1/bindings/h1", {S, A}),
    ("PUT", f"{V2}/ports/demo-1/bindings/h1", {S, A}),
    ("PUT", f"{V2}/ports/demo-1/bindings/h1/activate", {S, A}),
    ("DELETE", f"{V2}/ports/demo-1/bindings/h1", {S, A}),
    ("GET", f"{V2}/agents", {R, M, S, A}),
    ("GET", f"{V2}/ports/demo-1/bindings/h1/preview", {S, A}),
    ("PUT", f"{V2}/binding-switch", {S, A}),
    ("GET", f"{V2}/ports/demo-1/tags", EVERYBODY),
    ("PUT", f"{V2}/ports/demo-1/tags/t", {M, S, A, MP}),
    ("DELETE", f"{V2}/networks/demo-1/tags", {M, A, MP}),
    ("PUT", f"{V2}/agents/a", {A}),
    ("DELETE", f"{V2}/agents/a", {A}),
    ("GET", f"{V1}/hosts", {R, M, S, A}),
    ("GET", f"{V1}/servers", {R, M, S, A}),
    ("POST", f"{V1}/servers", {A}),
    ("POST", f"{V1}/servers/adopt", {A}),
    ("DELETE", f"{V1}/servers/vm1", {A}),
    ("POST", f"{V1}/servers/vm1/plan", {R, M, S, A}),
    ("POST", f"{V1}/servers/vm1/migrate", {A}),
    ("GET", f"{V1}/migrations/1", {R, M, S, A}),
    ("DELETE", f"{V1}/migrations/1", {A}),
    ("GET", f"{V1}/doctor", {R, M, S, A}),
    ("POST", f"{V1}/doctor/repair", {A}),
]


@pytest.mark.parametrize(("method", "path", "allowed"), MATRIX)
def test_who_gets_in(guarded: Guarded, method: str, path: str, allowed: set[str]) -> None:
    statuses = {user: guarded.ask(method, path, user).status_code for user in EVERYBODY}
    assert statuses == {user: 200 if user in allowed else 403 for user in EVERYBODY}
    assert {each["caller"] for each in guarded.inner.seen} == allowed


def _plain(path: str) -> str:
    return re.sub(r"{[^}]*}", "{}", path)


def _routes() -> list[tuple[str, str]]:
    nothing = cast(Any, SimpleNamespace(tools=None))
    app = clients_app(nothing, nothing, nothing)
    return [
        (method, _plain(route.path or "?"))
        for route in iter_route_contexts(app.routes)
        for method in (route.methods or {"ANY"}) - {"HEAD"}
    ]


def test_every_route_has_exactly_one_row_and_every_row_a_route() -> None:
    assert Counter((rule.method, _plain(rule.path)) for rule in RULES) == Counter(_routes())


def test_every_route_is_found_under_its_own_row() -> None:
    policy = Policy()
    for rule in RULES:
        found = policy.rule_for(rule.method, re.sub(r"{[^}]*}", "x", rule.path))
        assert found and found[0] is rule


def test_nobody_gets_far_without_saying_who(guarded: Guarded) -> None:
    for rule in RULES:
        answer = guarded.client.request(rule.method, re.sub(r"{[^}]*}", "x", rule.path))
        assert answer.status_code == (200 if rule.roles is ANYBODY else 401), rule
    assert {rule.path for rule in RULES if rule.roles is ANYBODY} == {
        *("/network", "/network/", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc")
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/kedge/v1/nothing"),
        ("PATCH", f"{V2}/ports"),
        ("GET", f"{V2}/ports/"),
        ("PUT", f"{V2}/ports/x/bindings/h2/activate\n"),
        ("POST", f"{V2}/ports//bindings"),
        ("GET", "//network/v2.0/ports"),
    ],
)
def test_what_has_no_row_is_closed_even_to_an_admin(guarded: Guarded, method: str, path: str) -> None:
    url = "http://testserver" + path.replace("\n", "%0A")
    answer = guarded.client.request(method, url, headers=basic("root"))
    assert answer.status_code == 404
    assert guarded.client.request(method, url).status_code == 401, "not even that is said to strangers"
    assert guarded.inner.seen == []


def test_a_refusal_in_neutrons_form_names_the_rule(guarded: Guarded) -> None:
    answer = guarded.ask("POST", f"{V2}/ports/p/bindings", "max", {"binding": {"host": "h2"}})
    assert answer.status_code == 403
    message = (
        "rule:create_port_binding is disallowed by policy"
        " (it needs the role admin or service; max has member)"
    )
    assert answer.json() == {
        "NeutronError": {"type": "PolicyNotAuthorized", "message": message, "detail": ""}
    }


def test_a_refusal_in_kedges_form(guarded: Guarded) -> None:
    answer = guarded.ask("POST", f"{V1}/servers/vm1/migrate", "nova")
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "Forbidden"
    assert "rule:migrate_server" in answer.json()["error"]["message"]


ATTRIBUTES = [
    ("POST", "networks", {"name": "n"}, {"max", "root"}),
    ("POST", "networks", {"provider:network_type": "flat"}, {"root"}),
    ("POST", "networks", {"provider:segmentation_id": None}, {"root"}),
    ("PUT", "networks/demo-1", {"provider:physical_network": "p"}, {"root"}),
    ("POST", "networks", {"shared": True}, {"root"}),
    ("POST", "networks", {"shared": False, "router:external": "false"}, {"max", "root"}),
    ("POST", "ports", {"network_id": "n", "mac_address": "m"}, {"max", "nova", "root"}),
    ("PUT", "ports/demo-1", {"mac_address": "m"}, {"nova", "root"}),
    ("POST", "ports", {"binding:host_id": "h1"}, {"nova", "root"}),
    ("PUT", "ports/demo-1", {"binding:host_id": ""}, {"nova", "root"}),
    ("PUT", "ports/demo-1", {"binding:profile": {}}, {"nova", "root"}),
    ("PUT", "ports/demo-1", {"name": "p", "binding:vnic_type": "normal"}, {"max", "nova", "root"}),
]


@pytest.mark.parametrize(("method", "path", "attributes", "allowed"), ATTRIBUTES)
@pytest.mark.parametrize("bulk", [False, True])
def test_who_may_give_which_attribute(
    guarded: Guarded, bulk: bool, *, method: str, path: str, attributes: dict[str, Any], allowed: set[str]
) -> None:
    collection = path.partition("/")[0]
    body: dict[str, Any] = {collection: [{}, attributes]} if bulk else {collection[:-1]: attributes}
    for user in ("audit", "max", "nova", "root"):
        answer = guarded.ask(method, f"{V2}/{path}", user, body)
        assert answer.status_code == (200 if user in allowed else 403), user
    assert all(each["body"] == body for each in guarded.inner.seen), (
        "what was allowed comes through as it was"
    )


def test_a_refused_attribute_is_named_as_neutron_does(guarded: Guarded) -> None:
    answer = guarded.ask("PUT", f"{V2}/ports/p", "max", {"port": {"binding:profile": {"a": 1}}})
    message = answer.json()["NeutronError"]["message"]
    assert message.startswith(
        "(rule:update_port and rule:update_port:binding:profile) is disallowed by policy"
    )


BODY = {"content-type": "application/json"}


def test_a_body_that_is_not_there_or_no_resource_is_the_applications_business(guarded: Guarded) -> None:
    for body in (b"", b"[]", b'"x"', b'{"port": []}', b'{"port": null}'):
        headers = basic("max") | BODY
        assert guarded.client.put(f"{V2}/ports/p", content=body, headers=headers).status_code == 200
    assert len(guarded.inner.seen) == 5


@pytest.mark.parametrize(
    "body", [b"{", b"[" * 100_000, b"\xff", b'{"port": {"name": "x"}, "port": {"binding:host_id": "h1"}}']
)
def test_a_body_that_might_be_read_in_two_ways_is_not_let_through(guarded: Guarded, body: bytes) -> None:
    answer = guarded.client.put(f"{V2}/ports/p", content=body, headers=basic("max") | BODY)
    assert answer.status_code == 400
    assert answer.json()["NeutronError"]["type"] == "MalformedRequestBody"
    assert guarded.inner.seen == []


def test_a_huge_body_is_refused_where_it_would_be_looked_into(guarded: Guarded) -> None:
    body = b'{"port": {"name": "' + b"x" * (1 << 20) + b'"}}'
    answer = guarded.client.put(f"{V2}/ports/p", content=body, headers=basic("max") | BODY)
    assert answer.status_code == 413
    assert "1048576 bytes" in answer.json()["NeutronError"]["message"]


def test_a_user_of_a_project_sees_only_its_own(guarded: Guarded) -> None:
    def query(path: str) -> str:
        assert guarded.ask("GET", f"{V2}/{path}", "alice").status_code == 200
        return str(guarded.inner.seen[-1]["query"])

    assert query("ports") == "project_id=demo"
    assert query("ports?name=a&name=b&fields=id") == "name=a&name=b&fields=id&project_id=demo"
    assert query("ports?project_id=other") == "tenant_id=other&project_id=demo"
    assert query("ports?name=%26project_id%3Dother&x=") == "name=%26project_id%3Dother&x=&project_id=demo"
    assert guarded.ask("GET", f"{V2}/ports/demo-1", "alice").status_code == 200
    assert guarded.ask("GET", f"{V2}/ports/nowhere", "alice").status_code == 200, "the application says 404"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("kind", ["Network", "Subnet", "Port"])
def test_what_is_anothers_is_not_there(guarded: Guarded, method: str, kind: str) -> None:
    answer = guarded.ask(method, f"{V2}/{kind.lower()}s/other-1", "alice", {})
    assert answer.status_code == 404
    message = f"{kind} other-1 could not be found."
    assert answer.json()["NeutronError"] == {"type": f"{kind}NotFound", "message": message, "detail": ""}


def test_what_a_user_of_a_project_makes_is_the_projects(guarded: Guarded) -> None:
    def made(resource: dict[str, Any]) -> Any:
        answer = guarded.ask("POST", f"{V2}/ports", "alice", {"port": resource})
        return guarded.inner.seen[-1]["body"]["port"] if answer.status_code == 200 else answer

    assert made({"name": "p"}) == {"name": "p", "project_id": "demo"}
    assert made({"tenant_id": "demo"}) == {"project_id": "demo"}
    assert made({"network_id": "demo-1"}) == {"network_id": "demo-1", "project_id": "demo"}
    for owner in ({"project_id": "other"}, {"tenant_id": "other"}, {"project_id": "demo", "tenant_id": "x"}):
        assert made(owner).status_code == 403
    refused = made({"network_id": "other-1"})
    assert (refused.status_code, refused.json()["NeutronError"]["type"]) == (404, "NetworkNotFound")


def test_a_project_confines_neither_admin_nor_service(guarded: Guarded, tmp_path: Path) -> None:
    text = guarded.file.read_text().replace(":admin", ":admin:demo").replace(":service", ":service:demo")
    guarded.file.write_text(text)
    for user in ("root", "nova"):
        assert guarded.ask("GET", f"{V2}/ports", user).status_code == 200
        assert guarded.inner.seen[-1]["query"] == ""
        assert guarded.ask("GET", f"{V2}/ports/other-1", user).status_code == 200


def test_the_unix_socket_is_not_asked(guarded: Guarded) -> None:
    with_listener = guarded.client.app

    async def as_root(scope: Any, receive: Any, send: Any) -> None:
        await with_listener({**scope, "kedge.listener": "unix"}, receive, send)

    guarded.client.app = as_root
    from fastapi.testclient import TestClient

    assert TestClient(as_root).delete(f"{V2}/networks/n").status_code == 200


def test_rows_say_what_they_must() -> None:
    assert all(rule.of is Of.SYSTEM for rule in RULES if rule.path.startswith(V1))
    assert all(rule.of is Of.PROJECT or "{id}" not in rule.path or rule.roles for rule in RULES)
    bindings = [rule for rule in RULES if "/bindings" in rule.path]
    assert bindings and all("member" not in rule.roles for rule in bindings)
    assert Policy([Rule("GET", "/a/{x}", "var", ADMIN, Of.ALL), Rule("GET", "/a/b", "fix", ADMIN, Of.ALL)])
