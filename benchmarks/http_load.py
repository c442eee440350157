"""One client that asks as fast as it is answered: `python -m benchmarks.http_load`, as cheap as Python allows.

It shares the machine with what it measures, so it is a process of its own that speaks HTTP on a bare socket. What it
is to do comes as a line of JSON on its input; it says "ready", begins at the next line, and prints what it measured.
"""

import json
import socket
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any

Request = tuple[str, str, Any, int]
"""Method, path, body, and the status that it must be answered with."""

HOSTS = ("h3", "h5")


class Connection:
    """A connection that is kept open."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def ask(self, request: Request) -> None:
        """Send it and read the whole answer. Raises RuntimeError if that is not the expected one."""
        method, path, body, expected = request
        content = b"" if body is None else json.dumps(body).encode()
        kind = "Content-Type: application/json\r\n" if content else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: kedge\r\n{kind}Content-Length: {len(content)}\r\n\r\n"
        self._socket.sendall(head.encode() + content)
        status, answer = self._answer()
        if status != expected:
            raise RuntimeError(f"{method} {path} was answered {status}: {answer[:500]!r}")

    def _answer(self) -> tuple[int, bytes]:
        data = self._rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head, data = data[:end].lower(), data[end + 4 :]
        place = head.find(b"content-length:")
        length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        while len(data) < length:
            data += self._more()
        self._rest = data[length:]
        return int(head[9:12]), data[:length]

    def _more(self) -> bytes:
        more = self._socket.recv(1 << 16)
        if not more:
            raise RuntimeError("the server closed the connection")
        return more


def requests(kind: str, subjects: list[str]) -> Iterator[list[Request]]:
    """What is measured as one, over and over: each item is some requests, one after the other."""
    base = "/network/v2.0/ports"
    # A port's ACTIVE binding goes to and fro, so that there is always one to make and one to delete.
    at = dict.fromkeys(subjects, "h1")
    for subject in cycle(subjects):
        if kind == "binding sequence":
            source, target = at[subject], "h3" if at[subject] == "h5" else "h5"
            at[subject] = target
            own = f"{base}/{subject}/bindings"
            yield [
                ("POST", own, {"binding": {"host": target}}, 201),
                ("PUT", f"{own}/{target}/activate", None, 200),
                ("DELETE", f"{own}/{source}", None, 204),
            ]
        elif kind == "show port":
            yield [("GET", f"{base}/{subject}", None, 200)]
        elif kind == "list by device":
            yield [("GET", f"{base}?device_id={subject}", None, 200)]
        else:
            yield [("POST", base, {"port": {"network_id": subject}}, 201)]


def main() -> None:
    """Measure what the input says."""
    order = json.loads(sys.stdin.readline())
    connection = Connection(order["port"])
    asked = requests(order["kind"], order["subjects"])
    for _ in range(order["warm_up"]):
        for request in next(asked):
            connection.ask(request)
    print("ready", flush=True)
    sys.stdin.readline()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < order["most"] and time.perf_counter() - began < order["seconds"]:
        start = time.perf_counter()
        for request in next(asked):
            connection.ask(request)
        times.append((time.perf_counter() - start) * 1000)
    json.dump({"times_ms": times, "wall_s": time.perf_counter() - began}, sys.stdout)


if __name__ == "__main__":
    main()
