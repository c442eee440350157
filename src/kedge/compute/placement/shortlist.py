"""Which hosts are looked at first when a server may go anywhere: those that have the fewest servers.

A fleet is large, and the best of some dozen hosts that have room is as good as the best of all. What is said of them
here is of a moment ago, and orders them for a first look only: filters and weights see every host of the list as it is.
"""

import threading
import time
from datetime import timedelta

from sqlalchemy import Engine, func, select

from kedge.store import reading
from kedge.store.tables import HostRow, HostSettingsRow, ServerRow

LATELY_S = 10.0
"""A list is used for so long."""

_SILENT = timedelta(minutes=1)
"""Hosts that reported so much earlier than the one that did last are not on the list: they are dead."""

_SERVERS = select(ServerRow.host, func.count().label("servers")).group_by(ServerRow.host).subquery()
_LIST = (
    select(HostRow.name)
    .outerjoin(HostSettingsRow, HostSettingsRow.host == HostRow.name)
    .outerjoin(_SERVERS, _SERVERS.c.host == HostRow.name)
    .where(HostRow.forced_down.is_(False), HostSettingsRow.disabled.is_(None))
    .order_by(func.coalesce(_SERVERS.c.servers, 0), HostRow.name)
)


class Shortlist:
    """The hosts with the fewest servers, as they were lately."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._names: list[str] = []
        self._most = 0
        self._hosts = 0

    def hosts(self) -> int:
        """How many hosts there are."""
        with self._lock:
            self._read(self._most)
            return self._hosts

    def first(self, most: int) -> list[str]:
        """At most so many hosts that are neither disabled nor off, those with the fewest servers first."""
        with self._lock:
            self._read(most)
            return self._names[:most]

    def _read(self, most: int) -> None:
        if time.monotonic() - self._read_at < LATELY_S and most <= self._most:
            return
        with reading(self._engine) as session:
            self._hosts, last = session.execute(select(func.count(), func.max(HostRow.last_seen))).one()
            lately = _LIST.where(HostRow.last_seen >= last - _SILENT) if last else _LIST
            self._names = list(session.scalars(lately.limit(most)))
        self._read_at, self._most = time.monotonic(), most
