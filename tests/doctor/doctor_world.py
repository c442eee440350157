"""A control plane over simulated hosts, asked through its REST interface what is wrong, and what tests plant there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text

from kedge.compute.api.doctor import doctor_router
from kedge.compute.migrations.conductor import Conductor
from kedge.model.domain import DomainState
from kedge.model.server import Server
from kedge.network.api import install_error_handlers
from kedge.store import transaction

from ..compute.compute_world import ComputeWorld, prepared

UNKNOWN = "99999999-2222-3333-4444-555555555555"
"""An id that nothing has."""

TOUCHES = {"create_domain", "delete_domain", "start_transfer", "abort_transfer"}
"""What an agent does to a running VM, and a repair never asks for."""


@dataclass(frozen=True)
class Snapshot:
    """A running VM, as it was."""

    host: str
    xml: str
    calls: int


class DoctorWorld(ComputeWorld):
    """A `ComputeWorld` with the doctor's REST interface, and a conductor that a test may start."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.of_control_plane: Conductor = self.conductor(self.tools)
        self.api: TestClient

    # What the doctor says.

    def findings(self) -> list[dict[str, Any]]:
        answer = self.api.get("/kedge/v1/doctor")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["findings"]
        return found

    def kinds(self) -> set[str]:
        return {each["kind"] for each in self.findings()}

    def repair(self) -> dict[str, Any]:
        answer = self.api.post("/kedge/v1/doctor/repair")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    # The VM, that must stay as it is.

    def snapshot(self, server: Server, host: str) -> Snapshot:
        return Snapshot(host, self[host].holds[server.id].xml, self._touches())

    def check_untouched(self, server: Server, before: Snapshot) -> None:
        domain = self[before.host].holds[server.id]
        assert (domain.state, domain.xml) == (DomainState.RUNNING, before.xml)
        assert self._touches() == before.calls
        assert self.fabric.violations == []

    def _touches(self) -> int:
        return sum(call in TOUCHES for host in self.fabric.hosts.values() for call in host.agent.calls)

    # Planting.

    def sql(self, statement: str, **values: Any) -> None:
        """What a person does who edits the database by hand."""
        with transaction(self.engine) as session:
            session.connection().exec_driver_sql("PRAGMA foreign_keys=OFF")
            session.execute(text(statement), values)

    def domain_on(self, host: str, server: Server, like: str, state: DomainState) -> None:
        """A second domain of a server, as it is on `like`."""
        self[host].place(self[like].holds[server.id].xml, state)

    def bind_everywhere(self, server: Server, host: str, migration_id: str | None) -> None:
        """INACTIVE bindings of all ports on a host, with their VIFs."""
        for port in self.ports(server):
            self.network.bind(port.id, host, migration_id=migration_id)
        for vif in self.network.duties(host).vifs:
            self[host].plug(vif)


@contextmanager
def make_doctor_world(directory: Path) -> Iterator[DoctorWorld]:
    """A world whose control plane answers, with no conductor at work."""
    world = DoctorWorld(prepared(directory))
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(doctor_router(world.tools, world.network, world.network, nova=True))
    with TestClient(app, base_url="http://kedge") as api:
        world.api = api
        yield world
    world.close()
