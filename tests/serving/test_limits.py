"""Callers that take more than their share, at real sockets of a server with small limits."""

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from structlog.testing import capture_logs

from kedge.serving import Limits, peer_of
from kedge.serving.limits import shares
from kedge.serving.server import Listener, running
from kedge.trust.certificates import CertificateAuthority, Credentials, Role, client_context, server_context

QUICK = Limits(head_s=0.3, body_s=0.3, idle_s=0.3, answer_s=0.3, handshake_s=0.3)
SMALL = Limits(connections=8, connections_per_peer=4, head_bytes=4096, body_bytes=4096)
PATIENCE_S = 20.0
"""No test waits for so long unless something is wrong."""


def application() -> FastAPI:
    app = FastAPI()

    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.get("/ok")
    async def ok() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @app.get("/network/ok")
    async def network() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @app.get("/much")
    async def much() -> StreamingResponse:
        async def parts() -> Any:
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0)

        return StreamingResponse(parts())

    return app


@contextmanager
def served(limits: Limits, **options: Any) -> Iterator[Listener]:
    listener = Listener.tcp("127.0.0.1", 0, limits=limits, **options)
    with running(application(), [listener]):
        yield listener


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), PATIENCE_S, source_address=(source, 0))
    made.settimeout(PATIENCE_S)
    return made


def rest(connection: socket.socket) -> bytes:
    """All that comes until the other side ends the connection."""
    got = b""
    try:
        while part := connection.recv(65536):
            got += part
    except (ConnectionError, ssl.SSLError):
        pass
    return got


def get(port: int, source: str = "127.0.0.1", path: str = "/ok") -> bytes:
    with connect(port, source) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n".encode())
        return rest(connection)


def content(answer: bytes) -> tuple[int, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends, "it did not come to that"
        time.sleep(0.01)


def test_a_peer_with_its_share_is_refused_in_words_and_another_is_served() -> None:
    with served(SMALL) as listener, ExitStack() as stack, capture_logs() as logs:
        for _ in range(4):
            stack.enter_context(connect(listener.port))
        refused = get(listener.port)
        assert refused.startswith(b"HTTP/1.1 503") and b"retry-after" in refused
        assert get(listener.port, "127.0.0.2").endswith(b"ok")
    said = [each for each in logs if each["event"] == "refused"]
    assert [(each["peer"], each["reason"]) for each in said] == [("127.0.0.1", "4 connections of one peer")]


def test_a_place_is_free_again_when_a_connection_ends() -> None:
    with served(SMALL) as listener:
        for _ in range(40):
            assert get(listener.port).endswith(b"ok")
        for _ in range(40):
            connect(listener.port).close()
        until(lambda: get(listener.port).endswith(b"ok"))


def test_an_idle_connection_of_whoever_has_most_gives_way() -> None:
    with served(SMALL) as listener, ExitStack() as stack, capture_logs() as logs:
        one = stack.enter_context(connect(listener.port, "127.0.0.9"))
        greedy = [stack.enter_context(connect(listener.port, "127.0.0.2")) for _ in range(4)]
        for number in range(3):
            stack.enter_context(connect(listener.port, f"127.0.0.{3 + number}"))
        for number in range(2):
            assert get(listener.port, f"127.0.0.{20 + number}").endswith(b"ok")
        assert rest(greedy[0]) == b""
        one.sendall(b"GET /ok HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n")
        assert rest(one).endswith(b"ok")
    assert any("gave way" in each.get("reason", "") and each["peer"] == "127.0.0.2" for each in logs)


def test_connections_that_are_worked_on_give_way_to_nobody() -> None:
    with served(replace(SMALL, connections=2)) as listener, ExitStack() as stack:
        busy = [stack.enter_context(connect(listener.port, f"127.0.0.{2 + number}")) for number in range(2)]
        for each in busy:
            each.sendall(b"GET /much HTTP/1.1\r\nHost: k\r\n\r\n")
            assert each.recv(10)
        assert get(listener.port).startswith(b"HTTP/1.1 503")
        assert all(each.recv(1) for each in busy)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 10_000,
        b"GET /ok HTTP/1.1\r\nHost: k\r\nX: " + b"x" * 10_000,
        b"GET /ok HTTP/1.1\r\nHost: k\r\n" + b"X: y\r\n" * 2_000,
        b"GET /ok HTTP/1.1\r\nHost: k\r\n" + b"X: y\r\n" * 2_000 + b"\r\n",
    ],
)
def test_a_head_that_is_too_large_is_refused(head: bytes) -> None:
    with served(SMALL) as listener, connect(listener.port) as connection:
        connection.sendall(head)
        status, body = content(rest(connection))
    assert status == 431
    assert body["error"]["message"].startswith("The head of the request is larger than 4096 bytes")


