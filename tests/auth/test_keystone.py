"""Tokens, asked about by the real keystoneauth1 at a small Keystone on loopback."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from kedge.auth import Guard, open_strategy
from kedge.auth.keystone import Keystone, identity_of
from kedge.config import AuthConfig
from kedge.model.errors import BadRequest

from .conftest import Inner
from .fake_keystone import FakeKeystone, clouds_yaml, described, fake_keystone

NETWORKS = "/network/v2.0/networks"
DEMO = {"id": "demo", "name": "Demo", "domain": {"id": "default", "name": "Default"}}


@dataclass
class World:
    """A guard that asks a Keystone, and the time by which it remembers."""

    keystone: FakeKeystone
    clouds: Path
    inner: Inner
    client: TestClient
    now: float = 1000.0

    def ask(self, token: str | None, method: str = "GET", path: str = NETWORKS) -> Any:
        headers = {} if token is None else {"X-Auth-Token": token}
        return self.client.request(method, path, headers=headers)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with fake_keystone() as keystone:
        clouds = tmp_path / "clouds.yaml"
        clouds.write_text(clouds_yaml(keystone))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
        inner = Inner()
        world = World(keystone, clouds, inner, TestClient(inner))
        strategy = Keystone.of_cloud("lab", clock=lambda: world.now)
        world.client = TestClient(Guard(inner, strategy))
        yield world


def test_a_valid_token_comes_in_and_is_asked_about_once(world: World) -> None:
    world.keystone.tokens["t1"] = described("alice", "member", "reader", project=DEMO)
    for _ in range(3):
        assert world.ask("t1").status_code == 200
    assert world.inner.seen[0]["caller"] == "alice"
    assert world.inner.seen[0]["project"] == "demo"
    assert world.keystone.validations == ["t1"]
    assert world.keystone.logins == 1


def test_without_a_token_or_with_a_wrong_one(world: World) -> None:
    for token in (None, "", "unknown", "x" * 9000):
        answer = world.ask(token)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == f'Keystone uri="{world.keystone.url}"'
        assert answer.json()["error"]["title"] == "Unauthorized"
    assert world.keystone.validations == ["unknown"]


def test_a_wrong_token_is_remembered_for_ten_seconds(world: World) -> None:
    world.ask("late")
    world.keystone.tokens["late"] = described("alice", "reader", project=DEMO)
    assert world.ask("late").status_code == 401
    world.now += 11
    assert world.ask("late").status_code == 200


def test_a_revoked_token_is_out_after_five_minutes(world: World) -> None:
    world.keystone.tokens["t"] = described("alice", "reader", project=DEMO)
    assert world.ask("t").status_code == 200
    del world.keystone.tokens["t"]
    world.now += 299
    assert world.ask("t").status_code == 200
    world.now += 2
    assert world.ask("t").status_code == 401


def test_a_token_is_no_longer_good_than_it_says(world: World) -> None:
    world.keystone.tokens["t"] = described("alice", "reader", lasts_s=30, project=DEMO)
    assert world.ask("t").status_code == 200
    del world.keystone.tokens["t"]
    world.now += 31
    assert world.ask("t").status_code == 401


@pytest.mark.parametrize("status", [500, 503, 403])
def test_a_keystone_that_fails_is_not_a_wrong_token(world: World, status: int) -> None:
    world.keystone.tokens["t"] = described("alice", "reader", project=DEMO)
    world.keystone.fails_with = status
    answer = world.ask("t")
    assert answer.status_code == 503
    assert "Keystone can't say whose token this is" in answer.json()["NeutronError"]["message"]
    world.keystone.fails_with = None
    assert world.ask("t").status_code == 200


def test_kedges_own_credentials_are_wrong(world: World) -> None:
    world.clouds.write_text(clouds_yaml(world.keystone, password="old"))
    world.client = TestClient(Guard(world.inner, Keystone.of_cloud("lab")))
    assert world.ask("t").status_code == 503


def test_nobody_answers(world: World) -> None:
    world.clouds.write_text(clouds_yaml(FakeKeystone(url="http://127.0.0.1:1")))
    world.client = TestClient(Guard(world.inner, Keystone.of_cloud("lab")))
    answer = world.ask("t")
    assert answer.status_code == 503
    assert answer.json()["NeutronError"]["type"] == "Unreachable"


def test_the_cloud_is_one_of_clouds_yaml(world: World) -> None:
    assert isinstance(open_strategy(AuthConfig(strategy="keystone", cloud="lab"), "192.0.2.1"), Keystone)
    with pytest.raises(BadRequest, match="nowhere"):
        open_strategy(AuthConfig(strategy="keystone", cloud="nowhere"), "192.0.2.1")


@pytest.mark.parametrize(
    ("scope", "roles", "project", "confined"),
    [
        ({"project": DEMO}, {"member", "reader"}, "demo", True),
        ({"system": {"all": True}}, {"member", "reader"}, None, False),
        ({"domain": {"id": "default"}}, set(), None, False),
        ({}, set(), None, False),
    ],
)
def test_what_a_scope_makes_of_roles(
    scope: dict[str, Any], roles: set[str], project: str | None, confined: bool
) -> None:
    identity = identity_of(described("alice", "Member", "reader", "heat_stack_owner", **scope))
    assert {str(role) for role in identity.roles} == roles
    assert (identity.project, identity.confined) == (project, confined)


def test_a_token_for_nothing_opens_nothing(world: World) -> None:
    world.keystone.tokens["t"] = described("alice", "admin")
    assert world.ask("t").status_code == 403
