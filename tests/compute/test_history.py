"""Migrations page by page, and how long they are kept."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import update

from kedge.compute.api.migrations import compute_router
from kedge.compute.records.retention import Retention
from kedge.model.server import MigrationOptions, MigrationStatus, Server
from kedge.network.api import install_error_handlers
from kedge.store import now, transaction
from kedge.store.tables import MigrationEventRow, MigrationRow, OperationHostRow, OperationRow, RewiringRow

from .compute_world import ComputeWorld
from .test_records import ONE, TWO

MIGRATIONS = "/kedge/v1/migrations"


def ended(world: ComputeWorld, server: Server, days_ago: float) -> str:
    migrations = world.tools.migrations
    migration = migrations.add(server, "h3", MigrationOptions())
    migrations.finish(migration.id, migrations.take_over(migration.id), MigrationStatus.FAILED, {})
    with transaction(world.engine) as session:
        at = now(world.engine) - timedelta(days=days_ago)
        session.execute(update(MigrationRow).where(MigrationRow.id == migration.id).values(finished_at=at))
    return migration.id


@pytest.fixture
def servers(world: ComputeWorld) -> None:
    for server in (ONE, TWO):
        world.tools.servers.add(server, "<domain/>")


def ids(world: ComputeWorld) -> list[str]:
    return [each.id for each in world.tools.migrations.all()]


def test_old_migrations_go_but_the_newest_of_each_server(world: ComputeWorld, servers: None) -> None:
    made = [ended(world, ONE, 100), ended(world, ONE, 99), ended(world, TWO, 95), ended(world, ONE, 91)]
    recent = ended(world, TWO, 89)
    under_way = world.tools.migrations.add(ONE, "h3", MigrationOptions())
    epoch = max(_epochs(world))
    Retention(world.engine, 90).prune_now_and_then()
    assert ids(world) == [under_way.id, recent, made[3]]
    assert world.tools.migrations.take_over(under_way.id) > epoch, "epochs go on"
    with transaction(world.engine) as session:
        kept = {row.migration_id for row in session.query(MigrationEventRow)}
    assert not kept & set(made[:3]), "their timelines are gone too"


def _epochs(world: ComputeWorld) -> list[int]:
    with transaction(world.engine) as session:
        return [row.epoch for row in session.query(MigrationRow)]


def test_old_rewirings_go_but_the_newest_of_each_server(world: ComputeWorld, servers: None) -> None:
    with transaction(world.engine) as session:
        at = now(world.engine)
        for number, (server, days_ago) in enumerate([(ONE, 99), (ONE, 98), (TWO, 97), (ONE, 89)], start=1):
            ended_at = at - timedelta(days=days_ago)
            times = {"created_at": at, "updated_at": at, "finished_at": ended_at}
            session.add(
                RewiringRow(
                    id=_id(number),
                    server_id=server.id,
                    host="h1",
                    backend="openvswitch",
                    epoch=number,
                    **times,
                )
            )
    Retention(world.engine, 90).prune_now_and_then()
    with transaction(world.engine) as session:
        assert [row.number for row in session.query(RewiringRow)] == [3, 4]


def test_old_operations_go_but_the_newest_of_each_host(world: ComputeWorld) -> None:
    old = [("drain", "h1", ()), ("restore", "h1", ()), ("servers", "", ()), ("transition", "", ("h2", "h3"))]
    old += [("transition", "", ("h3", "h4")), ("transition", "", ("h2",)), ("rebalance", "", ())]
    with transaction(world.engine) as session:
        at = now(world.engine)
        for number, (kind, host, hosts) in enumerate(old, start=1):
            times = {"created_at": at, "updated_at": at, "finished_at": at - timedelta(days=99)}
            row = OperationRow(id=_id(number), kind=kind, host=host, **times)
            row.hosts = [
                OperationHostRow(host=each, position=at, stage="done", open=False)
                for at, each in enumerate(hosts)
            ]
            session.add(row)
        session.add(OperationRow(id=_id(8), kind="servers", created_at=at, updated_at=at))
    Retention(world.engine, 90).prune_now_and_then()
    with transaction(world.engine) as session:
        assert [row.number for row in session.query(OperationRow)] == [2, 5, 6, 8]
        of_hosts = {row.operation_id for row in session.query(OperationHostRow)}
        assert of_hosts == {_id(5), _id(6)}, "what is of an operation is gone with it"


def _id(number: int) -> str:
    return str(UUID(int=number))


def test_it_looks_once_an_hour(world: ComputeWorld, servers: None) -> None:
    at = 0.0
    retention = Retention(world.engine, 1, clock=lambda: at)
    retention.prune_now_and_then()
    made = [ended(world, ONE, 3), ended(world, ONE, 2)]
    at = 3599.0
    retention.prune_now_and_then()
    assert ids(world) == made[::-1]
    at = 3601.0
    retention.prune_now_and_then()
    assert ids(world) == made[1:]


@pytest.fixture
def client(world: ComputeWorld, servers: None) -> TestClient:
    app = FastAPI()
    app.include_router(compute_router(world.conductor(world.tools), world.servers))
    install_error_handlers(app)
    return TestClient(app, base_url="http://kedge")


def test_pages_follow_each_other(world: ComputeWorld, client: TestClient) -> None:
    made = [ended(world, server, 1) for server in (ONE, TWO, ONE, ONE, TWO)][::-1]
    found: list[list[str]] = []
    path: Any = f"{MIGRATIONS}?limit=2"
    while path:
        answer = client.get(path)
        found.append([each["id"] for each in answer.json()])
        path = answer.links.get("next", {}).get("url")
    assert found == [made[:2], made[2:4], made[4:]]
    assert len(client.get(MIGRATIONS).json()) == 5
    of_one = client.get(f"{MIGRATIONS}?limit=1&server=two")
    assert [each["id"] for each in of_one.json()] == [made[0]]
    following = client.get(of_one.links["next"]["url"])
    assert [each["id"] for each in following.json()] == [made[3]] and "next" not in following.links


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit="])
def test_a_limit_that_is_none_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"{MIGRATIONS}?{query}").status_code in (400, 422)


def test_a_marker_that_is_no_migration_is_refused(client: TestClient) -> None:
    assert client.get(f"{MIGRATIONS}?marker=nothing").status_code == 404
