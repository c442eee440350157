"""What is shown on a terminal: colour, and a picture of a migration that is drawn anew."""

import os
import pty
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_world import Kedge, make_cli


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Kedge]:
    with make_cli(tmp_path) as made:
        yield made


def on_terminal(cli: Kedge, *arguments: str, exits: int = 0, **environment: str) -> str:
    """All that a command writes on a terminal."""
    ours, theirs = pty.openpty()
    process = cli.start(
        *arguments, stdin=theirs, stdout=theirs, stderr=theirs, environment={"TERM": "xterm", **environment}
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait(30) == exits, written
    assert b"Traceback" not in written
    return written.decode()


def test_a_plan_in_colour(cli: Kedge) -> None:
    cli.server()
    said = on_terminal(cli, "plan", "vm1", "--to", "h3", COLUMNS="200")
    assert re.search(r"\x1b\[31m- +<interface type='direct'>", said)
    assert re.search(r"\x1b\[32m\+ +<interface type='bridge'>", said)
    assert re.search(r"\x1b\[36m@@", said)
    assert "\x1b[32mIt can move to h3." in said


def test_without_colour(cli: Kedge) -> None:
    cli.server()
    assert "\x1b" not in on_terminal(cli, "plan", "vm1", "--to", "h3", NO_COLOR="1")
    assert "\x1b" not in on_terminal(cli, "server", "show", "vm9", exits=4, NO_COLOR="1")


def test_an_error_is_red(cli: Kedge) -> None:
    assert "\x1b[31mError: There is no server 'vm9'" in on_terminal(cli, "server", "show", "vm9", exits=4)


def test_a_migration_is_drawn(cli: Kedge) -> None:
    cli.server()
    said = on_terminal(cli, "migrate", "vm1", "--to", "h3", COLUMNS="120")
    assert re.search(r"running: [\d.]+ of 128 MiB remain, 90 MiB/s, iteration 1", said)
    assert "━" in said
    assert "wired and verified" in said
    assert "\x1b[32mvm1 moved from h1 to h3." in said
    assert said.rstrip().endswith("ms")


def test_a_narrow_terminal_breaks_no_id(cli: Kedge) -> None:
    server = cli.server()
    port = cli.json("ports", "list")[0]["id"]
    assert server["id"] in on_terminal(cli, "server", "list", COLUMNS="60")
    assert port in on_terminal(cli, "ports", "list", COLUMNS="80")
    assert port in on_terminal(cli, "server", "show", "vm1", COLUMNS="80")
