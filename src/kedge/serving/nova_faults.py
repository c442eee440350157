"""Errors in the form of Nova's API, for whoever answers something under /compute."""

from typing import Any

_PREFIX = "/compute"
_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}
_OTHER = "computeFault"


def is_novas(path: str) -> bool:
    """Whether what is asked for at this path is Nova's role."""
    return path == _PREFIX or path.startswith(f"{_PREFIX}/")


def nova_fault(status: int, message: str) -> dict[str, Any]:
    """An error's body: the name that Nova has for this status, around code and message."""
    return {_NAMES.get(status, _OTHER): {"code": status, "message": message}}
