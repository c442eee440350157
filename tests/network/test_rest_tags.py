"""Tags over REST, and the filters by them."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from .network_world import World
from .rest_world import NOBODY, make_network, make_port, make_subnet, ok, refused

COLLECTIONS = ("networks", "subnets", "ports")


@pytest.fixture(params=COLLECTIONS)
def path(request: pytest.FixtureRequest, subnet: dict[str, Any], port: dict[str, Any]) -> str:
    """A network, a subnet and a port."""
    ids = {"networks": subnet["network_id"], "subnets": subnet["id"], "ports": port["id"]}
    return f"{request.param}/{ids[request.param]}"


def shown(api: TestClient, path: str) -> Any:
    (resource,) = ok(api.get(path)).values()
    return resource


def test_tags_are_set_added_and_removed(api: TestClient, world: World, path: str) -> None:
    before = shown(api, path)
    assert before["tags"] == []
    world.pass_time(61)
    assert ok(api.put(f"{path}/tags", json={"tags": ["red", "blue"]})) == {"tags": ["red", "blue"]}
    after = shown(api, path)
    assert sorted(after["tags"]) == ["blue", "red"]
    assert after["updated_at"] == "2026-11-23T12:01:01Z"
    assert after["revision_number"] == before["revision_number"] + 1
    assert api.put(f"{path}/tags/green").status_code == 201
    assert api.put(f"{path}/tags/green").status_code == 201
    assert sorted(ok(api.get(f"{path}/tags"))["tags"]) == ["blue", "green", "red"]
    assert shown(api, path)["revision_number"] == before["revision_number"] + 2
    assert api.get(f"{path}/tags/green").status_code == 204
    ok(api.delete(f"{path}/tags/green"), 204)
    for response in (api.get(f"{path}/tags/green"), api.delete(f"{path}/tags/green")):
        refused(response, 404, "TagNotFound", "Tag green could not be found.")
    ok(api.delete(f"{path}/tags"), 204)
    assert ok(api.get(f"{path}/tags")) == {"tags": []}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"tags": ["red", "red"]}, "Duplicate items"),
        ({"tags": "red"}, "Invalid input for tags"),
        ({"tags": [5]}, "Invalid input for 0"),
        ({"tags": ["x" * 256]}, "at most 255 characters"),
        ({"tags": [f"tag{number}" for number in range(65)]}, "at most 64 items"),
        ({}, "Unable to find 'tags'"),
    ],
)
def test_tags_that_cannot_be_are_refused(
    api: TestClient, network: dict[str, Any], body: dict[str, Any], message: str
) -> None:
    path = f"networks/{network['id']}/tags"
    refused(api.put(path, json=body), 400, "HTTPBadRequest", message)
    assert ok(api.get(path)) == {"tags": []}


def test_a_tag_in_the_path_has_the_same_limits(api: TestClient, network: dict[str, Any]) -> None:
    path = f"networks/{network['id']}/tags"
    refused(api.put(f"{path}/{'x' * 256}"), 400, "InvalidInput", "maximum length of 255")
    ok(api.put(path, json={"tags": [f"tag{number}" for number in range(64)]}))
    refused(api.put(f"{path}/another"), 400, "InvalidInput", "64 tags already")
    assert api.put(f"{path}/tag7").status_code == 201


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_tags_of_what_is_not_there(api: TestClient, collection: str) -> None:
    path = f"{collection}/{NOBODY}/tags"
    kind = f"{collection[:-1].title()}NotFound"
    for response in (
        api.get(path),
        api.put(path, json={"tags": []}),
        api.delete(path),
        api.get(f"{path}/red"),
        api.put(f"{path}/red"),
        api.delete(f"{path}/red"),
    ):
        refused(response, 404, kind, NOBODY)


def test_only_ports_are_made_with_tags(api: TestClient, network: dict[str, Any]) -> None:
    assert make_port(api, network["id"], tags=["red"])["tags"] == ["red"]
    refused(
        api.put("networks/" + network["id"], json={"network": {"tags": ["red"]}}),
        400,
        "HTTPBadRequest",
        "Cannot update read-only attribute tags",
    )
    body = {"network": {"name": "x", "tags": ["red"]}}
    refused(api.post("networks", json=body), 400, "HTTPBadRequest", "Attribute 'tags' not allowed in POST")


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_lists_are_filtered_by_tags(api: TestClient, collection: str) -> None:
    named = {"a": ["red", "blue"], "b": ["red"], "c": []}
    for number, (name, tags) in enumerate(named.items()):
        network = make_network(api, 100 + number, name=name)
        made = {
            "networks": network,
            "subnets": make_subnet(api, network["id"], name=name),
            "ports": make_port(api, network["id"], name=name),
        }
        ok(api.put(f"{collection}/{made[collection]['id']}/tags", json={"tags": tags}))

    def names(**query: Any) -> str:
        listed = ok(api.get(collection, params=query))[collection]
        return "".join(each["name"] for each in listed)

    assert names(tags="red") == "ab"
    assert names(tags="red,blue") == "a"
    assert names(**{"tags-any": "red,blue"}) == "ab"
    assert names(**{"tags-any": "blue,green"}) == "a"
    assert names(**{"not-tags": "red,blue"}) == "bc"
    assert names(**{"not-tags-any": "red,blue"}) == "c"
    assert names(**{"tags": "red", "not-tags": "blue"}) == "b"
    assert names(**{"tags": "red", "name": "b"}) == "b"
    assert names(**{"not-tags-any": "green", "limit": 2, "sort_key": "name", "sort_dir": "desc"}) == "cb"


def test_what_has_no_tags_is_not_filtered_by_them(api: TestClient, port: dict[str, Any]) -> None:
    for path in ("agents", f"ports/{port['id']}/bindings"):
        refused(api.get(path, params={"tags": "red"}), 400, "HTTPBadRequest", "['tags'] is invalid attribute")
