"""`kedge users`: making the file without an editor."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kedge.auth import Role
from kedge.auth.passwords import Passwords
from kedge.auth.users import UsersFile
from kedge.cli.commands import app

from .conftest import HASHES


def users(command: str, *arguments: str, file: Path, exits: int = 0, typed: str = "secret\n") -> str:
    result = CliRunner().invoke(app, ["users", command, *arguments, "--file", str(file)], input=typed)
    assert result.exit_code == exits, result.output
    assert "Traceback" not in result.output and "secret" not in result.output
    return str(result.output)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "users"


def test_a_file_is_made_for_its_owner_alone(file: Path) -> None:
    assert f"nova is in {file}" in users("add", "nova", "--role", "service", file=file)
    assert file.stat().st_mode & 0o777 == 0o600
    nova = UsersFile(file).users()["nova"]
    assert (nova.identity.roles, nova.identity.project) == (frozenset({Role.SERVICE}), None)
    assert Passwords().is_right(nova.password, b"secret")
    assert [each.name for each in file.parent.iterdir()] == ["users"], "nothing temporary is left"


def test_one_user_is_replaced_and_all_else_stays(file: Path) -> None:
    file.parent.mkdir()
    before = f"# mine\na:{HASHES['root']}\n\nb:{HASHES['root']}:admin\n"
    file.write_text(before)
    file.chmod(0o640)
    users("add", "a", "--role", "member", "--role", "service", "--project", "demo", file=file)
    lines = file.read_text().splitlines()
    assert lines[0] == "# mine" and lines[2:] == before.splitlines()[2:]
    assert lines[1].startswith("a:$2y$12$") and lines[1].endswith(":member,service:demo")
    assert file.stat().st_mode & 0o777 == 0o640
    users("remove", "b", file=file)
    assert file.read_text().splitlines() == lines[:3]


def test_list(file: Path) -> None:
    users("add", "a", "--role", "member", "--project", "demo", file=file)
    assert users("list", file=file).split() == ["Name", "Roles", "Project", "a", "member", "demo"]
    shown = json.loads(users("list", "--json", file=file))
    assert shown == [{"name": "a", "roles": ["member"], "project": "demo"}]


@pytest.mark.parametrize("name", ["", "a:b", "#a", " a", "a\nb"])
def test_names_that_cannot_be(file: Path, name: str) -> None:
    users("add", name, "--role", "admin", file=file, exits=2)
    assert not file.exists()


def test_what_cannot_be(file: Path) -> None:
    assert "'king' is no role" in users("add", "a", "--role", "king", file=file, exits=2)
    assert "--role" in users("add", "a", file=file, exits=2)
    assert "72 bytes" in users("add", "a", "--role", "admin", file=file, exits=2, typed="x" * 73 + "\n")
    assert "no password" in users("add", "a", "--role", "admin", file=file, exits=2, typed="")
    assert "no user 'a'" in users("remove", "a", file=file, exits=4)
    assert "can't be read" in users("list", file=file, exits=2)
    users("add", "a", "--role", "admin", "--project", "x:y", file=file, exits=2)
    assert not file.exists()


def test_a_broken_file_is_left_alone(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("rubbish\n")
    assert "line 1" in users("add", "a", "--role", "admin", file=file, exits=2)
    assert file.read_text() == "rubbish\n"
