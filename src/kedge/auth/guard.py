"""The guard before the control plane's interfaces for clients: an ASGI middleware that asks who calls.

It judges method, path and role. What a body says, and whose the things are that it is about, is judged where that is
parsed and looked up, in the transaction that changes it (`kedge.network.local.work`, `kedge.network.api.attributes`).
"""

from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from kedge.model.absent import not_found
from kedge.model.caller import CALLER, Identity
from kedge.model.errors import KedgeError, NotFound
from kedge.serving.peers import peer_of

from .answers import refusal
from .audit import note
from .errors import Unauthenticated
from .policy import Policy
from .rules import ANYBODY, Rule
from .shares import Shares

_LISTENER = "kedge.listener"
_LOCAL = "unix"


class Strategy(Protocol):
    """A way to know who calls."""

    challenge: str
    """What WWW-Authenticate says to those who are not known."""

    async def identify(self, headers: Headers, address: str) -> Identity:
        """The caller by a request's headers, and the address it comes from.

        Raises Unauthenticated, TooManyLogins, or Unreachable if that can't be found out.
        """
        ...


class Guard:
    """Lets those requests through to `app` that the table of rules allows.

    The Unix socket, which only root can open, is not guarded.
    """

    def __init__(self, app: ASGIApp, strategy: Strategy, policy: Policy | None = None) -> None:
        self._app = app
        self._strategy = strategy
        self._policy = policy or Policy()
        self._shares = Shares()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] == "lifespan" or scope.get(_LISTENER) == _LOCAL:
            await self._app(scope, receive, send)
            return
        try:
            rule, caller = await self._admit(scope)
        except KedgeError as error:
            _note_refusal(scope, error)
            await refusal(error, scope["path"], self._strategy.challenge)(scope, receive, send)
            return
        known = CALLER.set(caller)
        try:
            if caller is None or rule.waits:
                await self._app(scope, receive, send)
            else:
                async with self._shares.place(caller.name):
                    await self._app(scope, receive, send)
        finally:
            CALLER.reset(known)

    async def _admit(self, scope: Scope) -> tuple[Rule, Identity | None]:
        """The rule that the request falls under and who calls; None for what is anybody's."""
        found = self._policy.rule_for(scope.get("method", ""), scope["path"])
        if found and found.roles is ANYBODY:
            return found, None
        client = scope.get("client")
        caller = await self._strategy.identify(Headers(scope=scope), peer_of(client[0]) if client else "")
        note(scope, who=caller.name)
        if found is None:
            raise NotFound(not_found(scope["path"]))
        self._policy.check(found, caller)
        return found, caller


def _note_refusal(scope: Scope, error: KedgeError) -> None:
    if not isinstance(error, Unauthenticated):
        note(scope, why=str(error))
    elif error.name is not None:
        note(scope, who=error.name, why="not who it says it is")
