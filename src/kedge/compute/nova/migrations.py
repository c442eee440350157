"""/os-migrations, and /servers/{server}/migrations: those that are under way."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.engine import Row

from kedge.model.errors import BadRequest, Conflict
from kedge.store import statements

from ..migrations.actor import Tools
from . import links, migration_query, server_query, states
from .caller import PROJECT
from .links import Json
from .microversions import V21, Version, since
from .queries import limit_of
from .server_view import moment

_FORCE_SINCE = 22
_SHOWN_SINCE = 23
_ABORT_SINCE = 24
_UUID_SINCE = 59
_WHOSE_SINCE = 80


class ForceComplete(BaseModel):
    """The one action that a migration has: `{"force_complete": null}`."""

    model_config = ConfigDict(extra="forbid")

    force_complete: None = Field(description="null")


def add_migration_routes(router: APIRouter, tools: Tools) -> None:
    """Add the routes."""

    def under_way(server: str, number: str | None = None) -> list[Row[Any]]:
        with statements(tools.migrations.engine, read_only=True) as connection:
            row = server_query.one(connection, server)
            if number is None:
                return list(migration_query.under_way(connection, row.id))
            return [migration_query.one_under_way(connection, row.id, number)]

    def change(server: str, number: str, what: Callable[[str], object]) -> Response:
        (row,) = under_way(server, number)
        try:
            what(row.id)
        except Conflict as error:  # it has ended meanwhile
            raise BadRequest(str(error)) from error
        return Response(status_code=202)

    @router.get(f"{V21}/os-migrations", tags=["compute"])
    def list_migrations(request: Request, version: Version) -> Response:
        """Migrations, the newest first."""
        with statements(tools.migrations.engine, read_only=True) as connection:
            rows = migration_query.found(connection, request.query_params, version)
        root = links.base(request)
        body: Json = {"migrations": [_past(root, row, version) for row in rows]}
        if version >= migration_query.PAGES_SINCE and rows:
            further = links.to_next(request, rows, limit_of(request.query_params), rows[-1].id)
            body |= {"migrations_links": further} if further else {}
        return JSONResponse(body)

    @router.get(f"{V21}/servers/{{server}}/migrations", tags=["compute"])
    def list_server_migrations(server: str, version: Version) -> Response:
        """The migration of a server that is under way, if there is one."""
        since(_SHOWN_SINCE, version)
        return JSONResponse({"migrations": [_present(row, version) for row in under_way(server)]})

    @router.get(f"{V21}/servers/{{server}}/migrations/{{migration}}", tags=["compute"])
    def show_server_migration(server: str, migration: str, version: Version) -> Response:
        """A migration that is under way."""
        since(_SHOWN_SINCE, version)
        (row,) = under_way(server, migration)
        return JSONResponse({"migration": _present(row, version)})

    @router.post(
        f"{V21}/servers/{{server}}/migrations/{{migration}}/action", tags=["compute"], status_code=202
    )
    def force_complete(server: str, migration: str, body: ForceComplete, version: Version) -> Response:
        """Let the VM stand still until the rest of its memory is copied, however much that is."""
        since(_FORCE_SINCE, version)
        return change(
            server,
            migration,
            lambda found: tools.migrations.change(found, lambda options: replace(options, complete_now=True)),
        )

    @router.delete(f"{V21}/servers/{{server}}/migrations/{{migration}}", tags=["compute"], status_code=202)
    def abort(server: str, migration: str, version: Version) -> Response:
        """Ask for an abort; the migration rolls back unless the VM has left already."""
        since(_ABORT_SINCE, version)
        return change(server, migration, tools.migrations.request_abort)


def _common(row: Row[Any], version: int) -> Json:
    shown: Json = {
        "id": row.number,
        "status": states.MIGRATIONS[row.status],
        "source_compute": row.source,
        "source_node": row.source,
        "dest_compute": row.destination,
        "dest_node": row.destination,
        "dest_host": None,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    }
    if version >= _UUID_SINCE:
        shown["uuid"] = row.id
    if version >= _WHOSE_SINCE:
        shown |= {"project_id": row.labels.get(PROJECT, ""), "user_id": ""}
    return shown


def _past(root: str, row: Row[Any], version: int) -> Json:
    """A migration in the list of all."""
    shown = _common(row, version)
    shown |= {"instance_uuid": row.server_id, "old_instance_type_id": None, "new_instance_type_id": None}
    if version >= _SHOWN_SINCE:
        shown["migration_type"] = migration_query.TYPE
        if row.status in states.UNDER_WAY:
            shown["links"] = links.of(root, f"servers/{row.server_id}/migrations", str(row.number))
    return shown


def _present(row: Row[Any], version: int) -> Json:
    """A migration that is under way, with how far it is."""
    progress = row.progress or {}
    return {
        **_common(row, version),
        "server_uuid": row.server_id,
        "memory_total_bytes": progress.get("memory_total", 0),
        "memory_processed_bytes": progress.get("memory_processed", 0),
        "memory_remaining_bytes": progress.get("memory_remaining", 0),
        "disk_total_bytes": 0,
        "disk_processed_bytes": 0,
        "disk_remaining_bytes": 0,
    }
