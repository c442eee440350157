"""Lists as Neutron's API gives them: filtered by equality, sorted, in pages, with chosen fields only.

Works on rendered resources, so that every attribute that is shown can be asked for.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastapi import Request

from kedge.model.errors import BadRequest

from ..local.port_search import Part
from .filters import boolean, condition
from .render import Json
from .tag_filters import TAG_FILTERS, tags_match

_CONTROLS = {"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"}


def one(request: Request, resource: Json) -> Json:
    """A resource, with only the `fields` that the query names, if it names any."""
    named = set(request.query_params.getlist("fields")) - {""}
    return {key: value for key, value in resource.items() if not named or key in named}


def page(
    request: Request, resources: Iterable[Json], attributes: Sequence[str], identity: str = "id"
) -> list[Json]:
    """The resources that the query asks for, whole.

    `attributes` are those that can be filtered by; several values of one are alternatives. `identity` is the
    attribute that a page's `marker` refers to. Raises BadRequest for unknown attributes and bad page sizes.
    """
    query = request.query_params
    unknown = sorted(set(query) - _CONTROLS - set(attributes))
    if unknown:
        raise BadRequest(f"{unknown} is invalid attribute for filtering")
    conditions = {
        key: condition(key, query.getlist(key))
        for key in query
        if key not in _CONTROLS and key not in TAG_FILTERS
    }
    chosen = [each for each in resources if all(holds(each.get(key)) for key, holds in conditions.items())]
    if not query.keys().isdisjoint(TAG_FILTERS):
        chosen = [each for each in chosen if tags_match(query, each["tags"])]
    return _page(request, _sorted(request, chosen, attributes), identity)


def before_page(
    request: Request, compares: Callable[[str, Sequence[str]], bool]
) -> tuple[dict[str, list[str]], Part | None]:
    """What of a query a database can do before `page`, if it compares these values of these attributes.

    That are the values to look for, and which part of all that have them holds the page: the marker, which
    `page` asks for, and as many as fit. It is None if the page depends on more than the database compares.
    """
    query = request.query_params
    wanted = {key: query.getlist(key) for key in query if compares(key, query.getlist(key))}
    limit = _limit(query.get("limit"))
    if limit is None or not set(query) <= {*wanted, "fields", "limit", "marker", "page_reverse"}:
        return wanted, None
    marker = query.get("marker") or None
    return wanted, Part(limit + (marker is not None), marker, reversed_page(request))


def reversed_page(request: Request) -> bool:
    """Whether the query asks for what comes before its marker. Raises BadRequest."""
    return boolean("page_reverse", request.query_params.get("page_reverse", "false"))


def _sorted(request: Request, resources: list[Json], attributes: Sequence[str]) -> list[Json]:
    keys = request.query_params.getlist("sort_key")
    directions = request.query_params.getlist("sort_dir") or ["asc"] * len(keys)
    if len(directions) != len(keys):
        raise BadRequest("The number of sort_keys and sort_dirs must be same")
    for key, direction in reversed(list(zip(keys, directions, strict=True))):
        # As in Neutron, only by what every such resource has, and no extension of it.
        if key not in attributes or ":" in key:
            raise BadRequest(f"['{key}'] is invalid attribute for sort key")
        if direction not in ("asc", "desc"):
            raise BadRequest(f"sort_dir {direction!r} is neither asc nor desc")
        resources = sorted(resources, key=lambda each: _sortable(each.get(key)), reverse=direction == "desc")
    return resources


def _sortable(value: Any) -> tuple[bool, float, str]:
    if isinstance(value, int | float):
        return (True, value, "")
    return (value is not None, 0.0, str(value))


def _page(request: Request, resources: list[Json], identity: str) -> list[Json]:
    query = request.query_params
    backwards = reversed_page(request)
    if backwards:
        resources = resources[::-1]
    marker = query.get("marker")
    if marker:
        places = [place for place, each in enumerate(resources) if each[identity] == marker]
        if not places:
            raise BadRequest(f"The marker {marker!r} is not in the list; start again without one.")
        resources = resources[places[0] + 1 :]
    resources = resources[: _limit(query.get("limit"))]
    return resources[::-1] if backwards else resources


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise BadRequest(f"limit {text[:64]!r} is not a number that is 0 or more")
    if len(text) > 18:  # more than there can be of anything, and than a database takes for a number
        return None
    return int(text) or None
