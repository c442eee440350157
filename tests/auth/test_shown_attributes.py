"""Whoever may see a resource sees all of it: rules are about what is done, not about parts of answers."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient

from kedge.auth import Guard
from kedge.auth.http_basic import HttpBasic
from kedge.auth.passwords import Passwords
from kedge.auth.users import UsersFile
from kedge.network.api import install_error_handlers, network_router

from ..network.network_world import make_world
from ..network.rest_world import make_network, make_port, ok, rest
from .conftest import basic, write_users


def test_a_member_sees_all_attributes_of_its_own(tmp_path: Path) -> None:
    with make_world(tmp_path) as world:
        with rest(world) as unguarded:
            network = make_network(unguarded, project_id="demo")
            port = make_port(unguarded, network["id"], project_id="demo")
        app = FastAPI()
        install_error_handlers(app)
        app.include_router(network_router(world.service))
        strategy = HttpBasic(UsersFile(write_users(tmp_path / "users")), Passwords())
        with TestClient(Guard(app, strategy)) as client:
            path = "/network/v2.0"
            headers = basic("alice")
            assert ok(client.get(f"{path}/ports/{port['id']}", headers=headers))["port"] == port
            assert port["binding:host_id"] == "h4"
            assert ok(client.get(f"{path}/networks/{network['id']}", headers=headers))["network"] == network
            assert network["provider:segmentation_id"] == 100
