"""The links to the next and the previous page of a list, as Neutron's extension `pagination` gives them."""

from urllib.parse import urlencode

from fastapi import Request

from .render import Json


def listed(request: Request, collection: str, page: list[Json]) -> Json:
    """The body of a list's answer: one page of it and, if the query has a `limit`, where the others are.

    A page that `fields` has left without ids has no links.
    """
    body: Json = {collection: page}
    limit = request.query_params.get("limit", "").lstrip("0")
    if not limit or not page or "id" not in page[0]:
        return body
    backwards = request.query_params.get("page_reverse", "").lower() == "true"
    short = len(page) < int(limit[:18])
    links = []
    if not short or backwards:
        links.append({"rel": "next", "href": _beside(request, page[-1]["id"])})
    if not short or not backwards:
        links.append({"rel": "previous", "href": _beside(request, page[0]["id"], page_reverse="True")})
    return body | {f"{collection}_links": links}


def _beside(request: Request, marker: str, **more: str) -> str:
    kept = [pair for pair in request.query_params.multi_items() if pair[0] not in ("marker", "page_reverse")]
    return str(request.url.replace(query=urlencode([*kept, ("marker", marker), *more.items()])))
