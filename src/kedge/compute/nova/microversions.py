"""Which microversion of Nova's API a request asks for, and what its answer says of that.

A microversion is 2.N; everywhere else it is that N.
"""

import re
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kedge.model.errors import BadRequest, KedgeError, NotFound
from kedge.serving.nova_faults import nova_fault

OLDEST = 1
NEWEST = 96

V21 = "/compute/v2.1"
_HEADER = "OpenStack-API-Version"
_LEGACY = "X-OpenStack-Nova-API-Version"
_SERVICE = "compute"
_KEY = "kedge.microversion"
_FORM = re.compile(r"([1-9]\d{0,8})\.(0|[1-9]\d{0,8})", re.ASCII)


class Unsupported(KedgeError):
    """There is no such microversion here."""

    status = 406


class Microversions:
    """An ASGI middleware: finds out what version is asked for before anything is done, and names it in the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] != "http" or not scope["path"].startswith(f"{V21}/"):
            await self._app(scope, receive, send)
            return
        try:
            version = asked(Headers(scope=scope))
        except KedgeError as error:
            refused = JSONResponse(nova_fault(error.status, str(error)), error.status)
            await refused(scope, receive, send)
            return
        scope[_KEY] = version

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[_HEADER] = f"{_SERVICE} 2.{version}"
                headers[_LEGACY] = f"2.{version}"
                headers["Vary"] = f"{_HEADER}, {_LEGACY}"
            await send(message)

        await self._app(scope, receive, sent)


def asked(headers: Headers) -> int:
    """The microversion that a request's headers ask for; the oldest, if they ask for none.

    Raises BadRequest for what is none, Unsupported for one that is not here.
    """
    text = _of_service(headers) or headers.get(_LEGACY)
    if text is None:
        return OLDEST
    if text.strip().lower() == "latest":
        return NEWEST
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise BadRequest(
            f"API Version String {text[:64]} is of invalid format. Must be of format MajorNum.MinorNum."
        )
    major, minor = map(int, form.groups())
    if major != 2 or not OLDEST <= minor <= NEWEST:
        raise Unsupported(
            f"Version {major}.{minor} is not supported by the API."
            f" Minimum is 2.{OLDEST} and maximum is 2.{NEWEST}."
        )
    return minor


def _of_service(headers: Headers) -> str | None:
    """One header may name versions of several services, separated by commas."""
    for each in ",".join(headers.getlist(_HEADER)).split(","):
        service, _, version = each.strip().partition(" ")
        if service.lower() == _SERVICE and version:
            return version
    return None


def _version(request: Request) -> int:
    return int(request.scope.get(_KEY, OLDEST))


Version = Annotated[int, Depends(_version)]
"""The microversion of the request, as a route's parameter."""


def since(first: int, version: int) -> None:
    """Raises NotFound, in Nova's words, if what is asked for is not there yet at this microversion."""
    if version < first:
        raise NotFound(f"API version 2.{version} is not supported on this method.")
