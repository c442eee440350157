"""Which servers a query of Nova's API asks for, as plain statements."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, false, func, or_, select, true
from sqlalchemy.engine import Row
from starlette.datastructures import QueryParams

from kedge.model.caller import CALLER, Role, refusal
from kedge.model.errors import BadRequest, Forbidden, NotFound
from kedge.model.placement import MIB
from kedge.store.tables import ServerRow

from . import flavors, names, states
from .caller import is_admin, of_project, own_project, visible
from .queries import Order, after, boolean, limit_of, refuse_unknown
from .server_view import ZONE

_COLUMNS = (
    ServerRow.id,
    ServerRow.name,
    ServerRow.host,
    ServerRow.status,
    ServerRow.labels,
    ServerRow.demand,
    ServerRow.created_at,
    ServerRow.updated_at,
)
_STRICT_SINCE = 75
"""From this microversion on, parameters that are not known are refused; before, Nova ignores them."""
_MOST_FILTERS = 1000

Condition = ColumnElement[bool]


def _state(pick: Callable[[states.State], Any]) -> ColumnElement[Any]:
    return case({status: pick(state) for status, state in states.SERVERS.items()}, value=ServerRow.status)


def _with(texts: Sequence[str], pick: Callable[[states.State], Any]) -> Condition:
    wanted = {text.lower() for text in texts}
    return ServerRow.status.in_(
        [status for status, state in states.SERVERS.items() if str(pick(state) or "").lower() in wanted]
    )


def _named(texts: Sequence[str]) -> Condition:
    return or_(
        *(func.lower(ServerRow.name).like(names.like(text.lower()), escape=names.ESCAPE) for text in texts)
    )


def _of_flavor(texts: Sequence[str]) -> Condition:
    found = []
    for text in texts:
        vcpus, mib = flavors.parsed(text) or (-1, 0)
        memory = ServerRow.demand["memory"].as_integer()
        has = ServerRow.demand["vcpus"].as_integer() == vcpus
        found.append(and_(has, memory >= mib * MIB, memory < (mib + 1) * MIB))
    return or_(*found)


def _in_zone(texts: Sequence[str]) -> Condition:
    return true() if ZONE in texts else false()


def _of_projects(texts: Sequence[str]) -> Condition:
    return or_(*map(of_project, texts))


def _has_none(texts: Sequence[str]) -> Condition:
    """For what no server of Kedge's has: who asks for those that have it, gets none."""
    return false() if any(texts) else true()


def _truly(name: str) -> Callable[[Sequence[str]], Condition]:
    return lambda texts: false() if boolean(name, texts[-1]) else true()


_EVERYBODYS: Mapping[str, Callable[[Sequence[str]], Condition]] = {
    "name": _named,
    "status": lambda texts: ServerRow.status.in_([text.upper() for text in texts]),
    "uuid": lambda texts: ServerRow.id.in_([text.lower() for text in texts]),
    "flavor": _of_flavor,
    "image": _has_none,
    "key_name": _has_none,
    "tags": _has_none,
    "tags-any": _has_none,
    "not-tags": lambda _: true(),
    "not-tags-any": lambda _: true(),
    "locked": _truly("locked"),
    "availability_zone": _in_zone,
}
_ADMINS: Mapping[str, Callable[[Sequence[str]], Condition]] = {
    "host": ServerRow.host.in_,
    "node": ServerRow.host.in_,
    "vm_state": lambda texts: _with(texts, lambda state: state.vm),
    "task_state": lambda texts: _with(texts, lambda state: state.task),
    "power_state": lambda texts: _with(texts, lambda state: str(state.power)),
    "project_id": _of_projects,
    "tenant_id": _of_projects,
    "deleted": _truly("deleted"),
    "soft_deleted": _truly("soft_deleted"),
}
_REFUSED = (
    "changes-since",
    "changes-before",
    "ip",
    "ip6",
    "access_ip_v4",
    "access_ip_v6",
    "auto_disk_config",
    "config_drive",
    "created_at",
    "description",
    "display_description",
    "display_name",
    "hostname",
    "image_ref",
    "kernel_id",
    "launch_index",
    "launched_at",
    "locked_by",
    "progress",
    "ramdisk_id",
    "reservation_id",
    "root_device_name",
    "terminated_at",
    "user_id",
)
"""Filters of Nova's that are not here."""
_CONTROLS = ("limit", "marker", "sort_key", "sort_dir", "all_tenants")

