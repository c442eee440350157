"""What the OpenAPI document says of routes beside what FastAPI reads from their code."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType, UnionType
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from .answers import ErrorAnswer
from .render import Json

_ERRORS = {
    400: "The request is malformed, or asks for what can't be.",
    401: "The caller did not say who they are, where that is asked.",
    403: "The caller may not do that.",
    404: "There is no such thing.",
    409: "Its state, or a rival, forbids it now; or no mechanism driver binds the port there (with the reasons).",
    412: "It was changed since the caller looked at it.",
    413: "The body is too large.",
    503: "The database, or an external network service, does not answer.",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": text} for status, text in _ERRORS.items()
}
"""For `APIRouter(responses=…)`: the errors that all routes under /network may answer."""

_CONTROLS: Mapping[str, tuple[str, Json]] = {
    "fields": ("Show these attributes only.", {"type": "array", "items": {"type": "string"}}),
    "sort_key": ("Sort by these attributes.", {"type": "array", "items": {"type": "string"}}),
    "sort_dir": (
        "One for each sort_key.",
        {"type": "array", "items": {"type": "string", "enum": ["asc", "desc"]}},
    ),
    "limit": ("At most so many; 0 for all.", {"type": "integer", "minimum": 0}),
    "marker": ("Begin after the one with this id.", {"type": "string"}),
    "page_reverse": ("Go backwards from the marker.", {"type": "boolean"}),
}


def answer(body: Json, status: int = 200) -> Response:
    """An answer as it is, which spares FastAPI the looking through it."""
    return JSONResponse(body, status)


def shows(
    model: type[BaseModel] | UnionType, status: int = 200, errors: Mapping[int, str] = MappingProxyType({})
) -> dict[str, Any]:
    """For a route that answers `model` with `answer`, or these `errors` beside what all routes may."""
    more = {code: {"model": ErrorAnswer, "description": text} for code, text in errors.items()}
    return {"status_code": status, "response_model": None, "responses": {status: {"model": model}, **more}}


def lists(model: type[BaseModel], filters: Sequence[str]) -> dict[str, Any]:
    """For a route that answers a list which `kedge.network.api.listing` cuts out."""
    return shows(model) | {
        "openapi_extra": {"parameters": [*map(_filter, filters), *map(_control, _CONTROLS)]}
    }


def chooses_fields(model: type[BaseModel]) -> dict[str, Any]:
    """For a route that shows one thing, with chosen fields."""
    return shows(model) | {"openapi_extra": {"parameters": [_control("fields")]}}


def without_422(app: FastAPI) -> None:
    """Take FastAPI's own answer to a malformed request out of `app`'s document: here that is a 400."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            document.get("components", {}).get("schemas", {}).pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _filter(name: str) -> Json:
    return _parameter(
        name,
        f"Only those whose `{name}` is this; given several times, one of these.",
        {"type": "array", "items": {"type": "string"}},
    )


def _control(name: str) -> Json:
    return _parameter(name, *_CONTROLS[name])


def _parameter(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
