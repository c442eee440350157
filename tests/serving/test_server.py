"""One application on several sockets, and who it is told that calls."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request

from kedge.model import errors
from kedge.model.domain import DomainState, HostView, TransferState
from kedge.serving.server import Listener, running
from kedge.trust.certificates import CertificateAuthority, Credentials, Role, client_context, server_context
from kedge.wire.encoding import error_body, error_from, from_json, seen, to_json
from kedge.wire.messages import DiscardOrder, HostDuties
from kedge.wire.peer import Peer


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/who")
    def who(request: Request) -> dict[str, Any]:
        return {"peer": request.scope.get("kedge.peer"), "listener": request.scope["kedge.listener"]}

    app.state.begun = threading.Event()

    @app.get("/slow")
    def slow() -> str:
        app.state.begun.set()
        time.sleep(1)
        return "done"

    return app


@dataclass
class Pki:
    control: Credentials
    agent: Credentials


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    authority = CertificateAuthority.create(tmp_path / "ca")
    return Pki(
        authority.issue("control", Role.CONTROL, ["127.0.0.1"], tmp_path),
        authority.issue("h1", Role.AGENT, ["127.0.0.1"], tmp_path),
    )


@pytest.fixture
def listeners(tmp_path: Path, pki: Pki) -> list[Listener]:
    return [
        Listener.unix(tmp_path / "kedge.sock"),
        Listener.tcp("127.0.0.1", 0),
        Listener.tcp("127.0.0.1", 0, tls=server_context(pki.control), name="agents"),
    ]


@pytest.fixture
def served(listeners: list[Listener]) -> Iterator[list[Listener]]:
    with running(application(), listeners):
        yield listeners


def test_every_socket_answers_and_says_who_calls(served: list[Listener], tmp_path: Path, pki: Pki) -> None:
    _, tcp, tls = served
    with httpx2.Client(
        transport=httpx2.HTTPTransport(uds=str(tmp_path / "kedge.sock")), timeout=20
    ) as client:
        assert client.get("http://kedge/who").json() == {"peer": None, "listener": "unix"}
    with httpx2.Client(timeout=20) as client:
        assert client.get(f"http://127.0.0.1:{tcp.port}/who").json() == {"peer": None, "listener": "tcp"}
    with httpx2.Client(verify=client_context(pki.agent), timeout=20) as client:
        answer = client.get(f"https://127.0.0.1:{tls.port}/who").json()
    assert answer == {"peer": {"name": "h1", "role": "agent"}, "listener": "agents"}


def test_each_connection_has_its_own_peer(served: list[Listener], pki: Pki) -> None:
    url = f"https://127.0.0.1:{served[2].port}"
    peers = {
        "h1": Peer("x", url, client_context(pki.agent)),
        "control": Peer("x", url, client_context(pki.control)),
    }
    for _ in range(3):
        for name, peer in peers.items():
            assert peer.ask(dict[str, Any], "GET", "/who")["peer"]["name"] == name
    for peer in peers.values():
        peer.close()


def test_the_unix_socket_is_its_owners(served: list[Listener], tmp_path: Path) -> None:
    assert (tmp_path / "kedge.sock").stat().st_mode & 0o777 == 0o600


def test_the_sockets_are_gone_afterwards(listeners: list[Listener], tmp_path: Path) -> None:
    port = listeners[1].port
    with running(application(), listeners):
        assert (tmp_path / "kedge.sock").exists()
    assert not (tmp_path / "kedge.sock").exists()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), 1)


def test_an_idle_client_does_not_hold_up_the_end(listeners: list[Listener], pki: Pki) -> None:
    peer = Peer("x", f"https://127.0.0.1:{listeners[2].port}", client_context(pki.agent))
    with running(application(), listeners):
        peer.call("GET", "/who")
        began = time.monotonic()
    assert time.monotonic() - began < 4, "the server gives open requests five seconds"
    with pytest.raises(errors.Unreachable):
        peer.call("GET", "/who")
    peer.close()


def test_an_open_request_is_answered_before_the_end(listeners: list[Listener]) -> None:
    stopped = threading.Event()
    answers: list[httpx2.Response] = []
    url = f"http://127.0.0.1:{listeners[1].port}/slow"
    thread = threading.Thread(target=lambda: answers.append(httpx2.get(url, timeout=30)))
    app = application()
    with running(app, listeners, on_stop=stopped.set):
        thread.start()
        assert app.state.begun.wait(20)
        assert not stopped.is_set()
    thread.join()
    assert stopped.is_set()
    assert answers[0].json() == "done"


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "kedge.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    listener = Listener.unix(path)
    with pytest.raises(errors.HostFailure, match="another process listens"):
        Listener.unix(path)
    listener.socket.close()
    path.unlink()
    path.write_text("precious")
    with pytest.raises(errors.HostFailure, match="not a socket"):
        Listener.unix(path)
    assert path.read_text() == "precious"


def test_a_port_in_use_is_named() -> None:
    listener = Listener.tcp("127.0.0.1", 0)
    with pytest.raises(errors.HostFailure, match=f"127.0.0.1 port {listener.port}"):
        Listener.tcp("127.0.0.1", listener.port)
    listener.socket.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    script = (
        "import sys, pathlib\n"
        "from kedge.serving.server import Listener, serve\n"
        "async def app(scope, receive, send): pass\n"
        "listener = Listener.unix(pathlib.Path(sys.argv[1]))\n"
        "print('up', flush=True)\n"
        "serve(app, [listener], on_stop=lambda: print('stopping', flush=True))\n"
        "print('over', flush=True)\n"
    )
    path = tmp_path / "kedge.sock"
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(60)
            asking.connect(str(path))
            asking.sendall(b"GET / HTTP/1.1\r\nHost: kedge\r\nConnection: close\r\n\r\n")
            assert asking.recv(1), "it serves, so it heeds signals"
        process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
    assert (rest, process.returncode) == ("stopping\nover\n", 0)
    assert not path.exists()


@pytest.mark.parametrize(
    "error",
    [
        errors.NotFound("no domain"),
        errors.StaleEpoch("older"),
        errors.CannotBind("port p", ["ovs: no mapping", "macvtap: no mapping"]),
        errors.CannotMigrate("server s"),
    ],
)
def test_errors_come_out_as_they_went_in(error: errors.KedgeError) -> None:
    back = error_from(error_body(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert getattr(back, "reasons", None) == getattr(error, "reasons", None)


def test_odd_errors_are_still_errors() -> None:
    assert type(error_from({"error": {"type": "Sequence", "message": "m"}})) is errors.KedgeError
    assert type(error_from({"error": {"type": "Unheard", "message": "m"}})) is errors.KedgeError
    assert type(error_from({"detail": "x"})) is errors.KedgeError


def test_dataclasses_come_out_as_they_went_in() -> None:
    order = DiscardOrder((DomainState.INCOMING,), epoch=3)
    assert from_json(DiscardOrder, to_json(order)) == order
    assert from_json(HostDuties, b"{}") == HostDuties()


def test_seen_names_domain_job_and_transfer() -> None:
    assert seen(HostView()) == "absent/0/none"
    view = HostView(DomainState.SWITCHOVER, job=True, transfer=TransferState.RUNNING)
    assert seen(view) == "switchover/1/running"


def test_silence_is_unreachable(pki: Pki) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        peer = Peer("the agent of h9", f"http://127.0.0.1:{mute.getsockname()[1]}", None)
        with pytest.raises(errors.Unreachable, match="the agent of h9"):
            peer.call("GET", "/", timeout_s=0.2)
        peer.close()


def test_an_answer_of_another_kind_is_named(served: list[Listener]) -> None:
    peer = Peer("the agent of h9", f"http://127.0.0.1:{served[1].port}", None)
    with pytest.raises(errors.HostFailure, match="same version"):
        peer.ask(HostView, "GET", "/slow")
    with pytest.raises(errors.HostFailure, match="HTTP 404"):
        peer.call("GET", "/nowhere")
    peer.close()
