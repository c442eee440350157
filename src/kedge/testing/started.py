"""A control plane as people run it, in processes of its own, and clients that ask it several things at one instant."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_S = 60


@dataclass(frozen=True)
class Ask:
    """A request."""

    method: str
    path: str
    body: Any = None


@dataclass(frozen=True)
class Answer:
    """An answer; `body` is None where there is none."""

    status: int
    body: Any

    @property
    def error(self) -> str:
        """Neutron's name for what is wrong; "" if nothing is."""
        return str(self.body["NeutronError"]["type"]) if self.status >= 400 else ""


@dataclass(frozen=True)
class Started:
    """A control plane that listens on a port of loopback; `pid` is its first process."""

    pid: int
    port: int

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Ask one thing."""
        return self.at_once(Ask(method, path, body))[0]

    def at_once(self, *asked: Ask) -> list[Answer]:
        """Ask several things at one instant, each from a connection of its own that is open already."""
        barrier = threading.Barrier(len(asked))
        with ThreadPoolExecutor(len(asked)) as threads:
            return list(threads.map(lambda each: self._ask(each, barrier), asked))

    def _ask(self, asked: Ask, barrier: threading.Barrier) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.connect()
        text = None if asked.body is None else json.dumps(asked.body)
        barrier.wait()
        connection.request(
            asked.method, f"/network/v2.0{asked.path}", text, {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return Answer(answer.status, json.loads(content) if content else None)

    def workers(self) -> list[int]:
        """The processes that the first one made."""
        found = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(each) for each in found.split()]


@contextmanager
def started(
    directory: Path, database_url: str, workers: int = 1, *, socket_path: Path | None = None
) -> Iterator[Started]:
    """`kedge serve` on this database, as long as this process lives; its log is `serve.log` in the directory."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "setpriv", "--pdeathsig=TERM", sys.executable, "-m", "kedge", "serve", "--state-dir", str(directory / "state"),
        "--socket", str(socket_path or ""), "--listen", f"127.0.0.1:{port}",
        "--database", database_url, "--workers", str(workers),
    ]  # fmt: skip
    log = directory / "serve.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ)
    try:
        _wait(process, port, log)
        yield Started(process.pid, port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
            connection.request("GET", "/network/")
            connection.getresponse().read()
            connection.close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"it did not start: {log.read_text()}")
