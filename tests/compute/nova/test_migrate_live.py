"""`os-migrateLive`, and the migrations that come of it."""

import time
from typing import Any

import pytest
from sqlalchemy import update

from kedge.model.server import MigrationStatus, Server
from kedge.store import transaction
from kedge.store.tables import MigrationRow

from ..compute_world import completed
from .nova_world import NovaWorld

AUTO = {"host": "h3", "block_migration": "auto"}
OLD = {"host": "h3", "block_migration": False, "disk_over_commit": False}
NOBODY = "5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0001"


@pytest.fixture
def server(nova: NovaWorld, request: pytest.FixtureRequest) -> Server:
    """A server on h1, of project demo."""
    made = nova.fleet.server("h1", request.node.name[:60])
    return nova.fleet.tools.servers.label(made.id, {"project": "demo"})


def _end(nova: NovaWorld, server: Server) -> Any:
    """Drive the server's migration to its end."""
    (migration,) = nova.fleet.tools.migrations.all(server.id)
    return nova.fleet.drive(migration)


@pytest.mark.parametrize(
    ("version", "body"),
    [
        ("2.1", OLD),
        ("2.24", {**OLD, "disk_over_commit": True}),
        ("2.25", AUTO),
        ("2.25", {**AUTO, "block_migration": False}),
        ("2.30", AUTO),
        ("2.30", {**AUTO, "force": True}),
        ("2.67", {**AUTO, "force": False}),
        ("2.68", AUTO),
        ("2.96", AUTO),
        ("2.96", {**AUTO, "block_migration": "False"}),
    ],
)
def test_a_server_moves(nova: NovaWorld, server: Server, version: str, body: dict[str, Any]) -> None:
    answer = nova.live(server, body, version=version)
    assert (answer.status_code, answer.content) == (202, b"")
    shown = nova.get(f"/servers/{server.id}")["server"]
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("MIGRATING", "migrating")
    assert completed(_end(nova, server))
    shown = nova.get(f"/servers/{server.id}")["server"]
    assert (shown["status"], shown["OS-EXT-SRV-ATTR:host"]) == ("ACTIVE", "h3")
    nova.fleet.check(server, "h3")


def test_a_server_moves_to_any_host(nova: NovaWorld, server: Server) -> None:
    assert nova.live(server, {"host": None, "block_migration": "auto"}).status_code == 202
    migration = _end(nova, server)
    assert completed(migration) and migration.destination != "h1"


@pytest.mark.parametrize(
    ("version", "body", "said"),
    [
        ("2.1", {"host": "h3", "block_migration": False}, "disk_over_commit"),
        ("2.24", {**OLD, "block_migration": "auto"}, "block_migration"),
        ("2.25", OLD, "disk_over_commit"),
        ("2.29", {**AUTO, "force": True}, "force"),
        ("2.68", {**AUTO, "force": True}, "force"),
        ("2.30", {**AUTO, "host": None, "force": True}, "Can't force to a non-provided destination"),
        ("2.96", {"host": "h3"}, "block_migration"),
        ("2.96", {"block_migration": "auto"}, "host"),
        ("2.96", {**AUTO, "block_migration": "never"}, "block_migration"),
        ("2.96", {**AUTO, "block_migration": True}, "copies no disks"),
        ("2.1", {**OLD, "block_migration": True}, "copies no disks"),
        ("2.96", {**AUTO, "host": ""}, "host"),
        ("2.96", {**AUTO, "host": "h" * 256}, "host"),
        ("2.96", {**AUTO, "host": 3}, "host"),
        ("2.96", {**AUTO, "host": "nowhere"}, "Compute host nowhere could not be found."),
        ("2.96", {**AUTO, "color": "red"}, "color"),
        ("2.96", {**AUTO, "host": "h1"}, "is on h1 already"),
        ("2.96", None, "os-migrateLive"),
    ],
)
def test_bodies_that_are_refused(nova: NovaWorld, server: Server, version: str, body: Any, said: str) -> None:
    assert said in nova.not_live(400, server, body, version=version)
    assert nova.fleet.tools.migrations.all(server.id) == []


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, {}, "The body has 0 actions"),
        (400, {"os-migrateLive": AUTO, "pause": None}, "The body has 2 actions"),
        (400, {"dance": None}, "There is no such action: dance"),
        (400, {"d" * 10_000: None}, "There is no such action"),
        (400, [], "Invalid input"),
        (501, {"reboot": {"type": "SOFT"}}, "This is Kedge, which has no action reboot"),
    ],
)
def test_actions_that_are_not_here(
    nova: NovaWorld, server: Server, status: int, body: Any, said: str
) -> None:
    assert said in nova.refused(status, "POST", f"/servers/{server.id}/action", body)


