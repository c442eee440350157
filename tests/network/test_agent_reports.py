"""What agents report over HTTP, for whom, and what they are answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import TypeAdapter
from sqlalchemy import event
from starlette.types import ASGIApp, Receive, Scope, Send

from kedge.model.domain import VifState
from kedge.network.api import agent_router, install_error_handlers
from kedge.network.api.peer import AGENT_ROLE, SCOPE_KEY
from kedge.wire.messages import HostDuties, HostReport

from .network_world import World, report_of


@contextmanager
def api(
    world: World, *, peer: str | None = None, role: str = AGENT_ROLE, trust_local: bool = False
) -> Iterator[TestClient]:
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(agent_router(world.service, trust_local=trust_local))
    with TestClient(_WithPeer(app, peer, role), raise_server_exceptions=False) as client:
        yield client


class _WithPeer:
    """Stands for the server that puts the name of the verified certificate into the scope."""

    def __init__(self, app: ASGIApp, peer: str | None, role: str) -> None:
        self._app, self._peer, self._role = app, peer, role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extra = {SCOPE_KEY: {"name": self._peer, "role": self._role}} if self._peer else {}
        await self._app({**scope, **extra}, receive, send)


def as_json(report: HostReport) -> Any:
    return TypeAdapter(HostReport).dump_python(report, mode="json")


def test_a_report_that_brings_nothing_new_costs_six_statements(world: World) -> None:
    """Hosts send them whenever anything happens there; by objects for rows they were half of a migration's CPU."""
    port = world.service.create_port(world.network().id, device_id="vm", fixed_ips=["192.0.2.7"])
    world.service.bind(port.id, "h3")
    world.report("h3")
    asked: list[str] = []
    event.listen(world.engine, "before_cursor_execute", lambda *said: asked.append(said[2].split()[0]))
    world.report("h3")
    assert world.service.duties("h3").vifs
    kept = ["UPDATE", "SELECT", "SELECT"]
    assert [each for each in asked if each != "BEGIN"] == [*kept, "SELECT", "SELECT", "SELECT"]


def test_a_report_is_kept_and_answered_with_the_hosts_duties(world: World) -> None:
    port = world.service.create_port(world.network().id, device_id="vm", fixed_ips=["192.0.2.7"])
    world.service.bind(port.id, "h3")
    world.pass_time(60)
    report = report_of("h3", {port.id: VifState.UP}, ("vm",))
    with api(world, peer="h3") as client:
        response = client.post("/agent/v1/hosts/h3/report", json=as_json(report))
    assert response.status_code == 200, response.text
    duties = TypeAdapter(HostDuties).validate_python(response.json())
    assert asdict(duties) == asdict(world.service.duties("h3"))
    (vif,) = duties.vifs
    assert (vif.port_id, vif.fixed_ips, vif.segment.segmentation_id) == (port.id, ("192.0.2.7",), 100)
    assert world.service.host("h3").alive
    assert not world.service.host("h1").alive
    assert world.service.port(port.id).status == "ACTIVE"


@pytest.mark.parametrize(
    ("peer", "trust_local", "status"),
    [("h3", False, 200), ("h1", False, 403), ("h1", True, 403), (None, False, 403), (None, True, 200)],
)
def test_an_agent_speaks_for_its_own_host_only(
    world: World, peer: str | None, trust_local: bool, status: int
) -> None:
    world.pass_time(60)
    with api(world, peer=peer, trust_local=trust_local) as client:
        response = client.post("/agent/v1/hosts/h3/report", json=as_json(report_of("h3")))
    assert response.status_code == status
    assert world.service.host("h3").alive == (status == 200)
    if status == 403:
        assert response.json()["error"]["type"] == "Forbidden"
        assert "'h3'" in response.json()["error"]["message"]


def test_a_certificate_of_another_role_speaks_for_no_host(world: World) -> None:
    with api(world, peer="h3", role="admin") as client:
        response = client.post("/agent/v1/hosts/h3/report", json=as_json(report_of("h3")))
    assert response.status_code == 403


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"host": "h1"}, "sent as 'h3'"),
        ({"vifs": {"p": "sideways"}}, "Invalid input for vifs"),
        ({"backends": [{"mappings": {}}]}, "Required attribute 'driver' not specified"),
    ],
)
def test_a_report_that_makes_no_sense_is_refused(world: World, change: dict[str, Any], message: str) -> None:
    with api(world, peer="h3") as client:
        response = client.post("/agent/v1/hosts/h3/report", json=as_json(report_of("h3")) | change)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "BadRequest"
    assert message in response.json()["error"]["message"]


def test_a_bug_is_answered_without_its_details(world: World) -> None:
    world.engine.dispose()
    with world.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE agents")
    with api(world, peer="h3") as client:
        response = client.post("/agent/v1/hosts/h3/report", json=as_json(report_of("h3")))
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "InternalError"
