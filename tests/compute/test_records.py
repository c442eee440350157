"""Servers and migrations in the database."""

import threading
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from kedge.compute.records.migrations import MigrationRecords
from kedge.compute.records.plain_records import Noted
from kedge.compute.records.servers import ServerRecords
from kedge.model.errors import BadRequest, Conflict, NotFound, StaleEpoch
from kedge.model.server import Migration, MigrationOptions, MigrationStatus, Phase, Server, Sign

from .compute_world import ComputeWorld, phases

ONE = Server("5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0001", "one", "h1", "ACTIVE")
TWO = Server("5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0002", "two", "h2", "ACTIVE")
FIGURES = {"guest_downtime_ms": 12.5, "network_blackout_ms": 8.5, "network_blackout_between": "answer frame"}


@pytest.fixture
def servers(world: ComputeWorld) -> ServerRecords:
    return world.tools.servers


@pytest.fixture
def migrations(world: ComputeWorld) -> MigrationRecords:
    world.tools.servers.add(ONE, "<domain/>")
    world.tools.servers.add(TWO, "<domain/>")
    return world.tools.migrations


def add(migrations: MigrationRecords, server: Server = ONE) -> Migration:
    return migrations.add(server, "h3", MigrationOptions(bandwidth_mib=7))


# Servers.


def test_a_server_is_found_by_id_and_name(servers: ServerRecords) -> None:
    servers.add(TWO, "<domain/>")
    servers.add(ONE, "<domain/>")
    assert servers.find(ONE.id) == servers.find("one") == ONE
    assert servers.all() == [ONE, TWO]


def test_an_id_or_a_name_is_taken_once(servers: ServerRecords) -> None:
    servers.add(ONE, "<domain/>")
    for rival in (Server(ONE.id, "other", "h2", "BUILD"), Server(TWO.id, "one", "h2", "BUILD")):
        with pytest.raises(Conflict, match=r"server 'one' \(.*\) on h1 already"):
            servers.add(rival, "<domain/>")


def test_a_change_touches_only_what_is_named(servers: ServerRecords) -> None:
    servers.add(ONE, "<domain/>")
    servers.change(ONE.id, status="MIGRATING")
    assert servers.find(ONE.id) == Server(ONE.id, "one", "h1", "MIGRATING")
    servers.change(ONE.id, host="h5")
    assert servers.find(ONE.id) == Server(ONE.id, "one", "h5", "MIGRATING")


def test_a_status_must_be_one_that_there_is(servers: ServerRecords) -> None:
    servers.add(ONE, "<domain/>")
    with pytest.raises(IntegrityError):
        servers.change(ONE.id, status="HAPPY")


def test_a_deleted_server_stays_deleted(servers: ServerRecords) -> None:
    servers.add(ONE, "<domain/>")
    servers.delete(ONE.id)
    servers.delete(ONE.id)
    servers.change(ONE.id, host="h5")
    with pytest.raises(NotFound):
        servers.find("one")


def test_a_server_that_migrates_is_not_deleted(servers: ServerRecords, migrations: MigrationRecords) -> None:
    migration = add(migrations)
    for refuse in (servers.delete, servers.refuse_while_migrating):
        with pytest.raises(Conflict, match=f"kedge migrations abort {migration.id}"):
            refuse(ONE.id)
    migrations.finish(migration.id, migrations.take_over(migration.id), MigrationStatus.FAILED, {})
    servers.refuse_while_migrating(ONE.id)
    servers.delete(ONE.id)
    assert migrations.all() == []


def test_several_servers_of_one_name_are_told_apart(servers: ServerRecords, monkeypatch: Any) -> None:
    """No two are made, but somebody else's database may have them; and an id may be another's name."""
    servers.add(ONE, "<domain/>")
    servers.add(Server(TWO.id, ONE.id, "h2", "ACTIVE"), "<domain/>")
    with pytest.raises(BadRequest, match="use an id"):
        servers.find(ONE.id)


# Migrations.


def test_a_migration_as_it_is_stored(migrations: MigrationRecords) -> None:
    migration = add(migrations)
    assert (migration.source, migration.destination, migration.status) == (
        "h1",
        "h3",
        MigrationStatus.PREPARING,
    )
    assert migration.options == MigrationOptions(bandwidth_mib=7)
    assert migrations.find(migration.id) == migrations.find(migration.id[:8]) == migration
    assert migrations.unfinished() == [migration.id]
    with pytest.raises(NotFound):
        migrations.find("nothing")
    with pytest.raises(NotFound):
        migrations.find("%")


def test_one_at_a_time_for_each_server(migrations: MigrationRecords) -> None:
    first = add(migrations)
    with pytest.raises(Conflict, match=first.id):
        add(migrations)
    other = add(migrations, TWO)
    assert [each.id for each in migrations.all()] == [other.id, first.id]
    assert [each.id for each in migrations.all(ONE.id)] == [first.id]


