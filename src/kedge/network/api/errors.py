"""Errors as JSON: Neutron's form under /network, Nova's under /compute, Kedge's own elsewhere."""

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from kedge.model.absent import not_found
from kedge.model.errors import BadRequest, CannotBind, Conflict, Forbidden, KedgeError, NotFound
from kedge.serving.nova_faults import is_novas, nova_fault
from kedge.serving.strict_request import RequestRefused
from kedge.store import in_words, is_trouble
from kedge.wire.encoding import error_body

from ..errors import BadPortRequest, PortBindingFailure
from .documented import without_422

log = structlog.get_logger()

# Kedge's general errors by the names that Neutron's clients know; more special ones have their own names.
_NEUTRON_TYPES: Mapping[type[KedgeError], str] = {
    BadPortRequest: "BadRequest",
    BadRequest: "HTTPBadRequest",
    CannotBind: "PortBindingError",
    Conflict: "HTTPConflict",
    Forbidden: "PolicyNotAuthorized",
    NotFound: "HTTPNotFound",
    PortBindingFailure: "PortBindingError",
}
_HTTP_ERRORS = {
    404: ("HTTPNotFound", ""),  # the path says more
    405: (
        "HTTPMethodNotAllowed",
        "The server could not comply with the request since it is either malformed or otherwise incorrect.",
    ),
}
_SENTENCES = {"read_only", "no_resource", "bulk"}
"""The types of errors whose message is Neutron's own, whole."""
_SHOWN_MAX = 200


def install_error_handlers(app: FastAPI) -> None:
    """Make `app` answer every error with a body that says what is wrong, and its OpenAPI document say so."""
    without_422(app)

    @app.exception_handler(KedgeError)
    def on_kedge_error(request: Request, error: KedgeError) -> JSONResponse:
        if not (_is_neutrons(request) or is_novas(request.url.path)):
            return JSONResponse(error_body(error), error.status)
        name = _NEUTRON_TYPES.get(type(error), type(error).__name__)
        return _answer(request, error.status, name, name, str(error))

    @app.exception_handler(RequestValidationError)
    def on_invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
        name, message = _explained(error.errors(), in_envelope=_is_neutrons(request))
        return _answer(request, 400, "BadRequest", name, message)

    @app.exception_handler(HTTPException)
    def on_http_error(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error, RequestRefused):
            return _answer(request, error.status_code, "BadRequest", error.kind, error.detail)
        name, message = _HTTP_ERRORS.get(error.status_code, ("HTTPException", str(error.detail)))
        answer = _answer(request, error.status_code, name, name, message or not_found(request.url.path))
        if error.status_code == 405:
            answer.headers["Allow"] = ", ".join(_allowed(request))
        return answer

    @app.exception_handler(OperationalError)
    def on_database(request: Request, error: OperationalError) -> JSONResponse:
        """It is away, its disk is full, it lets nobody in: what a person sees to, and no mistake of Kedge's."""
        if not is_trouble(error):
            raise error
        said = in_words(error)
        message = f"The database does not do its work now ({said}); see to it, then try again."
        log.warning("the database does not do its work", error=said, path=request.url.path)
        return _answer(request, 503, "Unreachable", "ServiceUnavailable", message)

    @app.exception_handler(Exception)
    def on_bug(request: Request, error: Exception) -> JSONResponse:
        message = "Request Failed: internal server error while processing your request."
        return _answer(request, 500, "InternalError", "HTTPInternalServerError", message)


def _answer(request: Request, status: int, own: str, neutron: str, message: str) -> JSONResponse:
    if _is_neutrons(request):
        body = {"NeutronError": {"type": neutron, "message": message, "detail": ""}}
    elif is_novas(request.url.path):
        body = nova_fault(status, message)
    else:
        body = {"error": {"type": own, "message": message}}
    return JSONResponse(body, status)


def _allowed(request: Request) -> list[str]:
    """The methods that this path has, which a 405 has to name (RFC 9110, section 15.5.6)."""
    return sorted(
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    )


def _is_neutrons(request: Request) -> bool:
    return request.url.path.startswith("/network")


def _explained(errors: Any, *, in_envelope: bool) -> tuple[str, str]:
    unknown = [
        str(each["loc"][-1]) for each in errors if each["type"] == "extra_forbidden" and len(each["loc"]) > 2
    ]
    if unknown:
        return "HTTPBadRequest", f"Unrecognized attribute(s) '{_cut(', '.join(unknown))}'"
    first = errors[0]
    place = [str(part) for part in first["loc"] if part != "body"]
    if first["type"] == "json_invalid":
        return "MalformedRequestBody", "Malformed request body: Cannot understand JSON."
    if first["type"] in _SENTENCES:
        return "HTTPBadRequest", str(first["msg"])
    if first["type"] == "missing":
        return "HTTPBadRequest", _missing(place, in_envelope)
    # Neutron names an attribute without the resource's name around it.
    name = ".".join(place[in_envelope:] or place) or "the request body"
    got = _cut(repr(first["input"]))
    return "HTTPBadRequest", f"Invalid input for {_cut(name)}. Reason: {first['msg']} (got {got})."


def _cut(text: str) -> str:
    """What a caller sent, no longer than a person reads."""
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"


def _missing(place: list[str], in_envelope: bool) -> str:
    if not place:
        return "Resource body required"
    if in_envelope and len(place) == 1:
        return f"Unable to find '{place[0]}' in request body"
    return f"Failed to parse request. Required attribute '{place[-1]}' not specified"
