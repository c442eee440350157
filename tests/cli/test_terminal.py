"""What is shown on a terminal: colour, and a picture of a migration that is drawn anew."""

import os
import pty
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cli_world import Kedge, make_cli


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Kedge]:
    with make_cli(tmp_path) as made:
        yield made


def on_terminal(
    cli: Kedge, *arguments: str, exits: int = 0, interrupt_at: bytes | None = None, **environment: str
) -> str:
    """All that a command writes on a terminal. It gets one Ctrl-C once it has written `interrupt_at`."""
    ours, theirs = pty.openpty()
    process = cli.start(
        *arguments, stdin=theirs, stdout=theirs, stderr=theirs, environment={"TERM": "xterm", **environment}
    )
    os.close(theirs)
    written = b""
    while part := _read(ours):
        written += part
        if interrupt_at is not None and interrupt_at in written:
            process.send_signal(signal.SIGINT)
            interrupt_at = None
    os.close(ours)
    assert process.wait(30) == exits, written
    assert b"Traceback" not in written
    return written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: nobody has the other end open any more.
        return b""


def test_a_plan_in_colour(cli: Kedge) -> None:
    made = cli.server()
    cli.fleet.attach_to_libvirts_macvtap("h1", made["id"], "eth1")
    said = on_terminal(cli, "plan", "vm1", "--to", "h3", COLUMNS="200")
    assert re.search(r"\x1b\[31m- +<interface type='direct' trustGuestRxFilters='yes'>", said)
    assert re.search(r"\x1b\[32m\+ +<interface type='ethernet'>", said)
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
    cli.fleet.lasts_s = 3.0  # News of less than half a second make one answer.
    said = on_terminal(cli, "migrate", "vm1", "--to", "h3", COLUMNS="120")
    assert re.search(r"running: [\d.]+ of 128 MiB remain, 90 MiB/s, iteration 1", said)
    assert "━" in said
    assert "wired and verified" in said
    assert "\x1b[32mvm1 moved from h1 to h3." in said
    assert said.rstrip().endswith("ms, between its last frame on h1 and its first frame on h3")


def test_ctrl_c_on_a_terminal(cli: Kedge) -> None:
    cli.server()
    cli.fleet.lasts_s = 30
    said = on_terminal(cli, "migrate", "vm1", "--to", "h3", exits=1, interrupt_at=b"iteration", COLUMNS="120")
    assert "Ctrl-C: the abort is asked for" in said
    assert "was cancelled" in said and "rolled back" in said
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l"), "the cursor is shown again"


def test_a_narrow_terminal_breaks_no_id(cli: Kedge) -> None:
    server = cli.server()
    port = cli.json("ports", "list")[0]
    assert server["id"] in on_terminal(cli, "server", "list", COLUMNS="60")
    for command in (("ports", "list"), ("server", "show", "vm1")):
        said = on_terminal(cli, *command, COLUMNS="80")
        assert port["id"][:8] in said and port["mac_address"] in said and "macvtap" in said
