"""The network API behind a guard, and beside it a way in that is not guarded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from kedge.auth import Guard
from kedge.auth.http_basic import HttpBasic
from kedge.auth.passwords import Passwords
from kedge.auth.users import UsersFile
from kedge.network.api import install_error_handlers, network_router

from ..network.network_world import World
from .conftest import basic, write_users

V2 = "/network/v2.0"


@dataclass
class Cloud:
    """Networks of two projects behind a guard, and a way in that is not guarded."""

    guarded: TestClient
    root: TestClient
    things: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What project demo has, and under `other-…` what another has."""

    def ask(self, user: str, method: str, path: str, body: Any = None) -> Any:
        return self.guarded.request(method, f"{V2}/{path}", json=body, headers=basic(user))

    def state(self) -> dict[str, Any]:
        return {
            each: self.root.get(each).json()[each] for each in ("networks", "subnets", "subnetpools", "ports")
        }


def guarded(world: World, directory: Path) -> TestClient:
    """The network API for the users of `conftest`."""
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(network_router(world.service))
    return TestClient(Guard(app, HttpBasic(UsersFile(write_users(directory / "users")), Passwords())))
