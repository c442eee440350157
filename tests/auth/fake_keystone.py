"""As much of Keystone's API v3 as keystoneauth and Kedge ask of it, on loopback."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

OWN_PASSWORD = "kedge's own"
OWN_TOKEN = "token-of-kedge"


def described(name: str, *roles: str, lasts_s: float = 3600, **scope: Any) -> dict[str, Any]:
    """A token, as Keystone describes it."""
    expires = datetime.now(UTC) + timedelta(seconds=lasts_s)
    return {
        "user": {"id": f"id-of-{name}", "name": name, "domain": {"id": "default", "name": "Default"}},
        "roles": [{"id": f"id-of-{role}", "name": role} for role in roles],
        "expires_at": f"{expires:%Y-%m-%dT%H:%M:%S.%fZ}",
        "issued_at": "2026-11-23T00:00:00.000000Z",
        "methods": ["password"],
        **scope,
    }


@dataclass
class FakeKeystone:
    """The tokens that it knows, and what it was asked."""

    url: str = ""
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    validations: list[str] = field(default_factory=list)
    logins: int = 0
    fails_with: int | None = None
    endpoints: dict[str, str] = field(default_factory=dict)
    """Further services for the catalogue: endpoint by type."""

    def catalog(self) -> list[dict[str, Any]]:
        services = {"identity": f"{self.url}/v3"} | self.endpoints
        return [
            {
                "type": kind,
                "name": kind,
                "endpoints": [
                    {"interface": "public", "region": "R", "region_id": "R", "url": url, "id": kind}
                ],
            }
            for kind, url in services.items()
        ]


@contextmanager
def fake_keystone() -> Iterator[FakeKeystone]:
    """A Keystone, as long as the block runs."""
    keystone = FakeKeystone()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.rstrip("/") in {"", "/v3"}:
                version = {
                    "id": "v3.14",
                    "status": "stable",
                    "links": [{"rel": "self", "href": f"{keystone.url}/v3/"}],
                }
                self.say(200, {"version": version})
                return
            if keystone.fails_with is not None:
                self.say(keystone.fails_with, {})
                return
            if self.headers["X-Auth-Token"] != OWN_TOKEN:
                self.say(401, {})
                return
            token = self.headers["X-Subject-Token"]
            keystone.validations.append(token)
            if token in keystone.tokens:
                self.say(200, {"token": keystone.tokens[token]})
            else:
                self.say(404, {"error": {"code": 404, "message": f"Could not find token: {token}."}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if body["auth"]["identity"]["password"]["user"]["password"] != OWN_PASSWORD:
                self.say(401, {"error": {"code": 401, "message": "wrong"}})
                return
            keystone.logins += 1
            project = {"id": "service", "name": "service", "domain": {"id": "default", "name": "Default"}}
            token = described("kedge", "admin", project=project, catalog=keystone.catalog())
            self.say(201, {"token": token}, {"X-Subject-Token": OWN_TOKEN})

        def say(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        keystone.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield keystone
        finally:
            server.shutdown()
            thread.join()


def clouds_yaml(keystone: FakeKeystone, password: str = OWN_PASSWORD) -> str:
    """A clouds.yaml with this Keystone as the cloud `lab`."""
    auth = {
        "auth_url": keystone.url,
        "username": "kedge",
        "password": password,
        "project_name": "service",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    return json.dumps({"clouds": {"lab": {"auth": auth, "region_name": "R"}}})
