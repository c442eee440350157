"""`If-Match: revision_number=N`: changes that depend on nobody else having made one."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from .rest_world import NOBODY, ok, refused

BODIES = {
    "networks": {"network": {"name": "changed"}},
    "subnets": {"subnet": {"name": "changed"}},
    "ports": {"port": {"name": "changed"}},
}


@pytest.fixture(params=BODIES)
def target(
    request: pytest.FixtureRequest, api: TestClient, network: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The path of something that can be changed and deleted, and the body of a change."""
    collection = request.param
    if collection == "networks":
        return f"networks/{network['id']}", BODIES[collection]
    body: dict[str, Any] = {"network_id": network["id"]}
    if collection == "subnets":
        body["cidr"] = "192.0.2.0/24"
    made = ok(api.post(collection, json={collection[:-1]: body}), 201)[collection[:-1]]
    return f"{collection}/{made['id']}", BODIES[collection]


def revision(api: TestClient, path: str) -> int:
    (shown,) = ok(api.get(path, params={"fields": "revision_number"})).values()
    return int(shown["revision_number"])


def seen(number: int) -> dict[str, str]:
    return {"If-Match": f"revision_number={number}"}


def test_a_change_of_what_was_seen_goes_through(api: TestClient, target: tuple[str, Any]) -> None:
    path, body = target
    first = revision(api, path)
    ok(api.put(path, json=body, headers=seen(first)))
    assert revision(api, path) > first
    message = f"Constrained to {first}, but current revision is {revision(api, path)}"
    for response in (
        api.put(path, json=body, headers=seen(first)),
        api.delete(path, headers=seen(first)),
        api.delete(path, headers=seen(first + 9)),
    ):
        refused(response, 412, "RevisionNumberConstraintFailed")
    refused(api.delete(path, headers=seen(first)), 412, "RevisionNumberConstraintFailed", message)
    ok(api.delete(path, headers=seen(revision(api, path))), 204)
    assert api.get(path).status_code == 404


@pytest.mark.parametrize(
    "header", ["*", '"abc"', "revision_number=", "revision_number=-1", "revision_number=1e3", "x" * 9000]
)
def test_a_condition_that_is_not_understood_is_no_condition_that_holds(
    api: TestClient, target: tuple[str, Any], header: str
) -> None:
    path, body = target
    first = revision(api, path)
    refused(api.put(path, json=body, headers={"If-Match": header}), 400, "InvalidInput", "If-Match")
    refused(api.delete(path, headers={"If-Match": header}), 400, "InvalidInput", "If-Match")
    assert revision(api, path) == first


def test_what_is_not_there_has_no_revision(api: TestClient) -> None:
    refused(api.put(f"ports/{NOBODY}", json=BODIES["ports"], headers=seen(1)), 404, "PortNotFound", NOBODY)
