"""Text and profiles over REST: what is kept as it was sent, and how long it may get."""

from typing import Any

from fastapi.testclient import TestClient

from .rest_world import make_port, ok, refused

JSON = {"Content-Type": "application/json"}


def test_escapes_that_mean_something_are_kept(api: TestClient, port: dict[str, Any]) -> None:
    text = b'{"port": {"name": "\\u00e9\\ud83d\\ude80\\\\u0000"}}'
    changed = ok(api.put(f"ports/{port['id']}", content=text, headers=JSON))["port"]
    assert changed["name"] == "é🚀\\u0000"


def test_a_profile_does_not_grow_without_end(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    half = "x" * 2500
    ok(api.put(f"{path}/h4", json={"binding": {"profile": {"a": half}}}))
    body: Any = {"host": "h1", "profile": {"b": half}}  # and it gets what is on the port
    refused(api.post(path, json={"binding": body}), 400, "InvalidInput", "too large")
    body = {"trusted": True, "binding:profile": {"a": "x" * 4075}}
    refused(api.put(f"ports/{port['id']}", json={"port": body}), 400, "InvalidInput", "too large")
    assert ok(api.get(f"{path}/h4"))["binding"]["profile"] == {"a": half}
    make_port(api, port["network_id"])
