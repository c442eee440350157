"""Opening the database, and the transactions in which all work on it is done."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from kedge.model.errors import BadRequest

BUSY_TIMEOUT_S = 30
_POOL = {"pool_size": 10, "max_overflow": 40, "pool_timeout": BUSY_TIMEOUT_S}
_GIVEN_UP = {"40001", "40P01"}  # PostgreSQL's serialization_failure and deadlock_detected
_READ_ONLY = "kedge_read_only"


def open_database(url: str) -> Engine:
    """An engine for `url` (`sqlite:////var/lib/kedge/kedge.db`, `postgresql+psycopg://…`).

    Raises BadRequest for an in-memory SQLite database, which threads can't share.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, **_POOL)
    if parsed.database in (None, "", ":memory:"):
        raise BadRequest(
            "An in-memory SQLite database can't be shared by threads; name a file: sqlite:////path/kedge.db"
        )
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S}, **_POOL)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The sqlite3 module's own handling of transactions begins them too late; `_begin_sqlite` does it.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock before it reads, so what it decides on can't change under it, and two writers
    # wait for each other instead of failing when both want to turn their read lock into a write lock.
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """A session whose work is committed at the end, or rolled back if an exception leaves the block."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


def is_retryable(error: DBAPIError) -> bool:
    """Whether the database gave up a transaction for another's sake: to break a deadlock, or to keep an order."""
    return getattr(error.orig, "sqlstate", None) in _GIVEN_UP


@contextmanager
def single_statement(engine: Engine) -> Iterator[Session]:
    """A session for one statement that only looks; it needs no transaction, and on PostgreSQL gets none."""
    options = {_READ_ONLY: True} if engine.dialect.name == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
    with Session(engine.execution_options(**options), expire_on_commit=False) as session:
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that sees one state of the database and hinders no writer; for looking only."""
    options = (
        {_READ_ONLY: True} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    )
    with Session(engine.execution_options(**options), expire_on_commit=False) as session:
        yield session
