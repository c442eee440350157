"""As much of Nova as takes events, on loopback: it answers what a test tells it to."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class FakeNova:
    """What was posted, and what is answered next: an HTTP status, "slow", or a code for each server."""

    url: str = ""
    posts: list[list[dict[str, Any]]] = field(default_factory=list)
    """Those that were taken."""
    tries: int = 0
    trouble: list[int | str] = field(default_factory=list)
    """What the next requests get instead of an answer."""
    codes: dict[str, int] = field(default_factory=dict)
    """Other codes than 200, by server."""
    bad: set[str] = field(default_factory=set)
    """Servers whose events make the whole request a bad one."""
    tokens: list[str | None] = field(default_factory=list)

    @property
    def taken(self) -> list[tuple[str, str]]:
        """Name and port of every event that was taken, in order."""
        return [(event["name"], event["tag"]) for post in self.posts for event in post]


@contextmanager
def fake_nova(slow_s: float = 1.0) -> Iterator[FakeNova]:
    """A Nova, as long as the block runs."""
    nova = FakeNova()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            link = [{"rel": "self", "href": f"{nova.url}/"}]
            version = {
                "id": "v2.1",
                "status": "CURRENT",
                "version": "2.100",
                "min_version": "2.1",
                "links": link,
            }
            self.say(200, {"version": version})

        def do_POST(self) -> None:
            events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["events"]
            nova.tries += 1
            nova.tokens.append(self.headers["X-Auth-Token"])
            trouble = nova.trouble.pop(0) if nova.trouble else None
            if trouble == "slow":
                time.sleep(slow_s)
                return
            if isinstance(trouble, int):
                self.say(trouble, {"oops": {"code": trouble, "message": f"trouble {trouble}"}})
                return
            assert self.path.endswith("/os-server-external-events")
            if any(event["server_uuid"] in nova.bad for event in events):
                self.say(400, {"badRequest": {"code": 400, "message": "that is no event"}})
                return
            codes = [nova.codes.get(event["server_uuid"], 200) for event in events]
            if all(code == 404 for code in codes):
                self.say(404, {"itemNotFound": {"code": 404, "message": "no server"}})
                return
            nova.posts.append(events)
            answers = [event | {"code": code} for event, code in zip(events, codes, strict=True)]
            self.say(200 if set(codes) == {200} else 207, {"events": answers})

        def say(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that gave up waiting is part of the tests."""

    with Server(("127.0.0.1", 0), Handler) as server:
        nova.url = f"http://127.0.0.1:{server.server_address[1]}/v2.1"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield nova
        finally:
            server.shutdown()
            thread.join()