def test_a_head_without_an_end_costs_no_memory() -> None:
    """A flood that only the caller ends: the server reads it for a moment, keeps nothing of it, and cuts it off."""
    with served(SMALL) as listener, connect(listener.port) as connection:
        connection.sendall(b"GET /network/ok?x=")
        before = resident()
        ends = time.monotonic() + PATIENCE_S
        with pytest.raises(OSError):
            while time.monotonic() < ends:
                connection.send(b"x" * 65536)
        assert resident() - before < 20 << 20
        assert get(listener.port).endswith(b"ok")


def test_a_head_as_large_as_allowed_is_taken() -> None:
    with served(SMALL) as listener:
        assert get(listener.port, path="/ok?" + "x" * 4000).endswith(b"ok")


@pytest.mark.parametrize(
    "request_",
    [
        b"Content-Length: 5000\r\n\r\n",
        b"Content-Length: 9999999999\r\nExpect: 100-continue\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + (b"3e8\r\n" + b"x" * 1000 + b"\r\n") * 5,
        b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 2000,
        b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: " + b"x" * 10_000,
    ],
)
def test_a_body_that_is_too_large_is_refused(request_: bytes) -> None:
    with served(SMALL) as listener, connect(listener.port) as connection:
        connection.sendall(b"POST /size HTTP/1.1\r\nHost: k\r\n")
        connection.sendall(request_)
        answer = rest(connection)
        # Where the application waits for the rest already, the end of the connection is all that can be said.
        assert answer == b"" or content(answer)[0] == 413
        assert get(listener.port).endswith(b"ok")


def test_a_body_as_large_as_allowed_is_taken() -> None:
    with served(SMALL) as listener:
        answer = httpx2.post(f"http://127.0.0.1:{listener.port}/size", content=b"x" * 4096)
        assert answer.json() == 4096


def test_neutron_s_clients_are_refused_in_neutron_s_form() -> None:
    with served(SMALL) as listener:
        status, body = content(get(listener.port, path="/network/ok?" + "x" * 9000))
    assert status == 431
    assert body["NeutronError"]["message"].startswith("The head of the request is larger than 4096 bytes")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", 0),
        (b"\r\n", 0),
        (b"GET /ok HTTP/1.1\r\nHost", 408),
        (b"POST /size HTTP/1.1\r\nHost: k\r\nContent-Length: 9\r\n\r\nx", 0),
    ],
)
def test_whoever_does_not_go_on_is_cut_off(sent: bytes, status: int) -> None:
    with served(QUICK) as listener, connect(listener.port) as connection:
        connection.sendall(sent)
        answer = rest(connection)
    assert (content(answer)[0] if answer else 0) == status


def test_a_head_that_comes_byte_by_byte_has_no_more_time() -> None:
    with served(QUICK) as listener, connect(listener.port) as connection:
        connection.sendall(b"GET /")
        with pytest.raises(OSError):
            ends = time.monotonic() + PATIENCE_S
            while time.monotonic() < ends:
                connection.sendall(b"x")
                time.sleep(0.02)


def test_a_connection_that_asks_for_nothing_more_is_closed() -> None:
    with served(QUICK) as listener, connect(listener.port) as connection:
        connection.sendall(b"GET /ok HTTP/1.1\r\nHost: k\r\n\r\n")
        assert rest(connection).endswith(b"ok")