def test_a_refusal_has_every_reason(nova: NovaWorld, server: Server) -> None:
    fleet = nova.fleet
    fleet.tools.settings.disable("h3", "its fan is loud")
    fleet["h3"].agent.reachable = False
    try:
        said = nova.not_live(400, server, AUTO)
    finally:
        fleet.tools.settings.enable("h3")
        fleet["h3"].agent.reachable = True
    assert said.startswith(f"Server {server.name} can't move from h1 to h3: ")
    assert "its fan is loud" in said and "does not answer" in said
    assert fleet.tools.migrations.all(server.id) == []


def test_a_server_that_moves_already(nova: NovaWorld, server: Server) -> None:
    assert nova.live(server, AUTO).status_code == 202
    said = nova.not_live(409, server, {**AUTO, "host": "h2"})
    assert said == f"Cannot 'os-migrateLive' instance {server.id} while it is in task_state migrating"
    assert completed(_end(nova, server))


def test_a_server_that_does_not_run(nova: NovaWorld, server: Server) -> None:
    nova.fleet.tools.servers.change(server.id, status="SHUTOFF")
    said = nova.not_live(409, server, AUTO)
    assert said == f"Cannot 'os-migrateLive' instance {server.id} while it is in vm_state stopped"


def test_who_may_migrate(nova: NovaWorld, server: Server) -> None:
    said = nova.not_live(403, server, AUTO, user="alice")
    assert "rule:os_compute_api:os-migrate-server:migrate_live is disallowed by policy" in said
    assert nova.not_live(404, server, AUTO, user="bob") == f"Instance {server.id} could not be found."
    for user in ("audit", "nova"):
        assert "disallowed by policy" in nova.not_live(403, server, AUTO, user=user)
    assert nova.fleet.tools.migrations.all(server.id) == []
    assert nova.live(server, AUTO, user="max").status_code == 202
    assert completed(_end(nova, server))


def test_the_migration_under_way(nova: NovaWorld, server: Server) -> None:
    assert nova.get(f"/servers/{server.id}/migrations") == {"migrations": []}
    assert nova.live(server, AUTO).status_code == 202
    (migration,) = nova.fleet.tools.migrations.all(server.id)
    progress = {"memory_total": 5, "memory_processed": 2, "memory_remaining": 3}
    with transaction(nova.fleet.engine) as session:
        session.execute(
            update(MigrationRow)
            .where(MigrationRow.id == migration.id)
            .values(status=MigrationStatus.RUNNING.value, progress=progress)
        )
    (found,) = nova.get(f"/servers/{server.id}/migrations")["migrations"]
    assert (found["uuid"], found["server_uuid"], found["status"]) == (migration.id, server.id, "running")
    assert (found["source_compute"], found["dest_compute"], found["project_id"]) == ("h1", "h3", "demo")
    memory = [found[f"memory_{each}_bytes"] for each in ("total", "processed", "remaining")]
    assert memory == [5, 2, 3]
    path = f"/servers/{server.id}/migrations/{found['id']}"
    assert nova.get(path) == {"migration": found}
    old = nova.get(path, "2.58")["migration"]
    assert set(found) - set(old) == {"uuid", "project_id", "user_id"}
    assert set(found) - set(nova.get(path, "2.79")["migration"]) == {"project_id", "user_id"}
    for before, method, of, body in (
        ("2.22", "GET", f"/servers/{server.id}/migrations", None),
        ("2.22", "GET", path, None),
        ("2.23", "DELETE", path, None),
        ("2.21", "POST", f"{path}/action", {"force_complete": None}),
    ):
        said = nova.refused(404, method, of, body, version=before)
        assert said == f"API version {before} is not supported on this method."
    (listed,) = nova.get(f"/os-migrations?instance_uuid={server.id}")["migrations"]
    assert (listed["id"], listed["uuid"], listed["migration_type"]) == (
        found["id"],
        migration.id,
        "live-migration",
    )
    assert listed["links"][0]["href"].endswith(path)
    assert completed(_end(nova, server))
    for method, of, body in (
        ("GET", path, None),
        ("DELETE", path, None),
        ("POST", f"{path}/action", {"force_complete": None}),
    ):
        said = nova.refused(404, method, of, body)
        assert said == f"Live migration {found['id']} for server {server.id} is not in progress."
    (listed,) = nova.get(f"/os-migrations?instance_uuid={server.id}")["migrations"]
    assert listed["status"] == "completed" and "links" not in listed


