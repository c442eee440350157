"""What a request may be like before anything reads it: its size, its number of parameters, and its JSON.

Python's own parser takes more than can be stored or given back: NaN, lone surrogates, the NUL character that
PostgreSQL refuses, nesting as deep as its stack. And of two values for one name it silently drops the first.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

BODY_MAX = 1 << 20  # bytes
PARAMETERS_MAX = 2_000  # of a query; all ids of a request that a proxy lets through are fewer
DEPTH_MAX = 32  # of lists and objects in each other


class RequestRefused(HTTPException):
    """The request is not looked at further. `kind` is what Neutron calls this error."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(status, message)
        self.kind = kind


class StrictRoute(APIRoute):
    """A route that refuses what is too large or malformed; `APIRouter(route_class=StrictRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual handler behind the checks."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            _check_url(request)
            return await handle(StrictRequest(request.scope, request.receive))

        return strictly


class StrictRequest(Request):
    """A request whose body is read up to a limit, and whose JSON is one that can be stored and given back."""

    async def body(self) -> bytes:
        """The body. Raises RequestRefused if it is too large or is said to be something else than JSON."""
        if not hasattr(self, "_body"):
            self._body = await self._read()
            if self._body and not _is_json(self.headers.get("content-type", "")):
                _malformed("it is not marked as JSON; send it with Content-Type: application/json")
        return self._body

    async def json(self) -> Any:
        """The value of the body. Raises RequestRefused."""
        if not hasattr(self, "_json"):
            self._json = strict_json(await self.body())
        return self._json

    async def _read(self) -> bytes:
        # What is announced is refused unread. What isn't (chunks) is counted as it comes.
        announced = self.headers.get("content-length", "")
        if announced.isdecimal() and (len(announced) > len(str(BODY_MAX)) or int(announced) > BODY_MAX):
            _too_large()
        parts, size = [], 0
        async for part in self.stream():
            size += len(part)
            if size > BODY_MAX:
                _too_large()
            parts.append(part)
        return b"".join(parts)


def strict_json(body: bytes) -> Any:
    """The value of a JSON text in UTF-8. Raises RequestRefused for anything that can't be kept as it is."""
    try:
        text = body.decode()
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_not_a_number, parse_float=_finite_number
        )
    except RecursionError:
        _malformed(f"it is nested deeper than {DEPTH_MAX} levels")
    except ValueError:  # also of UTF-8, and of integers with thousands of digits
        raise RequestRefused(
            400, "MalformedRequestBody", "Malformed request body: Cannot understand JSON."
        ) from None
    # Only an escape brings a character that UTF-8 text can't hold, and only brackets bring depth.
    if "\\u" in text or text.count("[") + text.count("{") > DEPTH_MAX:
        _check(value, 1)
    return value


def _check_url(request: Request) -> None:
    if "\0" in request.scope["path"]:
        raise HTTPException(404)
    query = request.scope["query_string"]
    if query.count(b"&") >= PARAMETERS_MAX:
        raise RequestRefused(
            400,
            "HTTPBadRequest",
            f"The query has more than {PARAMETERS_MAX} parameters; ask for fewer at once.",
        )
    if b"%00" in query or b"\0" in query:
        raise RequestRefused(400, "HTTPBadRequest", "The query holds a NUL character.")


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        times = Counter(name for name, _ in pairs)
        twice = next(name for name in times if times[name] > 1)
        _malformed(f"{twice[:64]!a} is in it twice")
    return found


def _not_a_number(text: str) -> NoReturn:
    _malformed(f"{text} is not a number of JSON")


def _finite_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _malformed(f"the number {text[:32]} is too large")
    return number


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if "\0" in value:
            _malformed("a text in it holds the NUL character")
        if not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
            _malformed("a text in it holds half of a character (a lone surrogate)")
    elif isinstance(value, dict | list):
        if depth > DEPTH_MAX:
            _malformed(f"it is nested deeper than {DEPTH_MAX} levels")
        parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        for part in parts:
            _check(part, depth + 1)


def _malformed(reason: str) -> NoReturn:
    raise RequestRefused(400, "MalformedRequestBody", f"Malformed request body: {reason}.")


def _too_large() -> NoReturn:
    raise RequestRefused(
        413, "HTTPRequestEntityTooLarge", f"The body is larger than {BODY_MAX} bytes; send less at once."
    )
