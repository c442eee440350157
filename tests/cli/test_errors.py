"""What the command line says when something is wrong that is no command's own business."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import kedge.cli.hosts as hosts_module
from kedge.cli import client
from kedge.cli.client import ApiError
from kedge.cli.exits import Exit, NoControlPlane, exit_code
from kedge.cli.render import complain
from kedge.model.errors import (
    BadRequest,
    CannotBind,
    CannotMigrate,
    Conflict,
    Forbidden,
    HostFailure,
    KedgeError,
    NotFound,
    StaleEpoch,
    Unreachable,
)

from .cli_world import Kedge, base_environment, invoke, make_cli

EVERY_COMMAND = [
    ("hosts",),
    ("plan", "vm1", "--to", "h2"),
    ("migrate", "vm1", "--to", "h2"),
    ("migrations", "list"),
    ("migrations", "show", "1"),
    ("migrations", "abort", "1"),
    ("server", "list"),
    ("server", "show", "vm1"),
    ("server", "create", "vm1", "--host", "h1", "--nic", "network=blue"),
    ("server", "adopt", "h1", "dom"),
    ("server", "delete", "vm1"),
    ("networks", "list"),
    ("networks", "show", "blue"),
    ("networks", "create", "blue", "--physical-network", "physnet1"),
    ("networks", "delete", "blue"),
    ("ports", "list"),
    ("ports", "show", "p"),
    ("ports", "create", "--network", "blue"),
    ("ports", "delete", "p"),
    ("bindings", "list", "p"),
    ("bindings", "show", "p", "h1"),
    ("bindings", "create", "p", "h1"),
    ("bindings", "activate", "p", "h1"),
    ("bindings", "delete", "p", "h1"),
]


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Kedge]:
    with make_cli(tmp_path) as made:
        yield made


@pytest.fixture
def closed_port() -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def answering(status: int, body: bytes, kind: str = "application/json") -> Iterator[str]:
    """Something that answers everything so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=" ".join)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_no_control_plane(command: tuple[str, ...], form: tuple[str, ...], closed_port: str) -> None:
    said = invoke("--url", closed_port, *command, *form, exits=5)
    assert said.out == ""
    assert closed_port in said.err and "kedge serve" in said.err and said.err.count("\n") == 1


def test_a_socket_that_is_not_there_or_that_nobody_serves(tmp_path: Path) -> None:
    # In a process of its own, as the HTTP library leaves the socket of a failed Unix connection open.
    path = tmp_path / "k.sock"
    command = [sys.executable, "-m", "kedge", "--url", f"unix://{path}", "hosts"]
    for reason in ("No such file", "refused"):
        said = subprocess.run(command, env=base_environment(), text=True, capture_output=True, check=False)
        assert said.returncode == 5 and said.stdout == ""
        assert f"unix://{path}" in said.stderr and reason in said.stderr and "Traceback" not in said.stderr
        with socket.socket(socket.AF_UNIX) as stale:
            if not path.exists():
                stale.bind(str(path))


def test_a_host_that_is_unknown() -> None:
    assert "does.not.exist" in invoke("--url", "http://does.not.exist.invalid:1", "hosts", exits=5).err


@pytest.mark.parametrize(
    "url", ["kedge", "ftp://x", "unix://relative", "http://", "http://h:port", "unix://"]
)
def test_what_is_no_url(url: str) -> None:
    assert url in invoke("--url", url, "hosts", exits=2).err


def test_the_control_plane_is_named_by_the_environment(cli: Kedge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDGE_URL", cli.url)
    assert "eth1" in invoke("hosts").out
    monkeypatch.setenv("KEDGE_URL", "")
    monkeypatch.setattr(client, "ADDRESS", "http://127.0.0.1:1")
    monkeypatch.setattr(client, "SOCKET", Path(cli.url.removeprefix("unix://")))
    assert "eth1" in invoke("hosts").out
    monkeypatch.setattr(client, "SOCKET", Path("/nonexistent"))
    assert "http://127.0.0.1:1" in invoke("hosts", exits=5).err


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (502, b"<html>Bad Gateway</html>", "text/html"),
        (200, b"<html>Welcome</html>", "text/html"),
        (404, b'{"detail": "Not Found"}', "application/json"),
        (500, b"[1]", "application/json"),
        (500, b"", "text/plain"),
    ],
)
def test_something_else_answers(status: int, body: bytes, kind: str) -> None:
    with answering(status, body, kind) as url:
        said = invoke("--url", url, "hosts", exits=5)
    assert "not Kedge's control plane" in said.err and str(status) in said.err


