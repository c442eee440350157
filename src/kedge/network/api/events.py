"""GET /kedge/v1/events: what happens to ports and migrations, as server-sent events (WHATWG HTML, section 9.2).

Each has a number as its `id`. A client that comes back with the last one it saw (browsers do by themselves, in
Last-Event-ID) gets all that happened since. A client holds no thread, and no memory beyond one page of events: it is
read from the database as fast as the client takes it.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from kedge.model.caller import counted_as
from kedge.model.errors import KedgeError
from kedge.store import outbox
from kedge.store.outbox import Event

from ..local import LocalNetworkService

POLL_S = 0.25
HEARTBEAT_S = 15.0
"""A line that means nothing, so often, lets both sides notice that the other is gone."""

_PAGE = 200
_STREAMS = 200
_OF_ONE_CALLER = 50
_CLOSING = "kedge.closing"
_RETRY_MS = 1000
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_EXAMPLE = """id: 17
event: network-vif-plugged
data: {"number": 17, "name": "network-vif-plugged", "server_id": "5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0001", \
"port_id": "e710ba1c-3175-4ede-97f9-c996d79253a0", "host": "h2", "status": "completed", \
"at": "2026-11-23T12:00:00+00:00"}

"""


class TooManyStreams(KedgeError):
    """More clients listen than this process serves."""

    status = 503


class TooManyOfOneCaller(KedgeError):
    """The caller listens often enough already."""

    status = 429


@dataclass(frozen=True)
class Wanted:
    """Which events a client wants, and from where on."""

    since: int | None
    server_ids: Sequence[str]
    port_ids: Sequence[str]


class Streams:
    """All streams of a process. They share one look at the database for whether there is anything new."""

    def __init__(
        self, service: LocalNetworkService, poll_s: float = POLL_S, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._service = service
        self._poll_s = poll_s
        self._heartbeat_s = heartbeat_s
        self._looking = asyncio.Lock()
        self._tip = 0
        self._looked_at = float("-inf")
        self._open = Counter[str | None]()

    def check_room(self, caller: str | None) -> None:
        """Raises TooManyStreams, and TooManyOfOneCaller. Root (None) is always let in."""
        if caller is None:
            return
        if self._open[caller] >= _OF_ONE_CALLER:
            raise TooManyOfOneCaller(
                f"{caller} listens to {_OF_ONE_CALLER} streams of events already; end one, or ask one for more."
            )
        if self._open.total() >= _STREAMS:
            raise TooManyStreams(f"{_STREAMS} clients listen to events already; try again later.")

    async def lines(
        self, wanted: Wanted, closing: asyncio.Event, first: "Start", caller: str | None
    ) -> AsyncIterator[str]:
        """The stream of one client, until it goes away or `closing` is set."""
        self._open[caller] += 1
        try:
            if caller is not None and self._open[caller] > _OF_ONE_CALLER:
                return  # of many that asked at once
            yield f"retry: {_RETRY_MS}\n\n"
            if first.lost:
                yield f"event: reset\ndata: {json.dumps({'oldest': first.oldest})}\n\n"
            cursor, spoke = first.cursor, time.monotonic()
            while not closing.is_set():
                tip = await self._newest()
                while cursor < tip:
                    page = await to_thread.run_sync(self._page, wanted, cursor, tip)
                    for event in page:
                        yield written(event)
                    cursor = page[-1].number if len(page) == _PAGE else tip
                    spoke = time.monotonic() if page else spoke
                if time.monotonic() - spoke >= self._heartbeat_s:
                    yield ": still here\n\n"
                    spoke = time.monotonic()
                await _sleep(self._poll_s, closing)
        finally:
            self._open[caller] -= 1
            self._open += Counter()  # those with nothing are forgotten

    def start(self, since: int | None) -> "Start":
        """Where a stream begins: after `since`, or with what happens from now on."""
        with self._service.read() as work:
            oldest, newest = outbox.ends(work.session)
            if since is None:
                return Start(outbox.tip(work.session, work.now), oldest, lost=False)
            if since > newest:  # of another database
                return Start(0, oldest, lost=True)
            return Start(since, oldest, lost=oldest > since + 1)

    async def _newest(self) -> int:
        async with self._looking:
            if time.monotonic() - self._looked_at >= self._poll_s:
                self._tip = await to_thread.run_sync(self._look)
                self._looked_at = time.monotonic()
            return self._tip

    def _look(self) -> int:
        with self._service.read() as work:
            return outbox.tip(work.session, work.now)

    def _page(self, wanted: Wanted, after: int, up_to: int) -> list[Event]:
        with self._service.read() as work:
            return outbox.between(
                work.session,
                after,
                up_to,
                _PAGE,
                server_ids=wanted.server_ids,
                port_ids=wanted.port_ids,
            )


@dataclass(frozen=True)
class Start:
    """Where a stream begins, and whether events that the client asked for are not kept any more."""

    cursor: int
    oldest: int
    lost: bool


def events_router(
    service: LocalNetworkService, *, poll_s: float = POLL_S, heartbeat_s: float = HEARTBEAT_S
) -> APIRouter:
    """The route for the stream of events."""
    router = APIRouter(prefix="/kedge/v1", tags=["events"])
    streams = Streams(service, poll_s, heartbeat_s)

    @router.get(
        "/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"example": _EXAMPLE}}}},
    )
    async def stream(
        request: Request,
        since: Annotated[
            int | None, Query(ge=0, lt=2**31, description="The last event that the client knows; 0 for all.")
        ] = None,
        server: Annotated[
            list[str] | None, Query(max_length=100, description="Only events of these servers, by id.")
        ] = None,
        port: Annotated[
            list[str] | None, Query(max_length=100, description="Only events of these ports, by id.")
        ] = None,
        last_event_id: Annotated[
            int | None, Header(ge=0, lt=2**31, description="As `since`, and wins over it.")
        ] = None,
    ) -> StreamingResponse:
        """What happens to ports and migrations, as it happens.

        An event `reset` comes first if events that the client missed are not kept any more.
        """
        caller = counted_as(request.scope)
        streams.check_room(caller)
        wanted = Wanted(since if last_event_id is None else last_event_id, server or (), port or ())
        closing: Any = request.scope.get(_CLOSING) or asyncio.Event()
        # Here, and not in the stream: what goes wrong now can still be said with a status.
        first = await to_thread.run_sync(streams.start, wanted.since)
        return StreamingResponse(
            streams.lines(wanted, closing, first, caller), media_type="text/event-stream", headers=_HEADERS
        )

    return router


def written(event: Event) -> str:
    """An event in the form of the stream."""
    content = asdict(event) | {"at": event.at.isoformat()}
    return f"id: {event.number}\nevent: {event.name}\ndata: {json.dumps(content)}\n\n"


async def _sleep(seconds: float, unless: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(unless.wait(), seconds)
    except TimeoutError:
        return
