"""Rows written by plain statements: the database and the session's objects agree, and no flush writes them again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from kedge.store import direct, open_database, reading, transaction
from kedge.store.tables import QuotaRow

from ..databases import SQLITE, copy_of


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with copy_of(SQLITE, _one_quota, tmp_path) as url:
        engine = open_database(url)
        yield engine
        engine.dispose()


def _one_quota(engine: Engine) -> None:
    with transaction(engine) as session:
        session.add(QuotaRow(project_id="p1", resource="port", limit=1))


def test_each_write_is_one_statement_and_the_objects_know_it(engine: Engine) -> None:
    written: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *said: written.append(said[2].split()[0]))
    with transaction(engine) as session:
        found = _quota(session, "port")
        added = QuotaRow(project_id="p1", resource="network", limit=2)
        direct.add(session, added)
        assert _quota(session, "network") is added
        direct.change(session, added, limit=3)
        direct.remove(session, found)
        assert found not in session
        assert (added.limit, added in session.dirty) == (3, False)
    assert [each for each in written if each not in ("BEGIN", "SELECT")] == ["INSERT", "UPDATE", "DELETE"]
    with reading(engine) as session:
        assert [(row.resource, row.limit) for row in session.query(QuotaRow)] == [("network", 3)]


def _quota(session: Session, resource: str) -> QuotaRow:
    return session.get_one(QuotaRow, ("p1", resource))


def test_what_is_written_goes_with_its_transaction(engine: Engine) -> None:
    with pytest.raises(RuntimeError), transaction(engine) as session:
        direct.change(session, _quota(session, "port"), limit=9)
        raise RuntimeError
    with reading(engine) as session:
        assert _quota(session, "port").limit == 1
