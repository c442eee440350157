"""/servers: lists, and one of them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from kedge.model.network import ServerAddress
from kedge.store import statements

from ..migrations.actor import Tools
from . import links, server_query
from .caller import is_admin
from .microversions import V21, Version
from .queries import limit_of
from .server_view import Around, ServerView


def add_server_routes(router: APIRouter, tools: Tools) -> None:
    """Add the routes that only read."""

    def page(request: Request, version: int) -> Sequence[Any]:
        with statements(tools.migrations.engine, read_only=True) as connection:
            return server_query.found(connection, request.query_params, version)

    def listed(request: Request, rows: Sequence[Any], shown: list[links.Json]) -> Response:
        body: links.Json = {"servers": shown}
        if rows:
            further = links.to_next(request, rows, limit_of(request.query_params), rows[-1].id)
            body |= {"servers_links": further} if further else {}
        return JSONResponse(body)

    def around(rows: Sequence[Any], view: ServerView) -> Around:
        addresses: dict[str, list[ServerAddress]] = defaultdict(list)
        for each in tools.network.addresses([row.id for row in rows]):
            addresses[each.server_id].append(each)
        if not view.shows_hosts or not rows:
            return Around(addresses)
        hosts = {host.name: host for host in tools.agents.hosts({row.host for row in rows})}
        settings = tools.settings.all()
        disabled = frozenset(host for host, each in settings.items() if each.disabled is not None)
        return Around(addresses, hosts, disabled)

    @router.get(f"{V21}/servers", tags=["compute"])
    def list_servers(request: Request, version: Version) -> Response:
        """Servers, by id and name."""
        rows = page(request, version)
        view = ServerView(links.base(request), version, admin=is_admin(), listed=True)
        return listed(request, rows, [view.brief(row) for row in rows])

    @router.get(f"{V21}/servers/detail", tags=["compute"])
    def list_servers_in_detail(request: Request, version: Version) -> Response:
        """Servers, whole."""
        rows = page(request, version)
        view = ServerView(links.base(request), version, admin=is_admin(), listed=True)
        about = around(rows, view)
        return listed(request, rows, [view.detailed(row, about) for row in rows])

    @router.get(f"{V21}/servers/{{server}}", tags=["compute"])
    def show_server(server: str, request: Request, version: Version) -> Response:
        """One server, by its id."""
        with statements(tools.migrations.engine, read_only=True) as connection:
            row = server_query.one(connection, server)
        view = ServerView(links.base(request), version, admin=is_admin(), listed=False)
        return JSONResponse({"server": view.detailed(row, around([row], view))})
