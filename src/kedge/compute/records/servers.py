"""Servers in the database."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine, Row, bindparam, or_, select

from kedge.core.domain_xml import without_secrets
from kedge.core.domain_xml.parse import parse
from kedge.core.placement import demand_of
from kedge.core.placement.groups import refuse_contradiction
from kedge.core.placement.labels import changed
from kedge.model.errors import BadRequest, Conflict, NotFound
from kedge.model.placement import Demand
from kedge.model.server import Server
from kedge.store import batched, now, one_statement, reading, transaction
from kedge.store.tables import ServerRow

from .migrations import refuse_second_migration
from .rooms import lock_promises

# Without objects for rows, and without the XML.
_PLAIN = select(
    ServerRow.id, ServerRow.name, ServerRow.host, ServerRow.status, ServerRow.labels, ServerRow.demand
)
_ONE = _PLAIN.where(or_(ServerRow.id == bindparam("wanted"), ServerRow.name == bindparam("wanted")))


class ServerRecords:
    """The servers that Kedge knows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[Server]:
        """All servers, by name."""
        with reading(self._engine) as session:
            rows = session.execute(_PLAIN.order_by(ServerRow.name, ServerRow.id))
            return [_server(row) for row in rows]

    def some(self, ids: Iterable[str]) -> list[Server]:
        """Those of these that there are, in no order."""
        found: list[Server] = []
        with reading(self._engine) as session:
            for some in batched(ids):
                found += map(_server, session.execute(_PLAIN.where(ServerRow.id.in_(some))))
        return found

    def named(self, ids_or_names: Iterable[str]) -> list[Server]:
        """The servers with these ids or names, each once, in this order. Raises as `find`."""
        wanted = list(dict.fromkeys(ids_or_names))
        found: dict[str, list[Server]] = {}
        with reading(self._engine) as session:
            for some in batched(wanted):
                query = _PLAIN.where(or_(ServerRow.id.in_(some), ServerRow.name.in_(some)))
                for server in map(_server, session.execute(query)):
                    for key in {server.id, server.name}:
                        found.setdefault(key, []).append(server)
        one = [found[each][0] if len(found.get(each, ())) == 1 else self.find(each) for each in wanted]
        return list({each.id: each for each in one}.values())

    def on(self, *hosts: str) -> list[Server]:
        """The servers on these hosts, by name."""
        found: list[Server] = []
        with reading(self._engine) as session:
            for some in batched(hosts):
                found += map(_server, session.execute(_PLAIN.where(ServerRow.host.in_(some))))
        return sorted(found, key=lambda each: (each.name, each.id))

    def find(self, id_or_name: str) -> Server:
        """The server with this id or name. Raises NotFound; BadRequest if several have the name."""
        with one_statement(self._engine) as connection:
            rows = connection.execute(_ONE, {"wanted": id_or_name}).all()
        if not rows:
            raise NotFound(f"There is no server {id_or_name!r}; `kedge server list` shows those there are.")
        if len(rows) > 1:
            ids = ", ".join(row.id for row in rows)
            raise BadRequest(f"Several servers are named {id_or_name!r}; use an id: {ids}")
        return _server(rows[0])

    def add(self, server: Server, xml: str) -> None:
        """Store a new server, its XML without secrets. Raises Conflict if the id or the name is taken."""
        kept = without_secrets(xml)
        with transaction(self._engine) as session:
            taken = session.scalars(
                select(ServerRow).where(or_(ServerRow.id == server.id, ServerRow.name == server.name))
            ).first()
            if taken is not None:
                raise Conflict(f"There is a server {taken.name!r} ({taken.id}) on {taken.host} already.")
            at = now(self._engine)
            row = ServerRow(**asdict(server), xml=kept, created_at=at, updated_at=at)
            row.demand = asdict(demand_of(parse(kept)))
            session.add(row)

    def change(self, server_id: str, *, status: str | None = None, host: str | None = None) -> None:
        """Change a server's status or host; one that was deleted meanwhile stays deleted."""
        with transaction(self._engine) as session:
            row = session.get(ServerRow, server_id)
            if row is None:
                return
            row.status = status or row.status
            row.host = host or row.host
            row.updated_at = now(self._engine)

    def label(self, server_id: str, changes: Mapping[str, str | None]) -> Server:
        """Set labels, and take those off whose value is None.

        Raises NotFound; BadRequest for labels that are refused, or contradict another server's.
        """
        with transaction(self._engine) as session:
            lock_promises(session)  # Groups change between two promises, not within one.
            row = session.get(ServerRow, server_id)
            if row is None:
                raise NotFound(f"Server {server_id} was deleted meanwhile.")
            labels = changed(row.labels, changes)
            others = session.execute(
                select(ServerRow.name, ServerRow.labels).where(ServerRow.id != server_id)
            ).all()
            refuse_contradiction(row.name, labels, ((each.name, each.labels) for each in others))
            row.labels, row.updated_at = labels, now(self._engine)
            return _server(row)

    def refuse_while_migrating(self, server_id: str) -> None:
        """Raises Conflict if a migration or a rewiring of this server is under way."""
        with reading(self._engine) as session:
            refuse_second_migration(session, server_id)

    def delete(self, server_id: str) -> None:
        """Forget a server and its migrations. Raises Conflict while one of them is under way."""
        with transaction(self._engine) as session:
            refuse_second_migration(session, server_id)
            row = session.get(ServerRow, server_id)
            if row is not None:
                session.delete(row)


def _server(row: ServerRow | Row[Any]) -> Server:
    return Server(row.id, row.name, row.host, row.status, row.labels, Demand(**row.demand))
