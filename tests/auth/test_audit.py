"""The audit log says who did what, from where, and what came of it, whatever the caller sends."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from kedge.auth import Audited, Guard, Trail
from kedge.auth.attempts import Attempts
from kedge.auth.http_basic import HttpBasic
from kedge.auth.passwords import Passwords
from kedge.auth.users import UsersFile
from kedge.model.errors import BadRequest

from .conftest import Inner, basic, write_users

V2 = "/network/v2.0"


class World:
    def __init__(self, directory: Path) -> None:
        self.path, self.now = directory / "audit.log", 1000.0
        self.trail = Trail(self.path)
        attempts = Attempts(burst=3, clock=lambda: self.now)
        strategy = HttpBasic(UsersFile(write_users(directory / "users")), Passwords(), attempts)
        self.app = Audited(Guard(Inner(), strategy), self.trail, clock=lambda: self.now)
        self.client = TestClient(self.app, client=("192.0.2.7", 5000))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.trail.close()


def test_every_change_is_in_it_and_no_reading(world: World) -> None:
    for method in ("GET", "POST"):
        world.client.request(method, f"{V2}/ports", headers=basic("alice"), json={"port": {"name": "secret"}})
    (line,) = world.lines()
    assert line.pop("at").endswith("+00:00")
    assert line == {"who": "alice", "from": "192.0.2.7", "what": f"POST {V2}/ports", "result": 200}
    assert "secret" not in world.path.read_text().replace("alice's secret", "")


def test_refusals_are_in_it_with_the_reason(world: World) -> None:
    world.client.get(f"{V2}/agents", headers=basic("alice"))
    (line,) = world.lines()
    assert (line["who"], line["result"]) == ("alice", 403)
    assert line["why"].startswith("rule:get_agent is disallowed by policy")


def test_failed_logins_are_in_it_but_not_the_question_who_is_asked(world: World) -> None:
    world.client.get(f"{V2}/ports")
    assert world.lines() == []
    world.client.get(f"{V2}/ports", headers=basic("root", "a guess"))
    (line,) = world.lines()
    assert (line["who"], line["from"], line["result"]) == ("root", "192.0.2.7", 401)
    assert "a guess" not in world.path.read_text()


def test_a_flood_of_guesses_is_a_few_lines(world: World) -> None:
    for _ in range(50):
        world.client.get(f"{V2}/ports", headers=basic("root", "a guess"))
    assert [each["result"] for each in world.lines()] == [401, 401, 401, 429]
    world.now += 61
    for _ in range(50):
        world.client.get(f"{V2}/ports", headers=basic("root", "a guess"))
    assert len(world.lines()) < 4 + 12


def test_a_flood_from_many_addresses_is_a_few_lines_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kedge.auth.audit._PEERS", 5)

    async def full(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({}, 429)(scope, receive, send)

    app = Audited(full, world.trail, clock=lambda: world.now)
    for number in range(20):
        TestClient(app, client=(f"2001:db8::{number:x}", 1)).get("/")
    assert len(world.lines()) == 1, "all of them are one machine's"
    for number in range(20):
        TestClient(app, client=(f"192.0.2.{number}", 1)).get("/")
    assert len(world.lines()) == 1 + 4 + 1
    world.now += 61
    TestClient(app, client=("192.0.2.0", 1)).get("/")
    assert len(world.lines()) == 7


def test_a_change_that_breaks_down_is_in_it(world: World, tmp_path: Path) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError

    client = TestClient(Audited(broken, world.trail), raise_server_exceptions=False)
    client.post("/kedge/v1/servers")
    assert world.lines()[-1]["result"] == 500


def test_root_on_the_local_socket_is_in_it(world: World) -> None:
    async def local(scope: Scope, receive: Receive, send: Send) -> None:
        await world.app({**scope, "kedge.listener": "unix"}, receive, send)

    TestClient(local).delete("/kedge/v1/servers/vm1")
    (line,) = world.lines()
    assert (line["who"], line["from"]) == ("root", "the local socket")


def test_nobody_writes_a_line_of_their_own(world: World) -> None:
    evil = 'x%0A{"who":%20"root"}%1B[2J%C3%A9'
    with capture_logs() as logs:
        world.client.post(f"{V2}/ports/{evil}", headers=basic("alice"))
        world.client.post(f"{V2}/{'y' * 5000}", headers=basic("alice"))
    first, second = world.lines()
    assert '\n{"who"' in first["what"]
    assert world.path.read_text().isascii() and len(second["what"]) == 300
    assert [each["entry"] for each in logs] == world.path.read_text().splitlines()


def test_only_its_owner_reads_it_also_when_it_is_there_already(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text("")
    path.chmod(0o644)
    Trail(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_makes_way_for_a_new_one_also_under_other_processes(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    first, second = Trail(path, max_bytes=400), Trail(path, max_bytes=400)
    app = Audited(Inner(), first), Audited(Inner(), second)
    for number in range(20):
        TestClient(app[number % 2]).post(f"/{number}")
    kept = [*path.with_name("audit.log.1").read_text().splitlines(), *path.read_text().splitlines()]
    numbers = [int(json.loads(line)["what"].rpartition("/")[2]) for line in kept]
    assert numbers == list(range(20 - len(numbers), 20)) and len(numbers) >= 4
    first.close()
    second.close()


def test_a_place_where_it_cannot_be_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"The audit log .*audit\.log can't be written: Is a directory"):
        (tmp_path / "audit.log").mkdir()
        Trail(tmp_path / "audit.log")


def test_a_full_disk_keeps_nobody_from_an_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.trail, "_is_current", lambda: True)
    world.trail._file.close()
    world.trail._file = open("/dev/full", "ab", buffering=0)  # noqa: PTH123, SIM115 - the trail closes it
    with capture_logs() as logs:
        assert world.client.post(f"{V2}/ports", headers=basic("alice")).status_code == 200
    assert "the audit log can't be written" in [each["event"] for each in logs]
