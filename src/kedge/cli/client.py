"""The control plane's REST interfaces, as the commands call them."""

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from kedge.model.errors import BadRequest, CannotBind, KedgeError

from .connection import UNIX, Answer, Connection, NoAnswer, TooLate
from .exits import NoControlPlane

if TYPE_CHECKING:
    import typer

Json = dict[str, Any]

SOCKET = Path("/run/kedge/kedge.sock")
ADDRESS = "http://127.0.0.1:9696"

CONNECT_S = 5.0
ANSWER_S = 60.0
START_S = 300.0
"""Making a server, or moving the first byte of one, waits for hypervisors."""

_PASSWORD = re.compile(r"(?<=://)[^/]*@")


class ApiError(KedgeError):
    """An error that the control plane answered, with its HTTP status and every reason that it gave."""

    def __init__(self, status: int, message: str, reasons: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.reasons = tuple(reasons)


class ControlPlane:
    """A connection to the control plane. Every call answers the JSON, or raises ApiError or NoControlPlane."""

    def __init__(self, url: str) -> None:
        """`url` is `http://…`, `https://…` or `unix:///PATH`; raises BadRequest for anything else.

        `https://NAME:PASSWORD@…` says who calls.
        """
        self.url = _PASSWORD.sub("", url)  # as messages show it
        self._http = _connection(url)

    def __enter__(self) -> "ControlPlane":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(
        self, path: str, query: Mapping[str, str | int] | None = None, *, wait_s: float = ANSWER_S
    ) -> Any:
        """GET."""
        return self._call("GET", path, query=query, wait_s=wait_s)

    def post(self, path: str, body: Any, *, wait_s: float = ANSWER_S) -> Any:
        """POST."""
        return self._call("POST", path, body=body, wait_s=wait_s)

    def put(self, path: str, body: Any = None) -> Any:
        """PUT."""
        return self._call("PUT", path, body=body)

    def patch(self, path: str, body: Any) -> Any:
        """PATCH."""
        return self._call("PATCH", path, body=body)

    def delete(self, path: str, *, wait_s: float = ANSWER_S) -> Any:
        """DELETE."""
        return self._call("DELETE", path, wait_s=wait_s)

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str | int] | None = None,
        wait_s: float = ANSWER_S,
    ) -> Any:
        target = f"{path}?{urlencode(query)}" if query else path
        content = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        try:
            answer = self._http.request(method, target, content, kind, wait_s)
        except TooLate as error:
            raise NoControlPlane(
                f"The control plane at {self.url} gave no answer in time ({error});"
                " see its log, then ask again."
            ) from None
        except NoAnswer as error:
            raise NoControlPlane(
                f"No control plane answers at {self.url} ({error});"
                " start one with `kedge serve`, or name another with --url or KEDGE_URL."
            ) from None
        return self._content(answer)

    def _content(self, answer: Answer) -> Any:
        if answer.status == HTTPStatus.NO_CONTENT:
            return None
        try:
            content = json.loads(answer.body)
        except ValueError:
            content = None
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES and content is not None:
            return content
        raise _error(self.url, answer, content)


def connect(context: "typer.Context") -> ControlPlane:
    """The control plane that the options of the command line name."""
    return ControlPlane(context.find_root().params["url"] or default_url())


def default_url() -> str:
    """The control plane of this machine: its socket if there is one, else its address."""
    return f"{UNIX}{SOCKET}" if SOCKET.exists() else ADDRESS


def segment(text: str) -> str:
    """`text` as one segment of a URL's path. Raises BadRequest for what can't be one."""
    if text in {"", ".", ".."}:
        raise BadRequest(f"{text!r} is neither a name nor an id.")
    return quote(text, safe="")


def _connection(url: str) -> Connection:
    if url.startswith(UNIX):
        if not url.removeprefix(UNIX).startswith("/"):
            raise BadRequest(f"{url!r} needs the socket's whole path, for example {UNIX}{SOCKET}.")
        return Connection(url, CONNECT_S)
    scheme, _, rest = url.partition("://")
    if scheme not in {"http", "https"} or not rest:
        raise BadRequest(f"{url!r} is no control plane's URL; give {ADDRESS} or {UNIX}{SOCKET}.")
    try:
        return Connection(url, CONNECT_S)
    except ValueError as error:
        raise BadRequest(f"{url!r} is no URL: {error}") from None


def _error(url: str, answer: Answer, content: Any) -> KedgeError:
    described = content.get("error", content.get("NeutronError")) if isinstance(content, dict) else None
    if isinstance(described, dict) and described.get("message"):
        reasons = [str(reason) for reason in described.get("reasons", ())]
        # As in Neutron, a host's refusal to bind has the status of a failure where a binding is made.
        status = CannotBind.status if described.get("type") == "PortBindingError" else answer.status
        return ApiError(status, str(described["message"]), reasons)
    text = " ".join(answer.text.split())[:200]
    return NoControlPlane(
        f"What answers at {url} is not Kedge's control plane (HTTP {answer.status}: {text});"
        " name another with --url or KEDGE_URL."
    )
