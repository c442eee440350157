"""Rows written by one plain statement each, at once, while the session's objects stay what they stand for.

A flush looks through all objects of a session, sorts what it finds and builds its statements anew: for one row it
takes several times the CPU of the statement. What must not be mixed: a column that is written here, and the same one
set on the object and not flushed yet.
"""

from functools import lru_cache
from typing import Any

from sqlalchemy import Delete, Insert, Table, Update, bindparam, delete, insert, inspect, update
from sqlalchemy.orm import Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from .columns import Base


def add(session: Session, row: Base) -> None:
    """Insert a row that is in no session yet, with its key; columns that are not set get their defaults."""
    table = _table(type(row))
    values = {name: value for name, value in inspect(row).dict.items() if name in table.c}
    session.connection().execute(_insert(table), values)
    make_transient_to_detached(row)
    session.add(row)


def change(session: Session, row: Base, **values: Any) -> None:
    """Set columns of a row."""
    table = _table(type(row))
    session.connection().execute(_update(table, tuple(values)), {**values, **_key(table, row)})
    for name, value in values.items():
        set_committed_value(row, name, value)


def remove(session: Session, row: Base) -> None:
    """Delete a row; its object is in no session any more."""
    table = _table(type(row))
    session.connection().execute(_delete(table), _key(table, row))
    session.expunge(row)


def _table(kind: type[Base]) -> Table:
    table = kind.__table__
    assert isinstance(table, Table)
    return table


def _key(table: Table, row: Base) -> dict[str, Any]:
    return {f"key_{column.key}": getattr(row, column.key) for column in table.primary_key}


# Built once each: to build a statement takes SQLAlchemy as long as to execute it.


@lru_cache(maxsize=64)
def _insert(table: Table) -> Insert:
    return insert(table)


@lru_cache(maxsize=256)
def _update(table: Table, columns: tuple[str, ...]) -> Update:
    return update(table).where(*_is_it(table)).values({name: bindparam(name) for name in columns})


@lru_cache(maxsize=64)
def _delete(table: Table) -> Delete:
    return delete(table).where(*_is_it(table))


def _is_it(table: Table) -> list[Any]:
    return [column == bindparam(f"key_{column.key}") for column in table.primary_key]
