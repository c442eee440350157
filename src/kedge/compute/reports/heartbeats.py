"""Heartbeats of agents: what an agent sends as long as its last report still says everything.

Nearly all that agents have to say is that nothing changed. So a heartbeat is taken without the frameworks that take
requests and rows apart elsewhere: its path names the host and the report, and a few plain statements tell whether
the host's rows are still those that its last report was answered from. If they are, that answer is given again as
one word. If anything differs, or this process does not know that report, the agent is asked for a whole one.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import structlog
from sqlalchemy import Connection, Engine, bindparam, text, update
from starlette.types import ASGIApp, Receive, Scope, Send

from kedge.store import in_words, now, statements
from kedge.store.tables import HostRow
from kedge.wire.messages import HostDuties, HostReport

from ..hosts.around import HostsAround
from .discard_duties import HostsWithDiscards

log = structlog.get_logger(__name__)

_PATH = re.compile(r"/agent/v1/hosts/([^/]+)/heartbeat")
_THREADS = 4

_SEEN = update(HostRow).where(HostRow.name == bindparam("host")).values(last_seen=bindparam("at"))

_ROWS = tuple(
    text(query)
    for query in (
        """SELECT h.url, h.libvirt_uri, h.migrate_uri, h.migration_network, h.libvirt_version, h.running, h.forced_down,
        a.id, a.backend,
        (SELECT max(number) FROM rewirings WHERE host = :host AND finished_at IS NULL),
        (SELECT count(*) FROM rewirings WHERE host = :host AND finished_at IS NULL),
        (SELECT count(*) FROM rewirings WHERE host = :host AND finished_at IS NULL AND committed)
        FROM hosts h LEFT JOIN agents a ON a.host = h.name WHERE h.name = :host ORDER BY a.position""",
        """SELECT b.port_id, b.vif_type, b.vif_details, b.vif_state, p.mac_address,
        n.id, n.network_type, n.physical_network, n.segmentation_id, n.mtu, a.ip_address
        FROM bindings b JOIN ports p ON p.id = b.port_id JOIN networks n ON n.id = p.network_id
        LEFT JOIN addresses a ON a.port_id = b.port_id WHERE b.host = :host ORDER BY p.number, a.number""",
    )
)
"""All that a report changes and that duties are made of, as the database gives it."""

_Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class _Taken:
    """A report, and the host's rows after it was taken and before its duties were read."""

    report: HostReport
    rows: _Rows


class HostsWithHeartbeats(HostsAround):
    """A `HostRegistry` that also takes heartbeats of the reports that it answered itself."""

    def __init__(
        self, hosts: HostsWithDiscards, engine: Engine, *, clock: Callable[[], datetime] | None = None
    ) -> None:
        """`clock` gives the present time; the database's own, unless tests put another in."""
        super().__init__(hosts)
        self._discards = hosts
        self._clock = clock or partial(now, engine)
        self._engine = engine
        self._taken: dict[str, _Taken] = {}
        self._answered: dict[str, _Taken] = {}

    def record_host(self, report: HostReport) -> None:
        """Keep what an agent says of its host."""
        self._answered.pop(report.host, None)
        super().record_host(report)
        with statements(self._engine, read_only=True) as connection:
            self._taken[report.host] = _Taken(report, _rows(connection, report.host))

    def duties(self, host: str) -> HostDuties:
        """What a host's agent is to keep plugged; from now on heartbeats do, if its report has an id."""
        taken = self._taken.pop(host, None)
        duties = super().duties(host)
        if taken is None or not taken.report.id or not duties.known or duties.discard:
            return duties
        self._answered[host] = taken
        return replace(duties, heartbeats=True)

    def beat(self, host: str, report_id: str) -> bool:
        """Note that a host's agent lives; whether its report with this id, and the duties it had, still hold."""
        answered = self._answered.get(host)
        if (
            answered is None
            or answered.report.id != report_id
            or self._discards.discard_orders(answered.report)
        ):
            return False
        with statements(self._engine) as connection:
            connection.execute(_SEEN, {"host": host, "at": self._clock()})
            return _rows(connection, host) == answered.rows


def _rows(connection: Connection, host: str) -> _Rows:
    return [tuple(row) for query in _ROWS for row in connection.execute(query, {"host": host})]


class TakesHeartbeats:
    """An ASGI application that answers heartbeats, and passes everything else on.

    The answer is `true`, or `false` if a report is wanted. An agent speaks only for the host of its certificate.
    """

    def __init__(self, app: ASGIApp, hosts: HostsWithHeartbeats) -> None:
        self._app = app
        self._hosts = hosts
        # Of their own: clients' requests, which may wait for hosts and databases, hold up no heartbeat.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="heartbeat")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        path = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        peer = scope.get("kedge.peer") or {}
        if path is None or (peer.get("role"), peer.get("name")) != ("agent", path[1]):
            await self._app(scope, receive, send)
            return
        report_id = parse_qs(scope["query_string"].decode("latin-1")).get("report", [""])[0]
        answer = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._beat, path[1], report_id
        )
        body = b"true" if answer else b"false"
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    def _beat(self, host: str, report_id: str) -> bool:
        try:
            return self._hosts.beat(host, report_id)
        except Exception as error:  # the report that is asked for then is told what is wrong
            log.warning("can't take a heartbeat", host=host, error=in_words(error))
            return False


__all__ = ["HostsWithHeartbeats", "TakesHeartbeats"]