def test_an_abort(nova: NovaWorld, server: Server) -> None:
    nova.live(server, AUTO)
    (found,) = nova.get(f"/servers/{server.id}/migrations")["migrations"]
    assert nova.ask("DELETE", f"/servers/{server.id}/migrations/{found['id']}").status_code == 202
    assert _end(nova, server).status is MigrationStatus.CANCELLED
    (listed,) = nova.get(f"/os-migrations?instance_uuid={server.id}")["migrations"]
    assert listed["status"] == "cancelled"
    nova.fleet.check(server, "h1")


def test_force_complete(nova: NovaWorld, server: Server) -> None:
    nova.live(server, AUTO)
    (found,) = nova.get(f"/servers/{server.id}/migrations")["migrations"]
    path = f"/servers/{server.id}/migrations/{found['id']}/action"
    for wrong in ({}, {"force_complete": True}, {"force_complete": None, "more": 1}):
        nova.refused(400, "POST", path, wrong)
    assert nova.ask("POST", path, {"force_complete": None}).status_code == 202
    (migration,) = nova.fleet.tools.migrations.all(server.id)
    assert migration.options.complete_now
    assert completed(_end(nova, server))


def test_migrations_of_another_server_are_not_this_ones(nova: NovaWorld, server: Server) -> None:
    nova.live(server, AUTO)
    (found,) = nova.get(f"/servers/{server.id}/migrations")["migrations"]
    other = nova.fleet.server("h2", "other")
    for number in (found["id"], 10**30, "x", -1):
        said = nova.refused(404, "GET", f"/servers/{other.id}/migrations/{number}")
        assert said.endswith(f"for server {other.id} is not in progress.")
    nova.refused(404, "GET", f"/servers/{NOBODY}/migrations")
    for path in (f"/servers/{server.id}/migrations", "/os-migrations"):
        assert "disallowed by policy" in nova.refused(403, "GET", path, user="alice")
    assert completed(_end(nova, server))


def test_the_list_of_all_migrations(nova: NovaWorld, server: Server) -> None:
    made = []
    for host in ("h2", "h3", "h4"):
        assert nova.live(server, {**AUTO, "host": host}).status_code == 202
        made.append(nova.fleet.drive(nova.fleet.tools.migrations.all(server.id)[0]).id)
    of_it = f"/os-migrations?instance_uuid={server.id}"

    def uuids(query: str) -> list[str]:
        return [each["uuid"] for each in nova.get(f"{of_it}&{query}")["migrations"]]

    assert uuids("") == made[::-1], "the newest first"
    assert uuids("host=h2") == [made[1], made[0]]
    assert uuids("source_compute=h2") == [made[1]]
    assert uuids("status=completed&migration_type=live-migration") == made[::-1]
    assert uuids("status=error") == uuids("migration_type=resize") == uuids("user_id=x") == []
    assert uuids("project_id=demo") == made[::-1] and uuids("project_id=other") == []
    page = nova.get(f"{of_it}&limit=2")
    assert [each["uuid"] for each in page["migrations"]] == made[:0:-1]
    (further,) = page["migrations_links"]
    assert further["rel"] == "next" and f"marker={made[1]}" in further["href"]
    assert uuids(f"limit=2&marker={made[1]}") == [made[0]]
    for query, said in (
        ("marker=x", "Marker x could not be found."),
        ("changes-since=2026-01-01", "changes-since"),
        ("color=red", "color"),
        ("limit=x", "limit"),
    ):
        assert said in nova.refused(400, "GET", f"{of_it}&{query}")
    old = nova.get(of_it, "2.22")["migrations"][0]
    assert not {"uuid", "migration_type", "links", "project_id"} & set(old)


def test_a_started_control_plane_moves_it(nova: NovaWorld, server: Server) -> None:
    nova.conductor.start()
    with nova.fleet.fabric.running_by_itself():
        assert nova.live(server, AUTO).status_code == 202
        ends = time.monotonic() + 60
        while nova.get(f"/servers/{server.id}")["server"]["status"] == "MIGRATING":
            assert time.monotonic() < ends
        nova.conductor.stop()
    nova.fleet.check(server, "h3")
