"""Nova's role before a control plane with simulated hosts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from kedge.auth import guarded, open_strategy
from kedge.compute.migrations.conductor import Conductor
from kedge.config import AuthConfig
from kedge.control_plane import build_app
from kedge.model.server import Server

from ...auth.conftest import basic, write_users
from ..compute_world import ComputeWorld, make_compute_world

V21 = "/compute/v2.1"
USERS = {
    "root": "admin",
    "max": "admin:demo",
    "nova": "service",
    "audit": "reader",
    "alice": "member:demo",
    "bob": "member:other",
}


@dataclass
class NovaWorld:
    """Hosts, servers, and Nova's role in front of them; its conductor drives nothing unless it is started."""

    fleet: ComputeWorld
    conductor: Conductor
    app: Any
    open: TestClient
    closed: TestClient

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: str | None = "2.96",
        user: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Ask for something under /compute/v2.1, as nobody in particular or as a user."""
        sent = {"OpenStack-API-Version": f"compute {version}"} if version else {}
        client, who = (self.closed, basic(user)) if user else (self.open, {})
        return client.request(method, f"{V21}{path}", json=body, headers={**sent, **who, **(headers or {})})

    def get(self, path: str, version: str = "2.96", *, user: str | None = None) -> Any:
        """The JSON of what must be found."""
        answer = self.ask("GET", path, version=version, user=user)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def names(self, query: str, *, user: str | None = None, version: str = "2.96") -> list[str]:
        """The names of the servers in a list."""
        return [each["name"] for each in self.get(f"/servers?{query}", version, user=user)["servers"]]

    def refused(self, status: int, method: str, path: str, body: Any = None, **how: Any) -> str:
        """The message of what must be refused, in Nova's form."""
        answer = self.ask(method, path, body, **how)
        assert answer.status_code == status, answer.text
        ((name, fault),) = answer.json().items()
        assert (name, fault["code"]) == (FAULTS[status], status)
        return str(fault["message"])

    def live(self, server: Server, body: Mapping[str, Any], **how: Any) -> Any:
        """Ask for a live migration."""
        return self.ask("POST", f"/servers/{server.id}/action", {"os-migrateLive": body}, **how)

    def not_live(self, status: int, server: Server, body: Mapping[str, Any], **how: Any) -> str:
        """Ask for a live migration that is refused; why."""
        action = {"os-migrateLive": body}
        return self.refused(status, "POST", f"/servers/{server.id}/action", action, **how)


FAULTS = {
    400: "badRequest",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "computeFault",
    409: "conflictingRequest",
    413: "overLimit",
    501: "notImplemented",
}


@contextmanager
def make_nova_world(directory: Path) -> Iterator[NovaWorld]:
    """A world without servers."""
    strategy = open_strategy(AuthConfig(users=write_users(directory / "users", USERS)), None)
    with make_compute_world(directory) as fleet:
        conductor = fleet.conductor(fleet.tools)
        app = build_app(fleet.network, conductor, fleet.servers, lambda inner: guarded(inner, strategy))

        async def unguarded(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "kedge.listener": "unix"}, receive, send)

        yield NovaWorld(fleet, conductor, unguarded, TestClient(unguarded), TestClient(app))
