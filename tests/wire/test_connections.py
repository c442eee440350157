"""Connections between Kedge's processes: kept, given up in time, and never left in the middle of an answer."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from kedge.wire import connections as connections_module
from kedge.wire.connections import Connections, NoAnswer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue"


class Server:
    """Answers each request by what a test says, and counts connections."""

    def __init__(self) -> None:
        self.taken = 0
        self.answer: Callable[[socket.socket], None] = lambda peer: peer.sendall(OK)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self.taken += 1
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            while peer.recv(65536):
                self.answer(peer)


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as made:
        yield made


@pytest.fixture
def connections(server: Server) -> Iterator[Connections]:
    with closing(Connections(server.url, None, None)) as made:
        yield made


def ask(connections: Connections, timeout_s: float = 10.0) -> bytes:
    return connections.request("GET", "/", None, {}, timeout_s).body


def test_a_connection_is_kept(server: Server, connections: Connections) -> None:
    assert [ask(connections) for _ in range(5)] == [b"true"] * 5
    assert server.taken == 1


def test_one_that_the_server_ended_is_not_used(server: Server, connections: Connections) -> None:
    ended = threading.Event()

    def answer_and_end(peer: socket.socket) -> None:
        peer.sendall(OK)
        peer.shutdown(socket.SHUT_RDWR)
        ended.set()

    server.answer = answer_and_end
    for _ in range(3):
        assert ask(connections) == b"true"
        assert ended.wait(10)
        ended.clear()
    assert server.taken == 3


def test_one_that_was_idle_for_long_is_not_used(
    server: Server, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(connections)
    monkeypatch.setattr(connections_module, "_IDLE_S", 0.0)
    ask(connections)
    assert server.taken == 2


def test_half_an_answer_spoils_no_other(server: Server, connections: Connections) -> None:
    server.answer = lambda peer: peer.sendall(OK[:-2])
    with pytest.raises(NoAnswer, match="timed out"):
        ask(connections, 0.2)
    server.answer = lambda peer: peer.sendall(OK)
    assert ask(connections) == b"true"
    assert server.taken == 2


@pytest.mark.parametrize(
    "words", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ntrue", b"hello\r\n\r\n"]
)
def test_what_is_no_answer(server: Server, connections: Connections, words: bytes) -> None:
    def say(peer: socket.socket) -> None:
        peer.sendall(words)
        peer.shutdown(socket.SHUT_RDWR)

    server.answer = say
    with pytest.raises(NoAnswer):
        ask(connections)


def test_nobody_listens(server: Server) -> None:
    server.close()
    with pytest.raises(NoAnswer, match="refused"):
        ask(Connections("http://127.0.0.1:1", None, None))


def test_no_more_calls_at_once_than_are_allowed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "_AT_ONCE", 2)
    go = threading.Event()

    def wait(peer: socket.socket) -> None:
        go.wait(20)
        peer.sendall(OK)

    server.answer = wait
    with closing(Connections(server.url, None, None)) as made, ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(ask, made) for _ in range(2)]
        while server.taken < 2:
            assert not any(each.done() for each in asked)
        with pytest.raises(NoAnswer, match="2 calls are under way"):
            ask(made, 0.1)
        go.set()
        assert [each.result(10) for each in asked] == [b"true"] * 2


@pytest.mark.parametrize("head", [b"content-length: 11", b"x: y"], ids=["said to be long", "without an end"])
def test_an_answer_that_is_too_long_is_not_read_to_its_end(
    server: Server, connections: Connections, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(connections_module, "_LONGEST_ANSWER", 10)
    server.answer = lambda peer: peer.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + b"0123456789a")
    with pytest.raises(NoAnswer, match="longer than"):
        ask(connections)
    server.answer = lambda peer: peer.sendall(OK)
    assert ask(connections) == b"true"
    assert server.taken == 2, "the rest of it is no answer to anything"
