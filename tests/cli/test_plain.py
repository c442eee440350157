"""`kedge migrate` without Typer: the same as with it, and only what is certain."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kedge.cli.plain import Plain, recognised

from .cli_world import Kedge, base_environment, make_cli


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Kedge]:
    with make_cli(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ("migrate vm1", Plain("vm1", "", "", False, False)),
        ("migrate vm1 --to h2", Plain("vm1", "", "h2", False, False)),
        ("--url unix:///k.sock migrate --to h2,h3 vm1 --json", Plain("vm1", "unix:///k.sock", "h2,h3", False, True)),
        ("migrate --detach vm1", Plain("vm1", "", "", True, False)),
        *(
            (line, None)
            for line in (
                "", "migrate", "migrate vm1 vm2", "migrate vm1 --to", "migrate vm1 --to=h2", "migrate vm1 --to --json",
                "migrate vm1 --to h2 --to h3", "migrate vm1 --url http://h", "--json migrate vm1", "migrate -h",
                "migrate vm1 --help", "migrate vm1 --downtime-limit 5", "plan vm1 --to h2", "hosts", "migrate -- vm1",
            )
        ),
    ],
)  # fmt: skip
def test_what_is_recognised(arguments: str, wanted: Plain | None) -> None:
    assert recognised(arguments.split(), {}) == wanted


def test_the_environment_names_the_control_plane_and_asks_for_completion() -> None:
    found = recognised(["migrate", "vm1"], {"KEDGE_URL": "http://h"})
    assert found is not None and found.url == "http://h"
    assert recognised(["migrate", "vm1"], {"_KEDGE_COMPLETE": "complete_bash"}) is None


def test_both_ask_for_the_same_migration(cli: Kedge) -> None:
    cli.server()
    by_typer = cli.json("migrate", "vm1", "--to", "h2")
    process = cli.start("migrate", "vm1", "--to", "h1", "--json")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    plainly = cli.json("migrations", "list")[0]
    assert plainly["id"] in out
    assert (plainly["options"], plainly["destination"]) == (by_typer["options"], "h1")
    assert "h2 -> h1" in err and "verified" in err


def test_errors_end_it_as_with_typer(cli: Kedge) -> None:
    cli.server()
    for arguments, code, text in (
        (("migrate", "vm9", "--to", "h2"), 4, "Error: There is no server 'vm9'"),
        (("migrate", "vm1", "--to", "h6"), 3, "  - "),
    ):
        process = cli.start(*arguments)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, text in err) == (code, True), err
        assert err == cli(*arguments, exits=code).err


def test_it_imports_neither_typer_nor_rich(cli: Kedge) -> None:
    cli.server()
    heavy = ["typer", "rich", "httpx2", "pydantic", "dataclasses"]
    code = (
        f"import sys; sys.argv[1:] = ['migrate', 'vm1', '--to', 'h2', '--json']; from kedge.cli import main; main();"
        f" print([each for each in {heavy} if each in sys.modules], file=sys.stderr)"
    )
    environment = {**base_environment(), "KEDGE_URL": cli.url}
    process = subprocess.run(
        [sys.executable, "-c", code], env=environment, text=True, capture_output=True, check=True
    )
    assert process.stderr.endswith("[]\n")
