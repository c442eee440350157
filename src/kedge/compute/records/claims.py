"""Which conductor drives which migration: the database's business.

On PostgreSQL a claim is an advisory lock (its documentation, section 13.3.5) on a connection that is kept for
nothing else, so a conductor that dies gives up its claims in that instant, and one whose machine vanishes when
TCP notices. On SQLite, which only one machine can use, a lock on a file beside the database makes one process
of that machine the conductor of everything.

A claim saves work; it does not make anything safe. Two conductors that both believe they own a migration are
told apart by their epochs, which the database and the agents check.
"""

import fcntl
import os
import threading
import uuid
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol, cast

from sqlalchemy import ColumnElement, Connection, Engine, NullPool, create_engine, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from kedge.trust import private_files

_NOTICE_DEATH = (
    "SET tcp_keepalives_idle = 3",
    "SET tcp_keepalives_interval = 1",
    "SET tcp_keepalives_count = 3",
    "SET idle_session_timeout = 0",
)
"""PostgreSQL notices after 3 + 3 s that a conductor's machine is gone (its parameters' default is hours)."""


class Claims(Protocol):
    """The migrations that one conductor may drive."""

    def claim(self, migration_ids: Collection[str]) -> set[str]:
        """Take those of the migrations that no other conductor has; which are this one's now."""
        ...

    def release(self, migration_id: str) -> None:
        """Give a migration back."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


def driven(session: Session, migration_ids: Collection[str]) -> set[str]:
    """Those of the migrations that some conductor has claimed, this process's or another's."""
    if session.get_bind().dialect.name == "postgresql":
        held = set(session.scalars(text(_HELD_LOCKS)))
        return {each for each in migration_ids if _key(each) in held}
    engine = cast(Engine, session.get_bind())
    held_by_nobody = _locked(_beside(engine), fcntl.LOCK_SH)
    if held_by_nobody is None:
        return set(migration_ids)
    held_by_nobody.close()
    return set()


_HELD_LOCKS = """
    SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""The keys of all advisory locks that are one number (its documentation, section 54.12)."""


def claims_in(engine: Engine) -> Claims:
    """The claims of one conductor on the migrations of this database."""
    if engine.dialect.name == "postgresql":
        return AdvisoryLocks(engine)
    return OneProcess(_beside(engine))


class AdvisoryLocks:
    """Claims of a conductor on PostgreSQL. When the connection breaks, all claims are lost and made anew."""

    def __init__(self, engine: Engine) -> None:
        # Not one of the pool's connections: the end of this one must be the end of the claims.
        self._engine = create_engine(engine.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._connection: Connection | None = None
        self._held: set[str] = set()
        self._lock = threading.Lock()

    def claim(self, migration_ids: Collection[str]) -> set[str]:
        """Take those of the migrations that are free. Raises DBAPIError without a database."""
        if not migration_ids:
            return set()
        with self._lock:
            connection = self._opened()
            for each in migration_ids:
                if each not in self._held and self._ask(connection, func.pg_try_advisory_lock(_key(each))):
                    self._held.add(each)
            return self._held.intersection(migration_ids)

    def release(self, migration_id: str) -> None:
        """Give a migration back; with the connection gone, it is given back already."""
        with self._lock:
            if migration_id not in self._held or self._connection is None:
                return
            self._held.discard(migration_id)
            self._ask(self._connection, func.pg_advisory_unlock(_key(migration_id)))

    def close(self) -> None:
        """Give everything back, and end the connection.

        The server may notice the end of a connection a while after it, so the locks are given back before.
        """
        with self._lock:
            if self._connection is not None:
                with suppress(DBAPIError):
                    self._ask(self._connection, func.pg_advisory_unlock_all())
            self._forget()

    def _opened(self) -> Connection:
        if self._connection is None:
            connection = self._engine.connect()
            # For people who look who drives what, in pg_stat_activity beside pg_locks.
            connection.execute(
                select(func.set_config("application_name", f"kedge conductor {os.getpid()}", False))
            )
            for statement in _NOTICE_DEATH:
                connection.execute(text(statement))
            self._connection = connection
        else:
            self._ask(self._connection, func.now())
        return self._connection

    def _ask(self, connection: Connection, question: ColumnElement[Any]) -> Any:
        try:
            return connection.scalar(select(question))
        except DBAPIError:
            self._forget()
            raise

    def _forget(self) -> None:
        self._held.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class OneProcess:
    """Claims of a conductor on SQLite: the process that locks the file has all migrations until it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()

    def claim(self, migration_ids: Collection[str]) -> set[str]:
        """All of them, if this process is the conductor, which it becomes if there is none."""
        with self._lock:
            if self._file is None:
                self._file = _locked(self._path)
            return set() if self._file is None else set(migration_ids)

    def release(self, migration_id: str) -> None:
        """A single migration is not given back: the process keeps them all."""

    def close(self) -> None:
        """Stop being the conductor."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def _beside(engine: Engine) -> Path:
    """The file that whoever conducts on this SQLite database has locked."""
    return Path(f"{engine.url.database}.conductor")


def _locked(path: Path, how: int = fcntl.LOCK_EX) -> IO[bytes] | None:
    """The file, locked for as long as it is open; None if another has the lock."""
    file = private_files.opened(path)
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _key(migration_id: str) -> int:
    """The lock's number: PostgreSQL's are 64 bits, signed."""
    return int.from_bytes(uuid.UUID(migration_id).bytes[:8], signed=True)
