"""Opening the database, and the transactions in which all work on it is done."""

import fcntl
import select
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Engine, Select, create_engine, event, func, make_url
from sqlalchemy import select as select_sql
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.orm import Session

from kedge.model.errors import BadRequest
from kedge.trust import private_files

BUSY_TIMEOUT_S = 30
_POOL = {"pool_size": 10, "max_overflow": 40, "pool_timeout": BUSY_TIMEOUT_S}

# PostgreSQL lets in 100 connections of all processes together unless it is told otherwise.
_POSTGRES_POOL = _POOL | {"max_overflow": 15}
T = TypeVar("T")
IsolationLevel = Literal["AUTOCOMMIT", "REPEATABLE READ"]
_GIVEN_UP = {"40001", "40P01"}  # PostgreSQL's serialization_failure and deadlock_detected
_READ_ONLY, _ONE_STATEMENT = "kedge_read_only", "kedge_one_statement"

_MOST_PAGES = 10_000
"""Of 4 KiB, in SQLite's write-ahead log; ten times as many as SQLite itself would let in."""

_MOST_PARAMETERS = 10_000
"""Of one list in a statement. SQLite takes 32766 in all, PostgreSQL 65535."""


def open_database(url: str) -> Engine:
    """An engine for `url` (`sqlite:////var/lib/kedge/kedge.db`, `postgresql+psycopg://…`).

    Raises BadRequest for an in-memory SQLite database, which threads can't share.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        engine = create_engine(parsed, **_POSTGRES_POOL)
        event.listen(engine, "checkout", _refuse_broken)
        return engine
    if parsed.database in (None, "", ":memory:"):
        raise BadRequest(
            "An in-memory SQLite database can't be shared by threads; name a file: sqlite:////path/kedge.db"
        )
    _keep_private(Path(parsed.database or ""))
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S}, **_POOL)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _keep_private(database: Path) -> None:
    """Make the file, which SQLite would make readable for all; the files beside it get the same mode as it has."""
    if database.parent.is_dir():  # or else SQLite says what is wrong
        private_files.opened(database).close()
    private_files.close_files(
        [Path(f"{database}{each}") for each in ("", "-wal", "-shm", "-journal", ".turn", ".conductor")]
    )


def _refuse_broken(connection: Any, _record: Any, _proxy: Any) -> None:
    """Have the pool connect anew when the server has ended this connection, without asking the server each time."""
    unread = select.poll()
    unread.register(connection.fileno(), select.POLLIN)
    if unread.poll(0):  # An idle connection has nothing to read but its end.
        raise DisconnectionError("the server ended the connection")


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The sqlite3 module's own handling of transactions begins them too late; `_begin_sqlite` does it.
    connection.isolation_level = None
    # Whoever commits moves what was written into the database file, once it is that many pages, and everybody waits
    # for the disk: 50 ms. So `checkpoint` does it before, beside them.
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"wal_autocheckpoint={_MOST_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def checkpoint(engine: Engine) -> None:
    """On SQLite, move what was committed into the database file while others read and write; every second or so."""
    if engine.dialect.name == "sqlite":
        with closing(engine.raw_connection()) as connection:  # without the transaction that others begin with
            connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)")


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock before it reads, so what it decides on can't change under it, and two writers
    # wait for each other instead of failing when both want to turn their read lock into a write lock.
    how = connection.get_execution_options()
    if not how.get(_ONE_STATEMENT):  # which sees one state without a transaction around it
        connection.exec_driver_sql("BEGIN" if how.get(_READ_ONLY, False) else "BEGIN IMMEDIATE")


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """A session whose work is committed at the end, or rolled back if an exception leaves the block."""
    with _turn(engine), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def statements(engine: Engine, *, read_only: bool = False) -> Iterator[Connection]:
    """As `transaction` or `reading`, for plain statements: without objects to keep, they take a fraction of the CPU."""
    if read_only:
        with _reader(engine, "REPEATABLE READ").connect() as connection:
            yield connection
        return
    with _turn(engine), engine.begin() as connection:
        yield connection


@contextmanager
def one_statement(engine: Engine) -> Iterator[Connection]:
    """As `single_statement`, for a plain statement."""
    with _reader(engine, "AUTOCOMMIT").connect() as connection:
        yield connection


@contextmanager
def _turn(engine: Engine) -> Iterator[None]:
    """On SQLite, wait for one's turn to write.

    SQLite itself would try again and again, with pauses of up to 0.1 s in which another may come first. A lock
    of the system is given to those who wait one after the other, and at once.
    """
    if engine.dialect.name != "sqlite":
        yield
        return
    with private_files.opened(Path(f"{engine.url.database}.turn")) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_trouble(error: Exception) -> bool:
    """Whether the database itself is in trouble (away, full, locked, broken), and was not asked for nonsense."""
    # SQLite's general error is for statements that can't be understood.
    return (
        isinstance(error, OperationalError) and getattr(error.orig, "sqlite_errorname", "") != "SQLITE_ERROR"
    )


def in_words(error: Exception) -> str:
    """What the database itself said of an error, if it comes from there."""
    return str(getattr(error, "orig", None) or error).strip()


def is_retryable(error: DBAPIError) -> bool:
    """Whether the database gave up a transaction for another's sake: to break a deadlock, or to keep an order."""
    return getattr(error.orig, "sqlstate", None) in _GIVEN_UP


@contextmanager
def single_statement(engine: Engine) -> Iterator[Session]:
    """A session for one statement that only looks; it needs no transaction, and on PostgreSQL gets none."""
    with Session(_reader(engine, "AUTOCOMMIT"), expire_on_commit=False) as session:
        yield session


def locks_rows(bind: Engine | Connection) -> bool:
    """Whether rows have to be locked before they are changed; on SQLite the whole database is, by `transaction`."""
    return bind.dialect.name != "sqlite"


def lock_name(session: Session, name: str) -> None:
    """Wait for others who lock the same name, and let them wait for the end of this transaction.

    For what is no row. On SQLite writers wait for each other anyway.
    """
    if locks_rows(session.get_bind()):
        session.execute(select_sql(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def look(engine: Engine, query: Select[T], parameters: Mapping[str, Any]) -> T | None:
    """The first column of the first row of a query, as it is at this moment; None without a row."""
    with one_statement(engine) as connection:
        return connection.scalar(query, parameters)


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that sees one state of the database and hinders no writer; for looking only."""
    with Session(_reader(engine, "REPEATABLE READ"), expire_on_commit=False) as session:
        yield session


def batched(values: Iterable[T], most: int = _MOST_PARAMETERS) -> Iterator[list[T]]:
    """The values in parts that a statement takes as its parameters, or of `most` values each."""
    left = iter(values)
    while part := list(islice(left, most)):
        yield part


@lru_cache(maxsize=16)
def _reader(engine: Engine, isolation_level: IsolationLevel) -> Engine:
    """The same database, for transactions that only read. (On SQLite they all see one state.)"""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_READ_ONLY: True, _ONE_STATEMENT: isolation_level == "AUTOCOMMIT"})
    return engine.execution_options(isolation_level=isolation_level)
