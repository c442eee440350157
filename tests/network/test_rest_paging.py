"""Lists in pages, and the links from one to the next."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from .rest_world import make_network, make_port, ok, refused

NAMES = "abcde"


@pytest.fixture
def five(api: TestClient, network: dict[str, Any]) -> None:
    for name in NAMES:
        make_port(api, network["id"], name=name, **{"binding:host_id": ""})


def links(body: dict[str, Any]) -> dict[str, str]:
    return {link["rel"]: link["href"] for link in body["ports_links"]}


def names(body: dict[str, Any]) -> str:
    return "".join(port["name"] for port in body["ports"])


@pytest.mark.usefixtures("five")
def test_the_links_lead_through_the_whole_list_and_back(api: TestClient) -> None:
    query: dict[str, Any] = {
        "limit": 2,
        "sort_key": "name",
        "fields": ["id", "name"],
        "admin_state_up": "True",
    }
    first = ok(api.get("ports", params=query))
    second = ok(api.get(links(first)["next"]))
    third = ok(api.get(links(second)["next"]))
    assert [names(each) for each in (first, second, third)] == ["ab", "cd", "e"]
    assert "next" not in links(third)
    assert second["ports"][0].keys() == {"id", "name"}
    back = ok(api.get(links(third)["previous"]))
    assert names(back) == "cd"
    assert names(ok(api.get(links(back)["previous"]))) == "ab"
    assert names(ok(api.get(links(back)["next"]))) == "e"


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize("chosen", ["fields=name", "fields=name&fields=id", ""])
def test_a_list_of_chosen_fields_is_no_shorter(api: TestClient, chosen: str) -> None:
    seen, url = "", f"ports?limit=2&{chosen}"
    while url:
        body = ok(api.get(url))
        seen += names(body)
        url = links(body).get("next", "")
    assert seen == NAMES


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize("query", ["", "limit=0", "limit=2&name=nobody"])
def test_lists_without_links(api: TestClient, query: str) -> None:
    assert list(ok(api.get(f"ports?{query}"))) == ["ports"]


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize("limit", ["5", "005", "6", "10", "1" + "0" * 30])
def test_a_page_that_is_not_full_is_the_last(api: TestClient, limit: str) -> None:
    body = ok(api.get("ports", params={"limit": limit, "sort_key": "name"}))
    assert names(body) == NAMES
    assert ("next" in links(body)) == (int(limit) == len(NAMES)), "of a full one nobody knows"


@pytest.mark.parametrize("way", ["null", "fake", "", "2"])
def test_a_direction_is_true_or_false(api: TestClient, way: str) -> None:
    refused(api.get("ports", params={"page_reverse": way}), 400, "InvalidInput", "page_reverse")


def test_all_lists_have_pages(api: TestClient, port: dict[str, Any]) -> None:
    make_network(api, 101)
    for kind in ("networks", "subnets", "ports", "agents", f"ports/{port['id']}/bindings"):
        body = ok(api.get(kind, params={"limit": 1, "fields": "status"}))
        assert "marker=" in body[f"{kind.rpartition('/')[2]}_links"][0]["href"]
