"""What time it is, for all that is written to the database and compared with what is there.

Control planes that share a PostgreSQL may have clocks that are minutes apart: an agent that reports to one of them
would be dead for another, and a migration overdue as soon as it is taken over. So all go by the database's clock.
SQLite is on one machine and has no clock of its own.
"""

import time
from datetime import UTC, datetime, timedelta
from threading import Lock

from sqlalchemy import URL, Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError

ASK_EVERY_S = 30.0
"""How soon a clock that was set is noticed."""

_NOTHING = timedelta()
_known: dict[URL, tuple[float, timedelta]] = {}
_asking = Lock()


def now(bind: Engine | Connection) -> datetime:
    """The present time by the database's clock."""
    return _own_now() + ahead(bind)


def ahead_ns(bind: Engine | Connection) -> int:
    """`ahead` in ns, for times that agents gave."""
    return round(ahead(bind).total_seconds() * 1e9)


def ahead(bind: Engine | Connection) -> timedelta:
    """How far the database's clock is ahead of this machine's, to within the time that asking takes."""
    engine = bind.engine
    if engine.dialect.name != "postgresql":
        return _NOTHING
    asked_at, known = _known.get(engine.url, (None, _NOTHING))
    if asked_at is not None and time.monotonic() - asked_at < ASK_EVERY_S:
        return known
    if not _asking.acquire(blocking=asked_at is None):
        return known  # Somebody else is asking.
    try:
        known = _ask(engine)
        _known[engine.url] = (time.monotonic(), known)
    except DBAPIError:
        pass  # Whatever the time is wanted for fails as well, and says so.
    finally:
        _asking.release()
    return known


def _ask(engine: Engine) -> timedelta:
    """Cristian's algorithm: the answer was right half way between question and answer."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(select(1))  # Connecting is no part of the exchange.
        before, begun = _own_now(), time.monotonic()
        theirs: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return theirs - before - timedelta(seconds=(time.monotonic() - begun) / 2)


def _own_now() -> datetime:
    return datetime.now(UTC)
