"""Every answer to OpenStack's clients names its request, as theirs do, so that both sides can speak of it."""

from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .nova_faults import is_novas

_OPENSTACKS = ("/network", "/compute")


class RequestIds:
    """An ASGI middleware, around the guard, so that refusals have ids too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] != "http" or not scope["path"].startswith(_OPENSTACKS):
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                request_id = f"req-{uuid4()}"
                headers = MutableHeaders(scope=message)
                headers["X-Openstack-Request-Id"] = request_id
                if is_novas(scope["path"]):
                    headers["X-Compute-Request-Id"] = request_id
            await send(message)

        await self._app(scope, receive, sent)
