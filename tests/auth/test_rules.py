"""The table of rules: complete, unambiguous, and enforced."""

import re
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.routing import iter_route_contexts

from kedge.auth.policy import Policy
from kedge.auth.rules import ADMIN, ANYBODY, RULES, V1, V2, V21, Of, Rule
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
    ("GET", f"{V2}/quotas/demo", EVERYBODY),
    ("GET", f"{V2}/quotas", {R, M, S, A}),
    ("PUT", f"{V2}/quotas/demo", {A}),
    ("DELETE", f"{V2}/quotas/demo", {A}),
    ("PUT", f"{V2}/agents/a", {A}),
    ("DELETE", f"{V2}/agents/a", {A}),
    ("GET", f"{V1}/hosts", {R, M, S, A}),
    ("PUT", f"{V1}/hosts/h1/forced-down", {A}),
    ("PUT", f"{V1}/hosts/h1/disabled", {A}),
    ("PUT", f"{V1}/hosts/h1/limits", {A}),
    ("PATCH", f"{V1}/hosts/h1/labels", {A}),
    ("PATCH", f"{V1}/servers/vm1/labels", {A}),
    ("GET", f"{V1}/operations", {A}),
    ("POST", f"{V1}/operations", {A}),
    ("POST", f"{V1}/operations/simulate", {A}),
    ("POST", f"{V1}/servers/vm1/forecast", {A}),
    ("GET", f"{V1}/operations/o", {A}),
    ("POST", f"{V1}/operations/o/pause", {A}),
    ("POST", f"{V1}/operations/o/resume", {A}),
    ("POST", f"{V1}/operations/o/abort", {A}),
    ("PUT", f"{V1}/operations/o/limits", {A}),
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
    ("GET", f"{V21}/servers", EVERYBODY),
    ("GET", f"{V21}/servers/detail", EVERYBODY),
    ("GET", f"{V21}/servers/s", EVERYBODY),
    ("POST", f"{V21}/servers/s/action", {M, A, MP}),
    ("GET", f"{V21}/servers/s/migrations", {A}),
    ("DELETE", f"{V21}/servers/s/migrations/1", {A}),
    ("POST", f"{V21}/servers/s/migrations/1/action", {A}),
    ("GET", f"{V21}/os-migrations", {A}),
]


@pytest.mark.parametrize(("method", "path", "allowed"), MATRIX)
def test_who_gets_in(guarded: Guarded, method: str, path: str, allowed: set[str]) -> None:
    statuses = {user: guarded.ask(method, path, user).status_code for user in EVERYBODY}
    assert statuses == {user: 200 if user in allowed else 403 for user in EVERYBODY}
    assert {each["caller"] for each in guarded.inner.seen} == allowed


def _plain(path: str) -> str:
    return re.sub(r"{[^}]*}", "{}", path)


def _routes() -> list[tuple[str, str]]:
    migrations = SimpleNamespace(listen=lambda _: None)
    nothing = cast(Any, SimpleNamespace(tools=SimpleNamespace(migrations=migrations)))
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
        assert found is rule


def test_nobody_gets_far_without_saying_who(guarded: Guarded) -> None:
    for rule in RULES:
        answer = guarded.client.request(rule.method, re.sub(r"{[^}]*}", "x", rule.path))
        assert answer.status_code == (200 if rule.roles is ANYBODY else 401), rule
    assert {rule.path for rule in RULES if rule.roles is ANYBODY} == {
        *("/network", "/network/", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"),
        *("/compute", "/compute/", V21, f"{V21}/"),
    }


def test_what_kedge_has_none_of_is_said_behind_the_guard_too(guarded: Guarded) -> None:
    answer = guarded.client.get(f"{V2}/security-groups", headers=basic("root"))
    assert answer.status_code == 404
    assert (
        answer.json()["NeutronError"]["message"]
        == "This is Kedge, which has no security groups: it does not filter."
    )


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


def test_a_refusal_in_novas_form(guarded: Guarded) -> None:
    answer = guarded.ask("GET", f"{V21}/os-migrations", "max")
    assert answer.status_code == 403
    message = (
        "rule:os_compute_api:os-migrations:index is disallowed by policy"
        " (it needs the role admin; max has member)"
    )
    assert answer.json() == {"forbidden": {"code": 403, "message": message}}


def test_a_refusal_in_kedges_form(guarded: Guarded) -> None:
    answer = guarded.ask("POST", f"{V1}/servers/vm1/migrate", "nova")
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "Forbidden"
    assert "rule:migrate_server" in answer.json()["error"]["message"]


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


def _open_schemas(schema: Any, parts: dict[str, Any], seen: set[str]) -> list[str]:
    """Names of the parts of a body that take names which they do not know."""
    if not schema or not isinstance(schema, dict):
        return []
    name = schema.get("$ref", "").rpartition("/")[2]
    if name and name in seen:
        return []
    seen.add(name)
    schema = parts[name] if name else schema
    inner = [*schema.get("properties", {}).values(), schema.get("items", {})]
    inner += [each for key in ("anyOf", "oneOf", "allOf") for each in schema.get(key, ())]
    found = [each for part in inner for each in _open_schemas(part, parts, seen)]
    is_open = "properties" in schema and schema.get("additionalProperties") is not False
    return [*found, *([name or str(schema)] if is_open else [])]


def test_no_body_takes_names_that_it_does_not_know() -> None:
    migrations = SimpleNamespace(listen=lambda _: None)
    nothing = cast(Any, SimpleNamespace(tools=SimpleNamespace(migrations=migrations)))
    described = clients_app(nothing, nothing, nothing).openapi()
    parts, bodies = described["components"]["schemas"], 0
    for path, methods in described["paths"].items():
        for method, about in methods.items():
            for content in about.get("requestBody", {}).get("content", {}).values():
                bodies += 1
                assert _open_schemas(content["schema"], parts, set()) == [], f"{method} {path}"
    assert bodies > 15
