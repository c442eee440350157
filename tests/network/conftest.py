"""What the network tests share: all of them run on every database that Kedge knows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ..databases import BOTH
from .network_world import World, make_world
from .rest_world import make_network, make_port, make_subnet, rest


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database: `sqlite` or `postgresql`."""
    return str(request.param)


@pytest.fixture
def world(tmp_path: Path, database: str) -> Iterator[World]:
    with make_world(tmp_path, database) as world:
        yield world


@pytest.fixture
def api(world: World) -> Iterator[TestClient]:
    with rest(world) as client:
        yield client


@pytest.fixture
def network(api: TestClient) -> Any:
    return make_network(api, name="sample-vlan100")


@pytest.fixture
def subnet(api: TestClient, network: dict[str, Any]) -> Any:
    return make_subnet(api, network["id"], ip_version=4, enable_dhcp=False)


@pytest.fixture
def port(api: TestClient, subnet: dict[str, Any]) -> Any:
    return make_port(api, subnet["network_id"])
