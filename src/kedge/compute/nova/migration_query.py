"""Which migrations a query of Nova's API asks for, as plain statements."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, false, or_, select, true
from sqlalchemy.engine import Row
from starlette.datastructures import QueryParams

from kedge.model.errors import BadRequest, NotFound
from kedge.store.tables import MigrationRow, ServerRow

from . import states
from .caller import of_project
from .queries import limit_of, refuse_unknown

_COLUMNS = (
    MigrationRow.number,
    MigrationRow.id,
    MigrationRow.server_id,
    MigrationRow.source,
    MigrationRow.destination,
    MigrationRow.status,
    MigrationRow.progress,
    MigrationRow.created_at,
    MigrationRow.updated_at,
    ServerRow.labels,
)
_ALL = select(*_COLUMNS).join(ServerRow, ServerRow.id == MigrationRow.server_id)
PAGES_SINCE = 59
"""From this microversion on, the list comes in pages, and unknown parameters are refused."""
TYPE = "live-migration"

Condition = ColumnElement[bool]


def _in_status(text: str) -> Condition:
    return MigrationRow.status.in_([own for own, novas in states.MIGRATIONS.items() if novas == text.lower()])


_FILTERS: Mapping[str, Callable[[str], Condition]] = {
    "host": lambda text: or_(MigrationRow.source == text, MigrationRow.destination == text),
    "source_compute": lambda text: MigrationRow.source == text,
    "instance_uuid": lambda text: MigrationRow.server_id == text.lower(),
    "status": _in_status,
    "migration_type": lambda text: true() if text == TYPE else false(),
    "hidden": lambda _: true(),
    "project_id": of_project,
    "user_id": lambda text: false() if text else true(),
}
_TIMES = ("changes-since", "changes-before")


def found(connection: Connection, query: QueryParams, version: int) -> Sequence[Row[Any]]:
    """The migrations that the query asks for, the newest first. Raises BadRequest."""
    wanted = _ALL.order_by(MigrationRow.number.desc()).limit(limit_of(query))
    if version >= PAGES_SINCE:
        refuse_unknown(query, [*_FILTERS, *_TIMES, "limit", "marker"])
    for name in _TIMES:
        if name in query:
            raise BadRequest(f"Kedge can't find migrations by {name}; leave it out.")
    wanted = wanted.where(*(condition(query[name]) for name, condition in _FILTERS.items() if name in query))
    marker = query.get("marker")
    if marker and version >= PAGES_SINCE:
        number = connection.scalar(select(MigrationRow.number).where(MigrationRow.id == marker.lower()))
        if number is None:
            raise BadRequest(f"Marker {marker[:64]} could not be found.")
        wanted = wanted.where(MigrationRow.number < number)
    return connection.execute(wanted).all()


def under_way(connection: Connection, server_id: str) -> Sequence[Row[Any]]:
    """The migration of a server that has not ended, if there is one."""
    return connection.execute(
        _ALL.where(MigrationRow.server_id == server_id, MigrationRow.finished_at.is_(None))
    ).all()


def one_under_way(connection: Connection, server_id: str, number: str) -> Row[Any]:
    """The migration of a server with Nova's number for it. Raises NotFound if it is none, or has ended."""
    for row in under_way(connection, server_id):
        if str(row.number) == number:
            return row
    raise NotFound(f"Live migration {number[:64]} for server {server_id} is not in progress.")
