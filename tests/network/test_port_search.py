"""Lists of ports whose page the database cuts out: the same answers as where all ports are looked at."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from kedge.network.api import install_error_handlers, network_router

from .network_world import World


@pytest.fixture
def api(world: World) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(network_router(world.service))
    install_error_handlers(app)
    with TestClient(app, base_url="http://kedge/network/v2.0") as client:
        yield client


@pytest.fixture
def ids(world: World) -> list[str]:
    """Ports 0 to 9 by name; the even ones are `left`'s, 0 to 4 are bound on h1."""
    network = world.network()
    made = [
        world.service.create_port(network.id, device_id=("left", "right")[number % 2], name=f"Port {number}")
        for number in range(10)
    ]
    for port in made[:5]:
        world.service.bind(port.id, "h1")
    return [port.id for port in made]


def listed(api: TestClient, **query: Any) -> list[str]:
    answer = api.get("/ports", params=query)
    assert answer.status_code == 200, answer.text
    return [port["id"] for port in answer.json()["ports"]]


# A sort key makes the whole list be looked at, so it is what the database's part is compared with.
BY_NAME = {"sort_key": "name"}


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 3},
        {"limit": 100},
        {"limit": 0},
        {"limit": 3, "marker": 4},
        {"limit": 3, "marker": 4, "page_reverse": "True"},
        {"limit": 3, "page_reverse": "True"},
        {"limit": 2, "marker": 9},
        {"limit": 2, "device_id": "left", "marker": 2},
        {"limit": 2, "device_id": ["left", "right"], "marker": 2},
        {"limit": 2, "name": ["PORT 7", "port 3", "Port 1"]},
        {"limit": 2, "binding:host_id": "H1", "marker": 1},
        {"limit": 3, "binding:host_id": ["", "h1"], "marker": 3},
        {"limit": 3, "tenant_id": "", "project_id": ""},
        {"limit": 3, "status": "down", "marker": 3},
        {"limit": 3, "name": "Pört 3"},
        {"limit": 3, "device_id": "nobody"},
    ],
)
def test_a_page_is_the_same_whoever_cuts_it_out(
    api: TestClient, ids: list[str], query: dict[str, Any]
) -> None:
    if "marker" in query:
        query = query | {"marker": ids[query["marker"]]}
    assert listed(api, **query) == listed(api, **query, **BY_NAME)


def test_pages_that_follow_each_other_hold_all(api: TestClient, ids: list[str]) -> None:
    found, page = [], listed(api, limit=4)
    while page:
        found += page
        page = listed(api, limit=4, marker=page[-1])
    assert found == ids


@pytest.mark.parametrize("query", [{}, {"device_id": "right"}])
def test_a_marker_that_is_not_in_the_list_is_refused(
    api: TestClient, ids: list[str], query: dict[str, str]
) -> None:
    marker = ids[0] if query else "nobody"
    answer = api.get("/ports", params={"limit": 2, "marker": marker, **query})
    assert answer.status_code == 400
    assert "marker" in answer.text
