"""Keeping a user of a project to what belongs to it: lists are filtered, others' things are not there.

As in Neutron, somebody else's port is "not found", not "forbidden": its id says nothing to a stranger.
"""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import Engine, select

from kedge.model.errors import Forbidden, NotFound
from kedge.network.errors import NetworkNotFound, PortNotFound, SubnetNotFound
from kedge.store import reading
from kedge.store.tables import NetworkRow, PortRow, SubnetRow

_OWNER = ("project_id", "tenant_id")
_MISSING: Mapping[str, type[NotFound]] = {
    "networks": NetworkNotFound,
    "subnets": SubnetNotFound,
    "ports": PortNotFound,
}
_ROWS: Mapping[str, type[NetworkRow | SubnetRow | PortRow]] = {
    "networks": NetworkRow,
    "subnets": SubnetRow,
    "ports": PortRow,
}


class Owners(Protocol):
    """Knows which project a thing belongs to."""

    def owner(self, collection: str, resource_id: str) -> str | None:
        """The project of one of the `networks`, `subnets` or `ports`; None if there is no such thing."""
        ...


class StoredOwners:
    """Owners as the database has them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def owner(self, collection: str, resource_id: str) -> str | None:
        """The project of a resource, whose id may be spelled as the API takes it: in capitals too."""
        row = _ROWS[collection]
        with reading(self._engine) as session:
            return session.scalar(select(row.project_id).where(row.id == resource_id.lower()))


def check_owner(owners: Owners, project: str, collection: str, resource_id: str) -> None:
    """Raises the NotFound of the collection if the thing is another project's; one that isn't there passes."""
    owner = owners.owner(collection, resource_id)
    if owner not in (None, project):
        raise _MISSING[collection](resource_id)


def own_only(query: bytes, project: str) -> bytes:
    """The query of a list, so changed that nothing of other projects is in the answer."""
    # Values of one filter are alternatives, those of two filters are not; so what the caller asked for moves to
    # the other name of the same attribute.
    asked = [
        ("tenant_id" if name == "project_id" else name, value)
        for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    ]
    return urlencode([*asked, ("project_id", project)]).encode()


def owned(owners: Owners, project: str, resource: Mapping[str, Any]) -> dict[str, Any]:
    """What a user wants to make, as the project's own. Raises Forbidden, and NetworkNotFound for others' networks."""
    for name in _OWNER:
        if resource.get(name, project) != project:
            raise Forbidden(f"rule:{name} is disallowed by policy (you act for project {project})")
    network_id = resource.get("network_id")
    if isinstance(network_id, str) and owners.owner("networks", network_id) != project:
        raise NetworkNotFound(network_id)
    return {**{name: value for name, value in resource.items() if name not in _OWNER}, "project_id": project}
