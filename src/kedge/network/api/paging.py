"""Lists as bodies of answers, with the links to the next and the previous page (Neutron's extension `pagination`)."""

from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from fastapi import Request

from .listing import one, page, reversed_page
from .render import Json


def listed(
    request: Request,
    collection: str,
    resources: Iterable[Json],
    attributes: Sequence[str],
    identity: str = "id",
) -> Json:
    """What of the resources the query asks for and, if it has a `limit`, where the others are.

    `attributes` and `identity` are those of `kedge.network.api.listing.page`.
    """
    found = page(request, resources, attributes, identity)
    body: Json = {collection: [one(request, each) for each in found]}
    limit = request.query_params.get("limit", "").lstrip("0")
    if not limit or not found:
        return body
    backwards = reversed_page(request)
    short = len(found) < int(limit[:18])
    links = []
    if not short or backwards:
        links.append({"rel": "next", "href": _beside(request, found[-1][identity])})
    if not short or not backwards:
        links.append({"rel": "previous", "href": _beside(request, found[0][identity], page_reverse="True")})
    return body | {f"{collection}_links": links}


def _beside(request: Request, marker: str, **more: str) -> str:
    kept = [pair for pair in request.query_params.multi_items() if pair[0] not in ("marker", "page_reverse")]
    return str(request.url.replace(query=urlencode([*kept, ("marker", marker), *more.items()])))
