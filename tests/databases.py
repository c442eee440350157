"""Databases for tests: filled once, and copied for each test, which is quicker than filling each."""

import atexit
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from shutil import copy, rmtree
from tempfile import mkdtemp

import pytest
from sqlalchemy import Engine

from kedge.store import open_database, upgrade
from kedge.testing.postgres import Postgres, running_postgres

SQLITE = "sqlite"
POSTGRESQL = "postgresql"
BOTH = (SQLITE, pytest.param(POSTGRESQL, marks=pytest.mark.postgresql))
"""For `@pytest.fixture(params=BOTH)`: the tests run once on each, and on PostgreSQL where there is one."""

Fill = Callable[[Engine], None]
_numbers = count()


@contextmanager
def copy_of(kind: str, fill: Fill, directory: Path) -> Iterator[str]:
    """The URL of a database of this kind, with the schema and what `fill` put there; a SQLite file in `directory`."""
    if kind == SQLITE:
        copy(_sqlite_template(fill), directory / "kedge.db")
        yield f"sqlite:///{directory}/kedge.db"
        return
    name = f"test_{next(_numbers)}"
    _postgres().create(name, _postgres_template(fill))
    yield _postgres().url(name)
    _postgres().drop(name)


@cache
def _sqlite_template(fill: Fill) -> Path:
    path = Path(mkdtemp()) / "template.db"
    _filled(f"sqlite:///{path}", fill)
    atexit.register(rmtree, path.parent)
    return path


@cache
def _postgres_template(fill: Fill) -> str:
    name = f"template_{next(_numbers)}"
    _postgres().create(name)
    _filled(_postgres().url(name), fill)
    return name


@cache
def _postgres() -> Postgres:
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(running_postgres())


def _filled(url: str, fill: Fill) -> None:
    engine = open_database(url)
    upgrade(engine)
    fill(engine)
    engine.dispose()
