"""The guard before the control plane's interfaces for clients: an ASGI middleware that asks who calls."""

import json
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Protocol

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kedge.model.errors import KedgeError, NotFound
from kedge.strict_request import RequestRefused, StrictRequest

from . import projects
from .answers import refusal
from .identity import Identity
from .policy import Policy
from .projects import Owners
from .rules import ANYBODY, V2, Of, Rule

IDENTITY = "kedge.identity"
"""The key in a request's scope under which the application finds who calls."""

_LISTENER = "kedge.listener"
_LOCAL = "unix"

Json = dict[str, Any]


class Strategy(Protocol):
    """A way to know who calls."""

    challenge: str
    """What WWW-Authenticate says to those who are not known."""

    async def identify(self, headers: Headers) -> Identity:
        """The caller by a request's headers. Raises Unauthenticated, or Unreachable if that can't be found out."""
        ...


class Guard:
    """Lets those requests through to `app` that the table of rules allows.

    The Unix socket, which only root can open, is not guarded.
    """

    def __init__(
        self, app: ASGIApp, strategy: Strategy, owners: Owners, policy: Policy | None = None
    ) -> None:
        self._app = app
        self._strategy = strategy
        self._owners = owners
        self._policy = policy or Policy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] == "lifespan" or scope.get(_LISTENER) == _LOCAL:
            await self._app(scope, receive, send)
            return
        try:
            scope, receive = await self._admit(scope, receive)
        except ClientDisconnect:
            return
        except (KedgeError, RequestRefused) as error:
            await refusal(error, scope["path"], self._strategy.challenge)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
        found = self._policy.rule_for(scope.get("method", ""), scope["path"])
        if found and found[0].roles is ANYBODY:
            return scope, receive
        caller = await self._strategy.identify(Headers(scope=scope))
        if found is None:
            raise NotFound("The resource could not be found.")
        rule, variables = found
        self._policy.check(rule, caller)
        scope = {**scope, IDENTITY: caller}
        if caller.confined and rule.of is Of.PROJECT:
            scope = await self._confine(scope, caller.project or "", variables)
        if _has_body(rule) and (self._policy.reads_bodies(rule, caller) or caller.confined):
            return await self._with_checked_body(scope, receive, rule, caller)
        return scope, receive

    async def _confine(self, scope: Scope, project: str, variables: Mapping[str, str]) -> Scope:
        if "id" in variables:
            await anyio.to_thread.run_sync(
                projects.check_owner, self._owners, project, _collection(scope), variables["id"]
            )
        elif scope["method"] == "GET":
            return {**scope, "query_string": projects.own_only(scope["query_string"], project)}
        return scope

    async def _with_checked_body(
        self, scope: Scope, receive: Receive, rule: Rule, caller: Identity
    ) -> tuple[Scope, Receive]:
        request = StrictRequest(scope, receive)
        if not await request.body():
            return scope, _replayed(b"", receive)
        content = await request.json()

        def checked(resource: Json) -> Json:
            self._policy.check_attributes(rule, caller, resource)
            if caller.confined and scope["method"] == "POST" and rule.of is Of.PROJECT:
                return projects.owned(self._owners, caller.project or "", resource)
            return resource

        # What goes on is what was looked at, and not what another parser might read from the same bytes.
        body = json.dumps(await anyio.to_thread.run_sync(_each_resource, content, checked)).encode()
        return _with_length(scope, len(body)), _replayed(body, receive)


def _has_body(rule: Rule) -> bool:
    return rule.method in ("POST", "PUT")


def _collection(scope: Scope) -> str:
    return str(scope["path"]).removeprefix(f"{V2}/").partition("/")[0]


def _each_resource(content: Any, change: Callable[[Json], Json]) -> Any:
    """`{"port": {…}}` or `{"ports": [{…}, …]}` with every resource changed; anything else as it is."""
    if not isinstance(content, dict):
        return content
    changed: MutableMapping[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            changed[name] = change(value)
        elif isinstance(value, list):
            changed[name] = [change(each) if isinstance(each, dict) else each for each in value]
        else:
            changed[name] = value
    return changed


def _replayed(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def _with_length(scope: Scope, length: int) -> Scope:
    kept = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
    return {**scope, "headers": [*kept, (b"content-length", str(length).encode())]}