def test_an_answer_that_nobody_takes_does_not_stay() -> None:
    with served(QUICK) as listener, connect(listener.port) as connection, capture_logs() as logs:
        connection.sendall(b"GET /much HTTP/1.1\r\nHost: k\r\n\r\n")
        until(lambda: any("not taken" in each.get("reason", "") for each in logs))
        rest(connection)


def test_many_requests_at_once_on_one_connection_are_bounded() -> None:
    with served(SMALL) as listener, connect(listener.port) as connection:
        connection.sendall(
            b"GET /much HTTP/1.1\r\nHost: k\r\n\r\n" + b"GET /ok HTTP/1.1\r\nHost: k\r\n\r\n" * 100
        )
        rest(connection)
        assert get(listener.port).endswith(b"ok")


@pytest.fixture
def pki(tmp_path: Path) -> tuple[Credentials, Credentials]:
    authority = CertificateAuthority.create(tmp_path / "ca")
    return (
        authority.issue("control", Role.CONTROL, ["127.0.0.1"], tmp_path),
        authority.issue("h1", Role.AGENT, ["127.0.0.1"], tmp_path),
    )


def test_a_handshake_that_stalls_or_never_begins_is_cut_off(pki: tuple[Credentials, Credentials]) -> None:
    with served(QUICK, tls=server_context(pki[0])) as listener, capture_logs() as logs:
        with connect(listener.port) as silent, connect(listener.port) as half:
            half.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
            assert rest(silent) == rest(half) == b""
        with client_context(pki[1]).wrap_socket(connect(listener.port), server_hostname="127.0.0.1") as idle:
            assert rest(idle) == b""
    assert any("handshake took too long" in each.get("reason", "") for each in logs)


@pytest.mark.parametrize("of_each", [4, 1])
def test_whoever_holds_a_certificate_is_served_while_others_only_connect(
    pki: tuple[Credentials, Credentials], of_each: int
) -> None:
    request = b"GET /ok HTTP/1.1\r\nHost: k\r\n\r\n"
    with served(SMALL, tls=server_context(pki[0])) as listener, ExitStack() as stack:

        def connect_as_holder() -> ssl.SSLSocket:
            plain = stack.enter_context(connect(listener.port))
            return stack.enter_context(client_context(pki[1]).wrap_socket(plain, server_hostname="127.0.0.1"))

        def is_served(connection: ssl.SSLSocket) -> bool:
            connection.sendall(request)
            answer = b""
            while not answer.endswith(b"ok"):
                part = connection.recv(4096)
                if not part:
                    return False
                answer += part
            return True

        first = connect_as_holder()
        assert is_served(first)
        for number in range(40):
            stack.enter_context(connect(listener.port, f"127.0.1.{1 + number // of_each}"))
        assert is_served(connect_as_holder())  # it is accepted after all of these
        assert is_served(first)


def test_a_server_ends_although_somebody_stalls_its_handshake(pki: tuple[Credentials, Credentials]) -> None:
    with served(Limits(), tls=server_context(pki[0])) as listener:
        stalled = connect(listener.port)
        ended = threading.Event()
        began = time.monotonic()
    ended.set()
    assert time.monotonic() - began < PATIENCE_S / 2
    stalled.close()


def test_the_peers_that_are_counted() -> None:
    assert peer_of("192.0.2.1") == peer_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert peer_of("2001:db8::1") == peer_of("2001:db8::ffff:1") == "2001:db8::/64"
    assert peer_of("2001:db8:0:1::1") != peer_of("2001:db8::1")
    assert peer_of("fe80::1%eth0") == "fe80::/64"
    assert peer_of("") == ""


def test_descriptors_are_shared_out_in_proportion() -> None:
    assert shares([1024, 4096, 128], 10_000) == [1024, 4096, 128]
    assert shares([1024, 4096, 128], 682) == [133, 532, 16]
    assert shares([1024, 4096, 2], 64) == [12, 51, 2]


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
