"""Users, their file, and a guard before an application that only tells what got through."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from fastapi.testclient import TestClient
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from kedge.auth import Guard
from kedge.auth.http_basic import HttpBasic
from kedge.auth.passwords import Passwords
from kedge.auth.users import UsersFile
from kedge.model.caller import CALLER

USERS = {
    "audit": "reader",
    "alice": "member:demo",
    "bob": "reader:demo",
    "max": "member",
    "nova": "service",
    "root": "admin",
}


def quick_hash(password: str) -> str:
    """A bcrypt hash at the lowest cost, as Apache writes them."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")


HASHES = {name: quick_hash(f"{name}'s secret") for name in USERS}


def write_users(path: Path, lines: Mapping[str, str] = USERS) -> Path:
    """A users file in which everybody's password is `NAME's secret`."""
    path.write_text(
        "".join(f"{name}:{HASHES.get(name) or quick_hash(name)}:{rest}\n" for name, rest in lines.items())
    )
    path.chmod(0o600)
    return path


def basic(name: str, password: str | None = None) -> dict[str, str]:
    """The header that says who calls."""
    text = f"{name}:{f'{name}' + chr(39) + 's secret' if password is None else password}"
    return {"Authorization": f"Basic {b64encode(text.encode()).decode()}"}


@dataclass
class Inner:
    """The application behind the guard: it tells what came through."""

    seen: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        assert int(headers.get("content-length", 0)) == len(body)
        caller = CALLER.get()
        self.seen.append(
            {
                "body": _content(body),
                "caller": caller.name if caller else None,
                "project": caller.project if caller and caller.confined else None,
            }
        )
        await JSONResponse({})(scope, receive, send)


def _content(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


@dataclass
class Guarded:
    """A guard, who stands behind it, and the time by which passwords are remembered."""

    file: Path
    inner: Inner
    client: TestClient
    now: float
    asked: list[str] = field(default_factory=list)
    """The hashes that bcrypt was asked about."""

    @property
    def checks(self) -> int:
        return len(self.asked)

    def ask(self, method: str, path: str, user: str, body: Any = None, password: str | None = None) -> Any:
        return self.client.request(method, path, headers=basic(user, password), json=body)


class CountingPasswords(Passwords):
    """Counts how often bcrypt is asked."""

    def __init__(self, world: Guarded) -> None:
        super().__init__(remember_s=60, clock=lambda: world.now)
        self._world = world

    def is_right(self, stored: str, password: bytes) -> bool:
        self._world.asked.append(stored)
        return super().is_right(stored, password)


def make_guarded(directory: Path) -> Guarded:
    file, inner = write_users(directory / "users"), Inner()
    world = Guarded(file, inner, TestClient(inner), 1000.0)
    guard = Guard(inner, HttpBasic(UsersFile(file), CountingPasswords(world)))
    world.client = TestClient(guard)
    return world


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    return make_guarded(tmp_path)
