"""Links in answers: where a thing is, and where the next page begins."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import Request

Json = dict[str, Any]


def base(request: Request) -> str:
    """The URL that all of Nova's role is under, as the caller writes it."""
    return f"{str(request.base_url).rstrip('/')}/compute"


def of(root: str, collection: str, identity: str) -> list[Json]:
    """The links of one thing; `root` is `base`."""
    return [
        {"rel": "self", "href": f"{root}/v2.1/{collection}/{identity}"},
        {"rel": "bookmark", "href": f"{root}/{collection}/{identity}"},
    ]


def to_next(request: Request, found: Sequence[Any], limit: int, marker: str) -> list[Json]:
    """The link to the page behind a full one, which begins after `marker`; no link behind one that is not full."""
    if not found or len(found) < limit:
        return []
    kept = [pair for pair in request.query_params.multi_items() if pair[0] != "marker"]
    href = str(request.url.replace(query=urlencode([*kept, ("marker", marker)])))
    return [{"rel": "next", "href": href}]