def test_an_error_of_the_control_plane_itself() -> None:
    with answering(500, b'{"error": {"type": "InternalError", "message": "Request Failed"}}') as url:
        assert invoke("--url", url, "hosts", exits=1).err == "Error: Request Failed\n"


def test_reasons_become_a_list() -> None:
    body = b'{"error": {"type": "CannotMigrate", "message": "vm1 can\'t move", "reasons": ["no a", "no b"]}}'
    with answering(409, body) as url:
        said = invoke("--url", url, "hosts", exits=3)
    assert said.err == "Error: vm1 can't move:\n  - no a\n  - no b\n"


def test_an_answer_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.ControlPlane.get, "__kwdefaults__", {"wait_s": 0.2})
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "no answer in time" in invoke("--url", url, "hosts", exits=5).err


def test_a_mistake_of_kedge_is_a_sentence_and_a_traceback_on_request(
    cli: Kedge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts_module, "_backend", lambda backend: 1 / 0)
    assert "ZeroDivisionError" in cli("hosts", exits=1).err
    process = subprocess.run(
        [sys.executable, "-c", "import kedge.cli.hosts as h; h.connect = None; h.hosts.__globals__['connect'] = 1\n"
         "from kedge.cli import main; main()", "hosts"],
        env={**base_environment(), "KEDGE_TRACEBACK": "1"}, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert process.returncode == 1
    assert "Traceback" in process.stderr and "'int' object is not callable" in process.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadRequest("x"), Exit.USAGE),
        (Forbidden("x"), Exit.REFUSED),
        (NotFound("x"), Exit.NOT_FOUND),
        (Conflict("x"), Exit.REFUSED),
        (StaleEpoch("x"), Exit.REFUSED),
        (CannotBind("x"), Exit.REFUSED),
        (CannotMigrate("x"), Exit.REFUSED),
        (Unreachable("x"), Exit.FAILED),
        (HostFailure("x"), Exit.FAILED),
        (KedgeError("x"), Exit.FAILED),
        (NoControlPlane("x"), Exit.UNREACHABLE),
        (ApiError(404, "x"), Exit.NOT_FOUND),
        (ApiError(503, "x"), Exit.FAILED),
    ],
)
def test_exit_codes(error: KedgeError, code: Exit) -> None:
    assert exit_code(error) == code


def test_complaints(capsys: pytest.CaptureFixture[str]) -> None:
    complain(CannotMigrate("vm1 can't move", ["no a", "no [b]"]))
    complain(NotFound("there is\n  no [red]server[/red]"))
    assert capsys.readouterr().err == (
        "Error: vm1 can't move:\n  - no a\n  - no [b]\nError: there is no [red]server[/red]\n"
    )


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("server", "nonsense"), ("hosts", "--nonsense"), ("server",), ()]
)
def test_bad_usage(arguments: tuple[str, ...]) -> None:
    invoke(*arguments, exits=2)


def test_help_and_version() -> None:
    assert "Exit codes: 0 done" in invoke("--help").out
    assert invoke("--version").out.startswith("kedge")
    assert "--downtime-limit" in invoke("migrate", "--help").out


def test_what_is_heavy_is_imported_by_who_needs_it() -> None:
    heavy = ["cryptography", "fastapi", "kedge.lab", "libvirt", "lxml", "pydantic", "sqlalchemy", "structlog"]
    code = f"import sys, kedge.cli.commands; print([each for each in {heavy} if each in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", code], env=base_environment(), text=True, capture_output=True, check=True
    )
    assert process.stdout == "[]\n"
