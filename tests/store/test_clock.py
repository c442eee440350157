"""Control planes whose clocks are minutes apart go by the one clock that they share: the database's."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from kedge.compute.records.migrations import MigrationRecords
from kedge.compute.records.plain_records import Noted
from kedge.compute.records.servers import ServerRecords
from kedge.model.server import MigrationOptions, Phase, Server
from kedge.network.local import LocalNetworkService
from kedge.store import clock, now, open_database
from kedge.store.clock import ahead
from kedge.wire.messages import HostReport

from ..databases import POSTGRESQL, SQLITE, copy_of

VM = Server("11111111-2222-3333-4444-555555555555", "vm1", "h1", "ACTIVE")
APART = [timedelta(minutes=-7), timedelta(minutes=7)]
NEAR = timedelta(seconds=5)
"""How exact it has to be on a machine that is busy."""


def nothing(_engine: Engine) -> None:
    """An empty database."""


def engine_of(kind: str, directory: Path) -> Iterator[Engine]:
    with copy_of(kind, nothing, directory) as url:
        engine = open_database(url)
        yield engine
        engine.dispose()


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Engine]:
    yield from engine_of(POSTGRESQL, tmp_path)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    yield from engine_of(SQLITE, tmp_path)


def on_a_machine(apart: timedelta, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes now is done on a machine whose clock is off by this, by a process that was just started."""
    monkeypatch.setattr(clock, "_own_now", lambda: datetime.now(UTC) + apart)
    clock._known.clear()


@pytest.mark.postgresql
@pytest.mark.parametrize("apart", APART)
def test_the_databases_clock_counts(
    postgres: Engine, apart: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_machine(apart, monkeypatch)
    assert abs(ahead(postgres) + apart) < NEAR
    assert abs(now(postgres) - datetime.now(UTC)) < NEAR


@pytest.mark.postgresql
@pytest.mark.parametrize("apart", APART)
def test_a_host_is_alive_for_all_and_no_migration_is_overdue(
    postgres: Engine, apart: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_machine(apart, monkeypatch)
    LocalNetworkService(postgres).record_host(
        HostReport("h1", "https://h1", (), "qemu+tcp://h1/system", "tcp://h1")
    )
    ServerRecords(postgres).add(VM, "<domain/>")
    records = MigrationRecords(postgres)
    migration = records.add(VM, "h2", MigrationOptions(completion_timeout_s=60))
    records.write(migration.id, records.take_over(migration.id), Noted(Phase.PREFLIGHT))

    on_a_machine(timedelta(), monkeypatch)
    assert LocalNetworkService(postgres).host("h1").alive
    assert records.intent(migration.id, records.take_over(migration.id)).overdue is None
    (entry,) = records.find(migration.id).timeline
    assert migration.created_at
    assert abs(entry.at_ns / 1e9 - migration.created_at.timestamp()) < NEAR.total_seconds()


@pytest.mark.postgresql
def test_it_is_asked_now_and_then(postgres: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_machine(timedelta(), monkeypatch)
    now(postgres)
    monkeypatch.setattr(clock, "_own_now", lambda: datetime.now(UTC) + APART[0])
    assert ahead(postgres) < NEAR, "it was asked just now"
    monkeypatch.setattr(clock, "ASK_EVERY_S", 0.0)
    assert abs(ahead(postgres) + APART[0]) < NEAR, "this machine's clock was set"


@pytest.mark.postgresql
def test_while_the_database_is_away_what_is_known_counts(
    postgres: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_machine(APART[0], monkeypatch)
    known = ahead(postgres)
    monkeypatch.setattr(clock, "ASK_EVERY_S", 0.0)

    def away(_engine: Engine) -> timedelta:
        raise DBAPIError("SELECT", {}, Exception("the database system is shutting down"))

    monkeypatch.setattr(clock, "_ask", away)
    assert ahead(postgres) == known


def test_sqlite_is_on_one_machine(sqlite: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_machine(APART[0], monkeypatch)
    assert ahead(sqlite) == timedelta()
