"""What is said to those who may not."""

from typing import Any

from starlette.responses import JSONResponse

from kedge.model.errors import Forbidden, KedgeError, NotFound
from kedge.serving.nova_faults import is_novas, nova_fault
from kedge.wire.encoding import error_body

from .errors import TooManyLogins, Unauthenticated

_NEUTRON_TYPES = {Forbidden: "PolicyNotAuthorized", NotFound: "HTTPNotFound"}


def refusal(error: KedgeError, path: str, challenge: str) -> JSONResponse:
    """The answer to a request that was not let through: 401 as Keystone words it, others as Neutron or Nova does."""
    if isinstance(error, Unauthenticated):
        content = {"error": {"code": 401, "title": "Unauthorized", "message": str(error)}}
        return JSONResponse(content, 401, {"WWW-Authenticate": challenge})
    if isinstance(error, TooManyLogins):
        content = {"error": {"code": 429, "title": "Too Many Requests", "message": str(error)}}
        return JSONResponse(content, 429, {"Retry-After": str(error.retry_after_s)})
    if is_novas(path):
        return JSONResponse(nova_fault(error.status, str(error)), error.status)
    if not path.startswith("/network"):
        return JSONResponse(error_body(error), error.status)
    name = _NEUTRON_TYPES.get(type(error), type(error).__name__)
    return JSONResponse(_neutrons(name, str(error)), error.status)


def _neutrons(kind: str, message: str) -> dict[str, Any]:
    return {"NeutronError": {"type": kind, "message": message, "detail": ""}}
