"""/v2.0/{networks,subnets,subnetpools,ports}/{id}/tags: Neutron's extension `standard-attr-tag`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from kedge.serving.strict_request import StrictRoute
from kedge.store.tables import NetworkRow, PortRow, SubnetPoolRow, SubnetRow

from ..errors import InvalidInput, TagNotFound
from ..local import LocalNetworkService, networks, ports, subnet_pools, subnets
from ..local.work import Work
from .answers import TagList
from .documented import answer, shows
from .envelopes import TagsBody
from .fields import TAG_MAX

Tagged = NetworkRow | SubnetRow | SubnetPoolRow | PortRow
TagName = Annotated[str, Path(description="At most 255 characters.", examples=["lab"])]

TAGS_MAX = 64
Finder = Callable[[Work, str], Tagged]
_FINDERS: Mapping[str, tuple[Finder, Finder]] = {  # to look at its tags, and to change them
    "networks": (networks.network, networks.own_network),
    "subnets": (subnets.subnet, subnets.own_subnet),
    "subnetpools": (subnet_pools.pool, subnet_pools.own_pool),
    "ports": (ports.port, ports.own_port),
}


def routes(service: LocalNetworkService) -> APIRouter:
    """The routes for the tags of all resources that have some."""
    router = APIRouter(route_class=StrictRoute)
    for collection, finders in _FINDERS.items():
        router.include_router(_routes_of(service, collection, *finders))
    return router


def _routes_of(service: LocalNetworkService, collection: str, find: Finder, own: Finder) -> APIRouter:
    name = f"{collection.removesuffix('s')}_id"
    router = APIRouter(prefix=f"/{collection}/{{{name}}}/tags", tags=["tags"], route_class=StrictRoute)
    Id = Annotated[str, Path(alias=name)]  # noqa: N806 - it is a type

    @router.get("", **shows(TagList))
    def index(id: Id) -> Response:
        """List the tags."""
        with service.read() as work:
            return answer({"tags": find(work, id).tags})

    @router.put("", **shows(TagList))
    def replace(id: Id, body: TagsBody) -> Response:
        """Give it exactly these tags."""
        with service.write() as work:
            _set(work, own(work, id), body.tags)
        return answer({"tags": body.tags})

    @router.delete("", status_code=204)
    def clear(id: Id) -> None:
        """Take all tags away."""
        with service.write() as work:
            _set(work, own(work, id), [])

    @router.get("/{tag}", status_code=204)
    def check(id: Id, tag: TagName) -> None:
        """Ask whether it has a tag."""
        with service.read() as work:
            _require(find(work, id), tag)

    @router.put("/{tag}", status_code=201, response_class=Response)
    def add(id: Id, tag: TagName) -> Response:
        """Add a tag."""
        if len(tag) > TAG_MAX:
            raise InvalidInput(f"'{tag[:64]}…' exceeds maximum length of {TAG_MAX}.")
        with service.write() as work:
            row = own(work, id)
            if len(row.tags) >= TAGS_MAX and tag not in row.tags:
                raise InvalidInput(f"It has {TAGS_MAX} tags already; remove one first.")
            _set(work, row, [*(each for each in row.tags if each != tag), tag])
        return Response(status_code=201)

    @router.delete("/{tag}", status_code=204)
    def remove(id: Id, tag: TagName) -> None:
        """Take a tag away."""
        with service.write() as work:
            row = own(work, id)
            _require(row, tag)
            _set(work, row, [each for each in row.tags if each != tag])

    return router


def _require(row: Tagged, tag: str) -> None:
    if tag not in row.tags:
        raise TagNotFound(tag)


def _set(work: Work, row: Tagged, tags: Sequence[Any]) -> None:
    if set(tags) == set(row.tags):
        return
    row.tags = list(tags)
    row.revision_number += 1
    row.updated_at = work.now
