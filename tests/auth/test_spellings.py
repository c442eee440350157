"""A rule holds for what is stored, however the request spells it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from kedge.auth import Guard
from kedge.auth.http_basic import HttpBasic
from kedge.auth.passwords import Passwords
from kedge.auth.projects import StoredOwners
from kedge.auth.users import UsersFile
from kedge.network.api import install_error_handlers, network_router

from ..network.network_world import World, make_world
from ..network.rest_world import make_network, make_port, ok, rest
from .conftest import basic, write_users

V2 = "/network/v2.0"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with make_world(tmp_path) as world:
        yield world


@pytest.fixture
def client(world: World, tmp_path: Path) -> Iterator[TestClient]:
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(network_router(world.service))
    strategy = HttpBasic(UsersFile(write_users(tmp_path / "users")), Passwords())
    with TestClient(Guard(app, strategy, StoredOwners(world.engine)), headers=basic("alice")) as client:
        yield client


@pytest.mark.parametrize("name", ["host_id", "profile", "vnic_type"])
def test_a_port_has_no_names_beside_neutrons(client: TestClient, world: World, name: str) -> None:
    with rest(world) as unguarded:
        network = make_network(unguarded, project_id="demo")
        port = make_port(unguarded, network["id"], project_id="demo")
    value = {"host_id": "h1", "profile": {"a": "b"}, "vnic_type": "normal"}[name]
    changed = client.put(f"{V2}/ports/{port['id']}", json={"port": {name: value}})
    made = client.post(f"{V2}/ports", json={"port": {"network_id": network["id"], name: value}})
    for answer in (changed, made):
        assert answer.status_code == 400, answer.text
        assert f"Unrecognized attribute(s) '{name}'" in answer.json()["NeutronError"]["message"]
    with rest(world) as unguarded:
        assert ok(unguarded.get(f"ports/{port['id']}"))["port"] == port


@pytest.mark.parametrize("name", ["network_type", "physical_network", "segmentation_id", "router_external"])
def test_a_network_has_no_names_beside_neutrons(client: TestClient, name: str) -> None:
    answer = client.post(f"{V2}/networks", json={"network": {"name": "n", name: "vlan"}})
    assert answer.status_code == 400, answer.text
    assert name in answer.json()["NeutronError"]["message"]


@pytest.mark.parametrize("spelt", [str.lower, str.upper, str.title], ids=["lower", "upper", "title"])
def test_anothers_network_is_not_there_in_any_spelling(
    client: TestClient, world: World, spelt: type[str]
) -> None:
    with rest(world) as unguarded:
        theirs = spelt(make_network(unguarded, project_id="other")["id"])
        own = spelt(make_network(unguarded, project_id="demo", **{"provider:segmentation_id": 101})["id"])
    assert client.post(f"{V2}/ports", json={"port": {"network_id": theirs}}).status_code == 404
    subnet = {"network_id": theirs, "cidr": "198.51.100.0/24", "ip_version": 4}
    assert client.post(f"{V2}/subnets", json={"subnet": subnet}).status_code == 404
    assert client.post(f"{V2}/ports", json={"port": {"network_id": own}}).status_code == 201
