"""Claims: one conductor for each migration, and another as soon as that one is gone."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import DBAPIError

from kedge.compute.records.claims import Claims, claims_in
from kedge.store import open_database

from ..databases import BOTH, copy_of

ONE, TWO = str(uuid.uuid4()), str(uuid.uuid4())

Make = Callable[[], Claims]


@pytest.fixture(params=BOTH)
def engine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    with copy_of(request.param, nothing, tmp_path) as url:
        engine = open_database(url)
        yield engine
        engine.dispose()


def nothing(_engine: Engine) -> None:
    """What an empty database is filled with."""


@pytest.fixture
def make(engine: Engine) -> Iterator[Make]:
    """Makes the claims of one more conductor."""
    with ExitStack() as stack:

        def made() -> Claims:
            claims = claims_in(engine)
            stack.callback(claims.close)
            return claims

        yield made


def test_a_migration_has_one_conductor(make: Make) -> None:
    first, second = make(), make()
    assert first.claim([ONE]) == {ONE}
    assert first.claim([ONE]) == {ONE}
    assert second.claim([ONE]) == set()


def test_nothing_is_claimed_where_there_is_nothing(make: Make) -> None:
    assert make().claim([]) == set()


def test_who_closes_gives_everything_back(make: Make) -> None:
    first, second = make(), make()
    assert first.claim([ONE, TWO]) == {ONE, TWO}
    first.close()
    assert second.claim([ONE, TWO]) == {ONE, TWO}
    assert first.claim([ONE, TWO]) == set()


HOLDER = """
import sys, time
from kedge.compute.records.claims import claims_in
from kedge.store import open_database
claims = claims_in(open_database(sys.argv[1]))
print(len(claims.claim([sys.argv[2]])), flush=True)
time.sleep(60)
"""


def test_the_claims_of_a_process_that_is_killed_are_free_at_once(make: Make, engine: Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, url, ONE], stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "1\n"
        mine = make()
        assert mine.claim([ONE]) == set()
        os.kill(holder.pid, signal.SIGKILL)
    _claims_soon(mine, ONE)


def _claims_soon(claims: Claims, migration_id: str) -> None:
    ends = time.monotonic() + 5
    while not claims.claim([migration_id]):
        assert time.monotonic() < ends
        time.sleep(0.02)


def on_postgresql(test: Callable[..., None]) -> Callable[..., None]:
    """What only a database that is reached over a connection has."""
    only = pytest.mark.parametrize("engine", [BOTH[1]], indirect=True)
    return cast(Callable[..., None], only(test))


@on_postgresql
def test_conductors_share_the_migrations(make: Make) -> None:
    first, second = make(), make()
    assert first.claim([ONE]) == {ONE}
    assert second.claim([ONE, TWO]) == {TWO}
    first.release(ONE)
    assert second.claim([ONE, TWO]) == {ONE, TWO}
    first.release(TWO)  # is not its own
    assert first.claim([TWO]) == set()


@on_postgresql
def test_a_broken_connection_loses_the_claims_and_is_made_anew(make: Make, engine: Engine) -> None:
    first, second = make(), make()
    assert first.claim([ONE]) == {ONE}
    with engine.begin() as other:
        holders = text("SELECT pid FROM pg_locks WHERE locktype = 'advisory'")
        (pid,) = other.scalars(holders).all()
        other.execute(select(func.pg_terminate_backend(pid)))
    with pytest.raises(DBAPIError):
        first.claim([ONE])
    _claims_soon(second, ONE)  # a backend says that it ends before it has given its locks back
    assert first.claim([ONE]) == set()
    second.close()
    assert first.claim([ONE]) == {ONE}