def test_of_two_that_begin_at_once_one_is_refused(world: ComputeWorld, migrations: MigrationRecords) -> None:
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def begin() -> None:
        barrier.wait()
        try:
            add(MigrationRecords(world.engine))
            outcomes.append("begun")
        except Conflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["begun", "refused", "refused", "refused"]


def test_epochs_grow_over_all_migrations(migrations: MigrationRecords) -> None:
    first, second = add(migrations), add(migrations, TWO)
    epochs = [migrations.take_over(each.id) for each in (first, second, first)]
    assert epochs == sorted(set(epochs))


def test_whoever_was_replaced_can_write_nothing(migrations: MigrationRecords) -> None:
    id_ = add(migrations).id
    old = migrations.take_over(id_)
    new = migrations.take_over(id_)
    for write in (
        lambda: migrations.intent(id_, old),
        lambda: migrations.give_up(id_, old, "why"),
        lambda: migrations.write(id_, old, ordered=True),
        lambda: migrations.write(id_, old, status=MigrationStatus.RUNNING),
        lambda: migrations.write(id_, old, Noted(Phase.BOUND)),
        lambda: migrations.finish(id_, old, MigrationStatus.FAILED, {}),
    ):
        with pytest.raises(StaleEpoch, match="another conductor"):
            write()
    found, intent = migrations.find(id_), migrations.intent(id_, new)
    assert (found.status, found.timeline, found.error) == (MigrationStatus.PREPARING, (), None)
    assert (intent.orders, intent.failure, intent.abort) == (0, None, False)


def test_one_that_has_ended_is_taken_over_by_nobody(migrations: MigrationRecords) -> None:
    id_ = add(migrations).id
    migrations.finish(id_, migrations.take_over(id_), MigrationStatus.COMPLETED, FIGURES)
    with pytest.raises(StaleEpoch, match="has ended already: completed"):
        migrations.take_over(id_)
    assert migrations.unfinished() == []


def test_the_intent(migrations: MigrationRecords) -> None:
    id_ = add(migrations).id
    epoch = migrations.take_over(id_)
    migrations.write(id_, epoch, ordered=True)
    migrations.write(id_, epoch, ordered=True)
    migrations.write(id_, epoch, Noted(Phase.ANNOUNCED))
    assert migrations.request_abort(id_).abort_requested
    migrations.give_up(id_, epoch, "the first reason")
    migrations.give_up(id_, epoch, "another")
    intent = migrations.intent(id_, epoch)
    assert (intent.abort, intent.failure, intent.orders, intent.announced) == (
        True,
        "the first reason",
        2,
        True,
    )


def test_an_abort_of_what_has_ended_is_refused(migrations: MigrationRecords) -> None:
    id_ = add(migrations).id
    migrations.finish(id_, migrations.take_over(id_), MigrationStatus.COMPLETED, FIGURES)
    with pytest.raises(Conflict, match="has ended already: completed"):
        migrations.request_abort(id_)
    with pytest.raises(NotFound):
        migrations.request_abort("nothing")


def test_the_timeline_is_in_the_order_of_times_and_keeps_the_first(migrations: MigrationRecords) -> None:
    id_ = add(migrations).id
    epoch = migrations.take_over(id_)
    migrations.write(id_, epoch, Noted(Phase.SWITCHED, 300))
    migrations.write(id_, epoch, Noted(Phase.PAUSED, 200, {"by": "libvirt"}))
    migrations.write(id_, epoch, Noted(Phase.SWITCHED, 900))
    migrations.write(id_, epoch, Noted(Phase.BOUND))
    found = migrations.find(id_)
    assert phases(found) == [Phase.PAUSED, Phase.SWITCHED, Phase.BOUND]
    assert [entry.at_ns for entry in found.timeline][:2] == [200, 300]
    assert found.timeline[0].detail == {"by": "libvirt"}


def test_what_people_see(migrations: MigrationRecords) -> None:
    id_ = add(migrations).id
    epoch = migrations.take_over(id_)
    migrations.write(id_, epoch, progress={"memory_total": 5})
    assert migrations.find(id_).status is MigrationStatus.PREPARING
    migrations.write(id_, epoch, status=MigrationStatus.RUNNING)
    found = migrations.find(id_)
    assert (found.status, found.progress) == (MigrationStatus.RUNNING, {"memory_total": 5})


def test_the_figures_of_the_end(migrations: MigrationRecords) -> None:
    id_ = add(migrations).id
    migrations.finish(id_, migrations.take_over(id_), MigrationStatus.COMPLETED, FIGURES)
    found = migrations.find(id_)
    assert (found.guest_downtime_ms, found.network_blackout_ms) == (12.5, 8.5)
    assert found.network_blackout_between == (Sign.ANSWER, Sign.FRAME)
    assert found.finished_at is not None
    assert found.created_at is not None
    assert found.total_ms == (found.finished_at - found.created_at).total_seconds() * 1000