_SORT_KEYS: Mapping[str, Any] = {
    "created_at": ServerRow.created_at,
    "updated_at": ServerRow.updated_at,
    "launched_at": ServerRow.created_at,
    "display_name": ServerRow.name,
    "hostname": ServerRow.name,
    "uuid": ServerRow.id,
    "host": ServerRow.host,
    "node": ServerRow.host,
    "vm_state": _state(lambda state: state.vm),
    "task_state": _state(lambda state: state.task or ""),
    "power_state": _state(lambda state: state.power),
}
_ADMINS_SORT_KEYS = {"host", "node"}


def found(connection: Connection, query: QueryParams, version: int) -> Sequence[Row[Any]]:
    """The page of servers that the query asks for. Raises BadRequest, Forbidden."""
    if version >= _STRICT_SINCE:
        refuse_unknown(query, [*_EVERYBODYS, *_ADMINS, *_REFUSED, *_CONTROLS])
    wanted = [_scope(query), *_filters(query)]
    order = _order(query)
    limit = limit_of(query)
    marker = query.get("marker")
    if marker:
        wanted.append(after(order, _values(connection, order, marker)))
    by = [column.desc() if descends else column.asc() for column, descends in order]
    return connection.execute(select(*_COLUMNS).where(*wanted).order_by(*by).limit(limit)).all()


def one(connection: Connection, server_id: str) -> Row[Any]:
    """The server with this id, if the caller may know of it. Raises NotFound."""
    wanted = select(*_COLUMNS).where(ServerRow.id == server_id.lower(), visible())
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise NotFound(f"Instance {server_id[:64]} could not be found.")
    return row


def _scope(query: QueryParams) -> Condition:
    """A caller with a project sees that one's servers; an admin those of all, who says so."""
    asked = query.get("all_tenants")
    every = asked is not None and (asked == "" or boolean("all_tenants", asked))
    caller = CALLER.get()
    if every and caller is not None and not is_admin():
        raise Forbidden(refusal("rule:os_compute_api:servers:detail:get_all_tenants", [Role.ADMIN], caller))
    project = own_project()
    if every or project is None or (is_admin() and not query.keys().isdisjoint(("project_id", "tenant_id"))):
        return visible()
    return of_project(project)


def _filters(query: QueryParams) -> list[Condition]:
    for name in _REFUSED:
        if name in query:
            raise BadRequest(f"Kedge can't find servers by {name}; leave it out (docs/nova-differences.md).")
    known = {**_EVERYBODYS, **(_ADMINS if is_admin() else {})}
    chosen = [name for name in dict.fromkeys(query) if name in known]
    if any(len(query.getlist(name)) > _MOST_FILTERS for name in chosen):
        raise BadRequest(f"A filter has more than {_MOST_FILTERS} values; ask for fewer at once.")
    return [known[name](query.getlist(name)) for name in chosen]


def _order(query: QueryParams) -> Order:
    keys, directions = query.getlist("sort_key"), query.getlist("sort_dir")
    allowed = set(_SORT_KEYS) - (set() if is_admin() else _ADMINS_SORT_KEYS)
    for key in keys:
        if key not in allowed:
            raise BadRequest(
                f"Sort key supplied is not valid: {key[:64]!r}; one of {', '.join(sorted(allowed))} is."
            )
    if any(each not in ("asc", "desc") for each in directions) or len(directions) > len(keys) > 0:
        raise BadRequest("Each sort_key has one sort_dir at most, which is asc or desc.")
    usual = directions[-1] if directions else "desc"
    directions += [usual] * (len(keys) - len(directions))
    chosen = dict(zip(keys, directions, strict=False)) or {"created_at": usual}
    columns = [(_SORT_KEYS[key], direction == "desc") for key, direction in chosen.items()]
    return [*columns, (ServerRow.id, usual == "desc")]


def _values(connection: Connection, order: Order, marker: str) -> Sequence[Any]:
    columns = [column for column, _ in order]
    row = connection.execute(select(*columns).where(ServerRow.id == marker.lower(), visible())).one_or_none()
    if row is None:
        raise BadRequest(f"marker [{marker[:64]}] not found")
    return tuple(row)
