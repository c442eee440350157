"""/v2.0/subnetpools: Neutron's extensions `subnet_allocation` and `default-subnetpools`."""

from fastapi import APIRouter, Request, Response

from kedge.serving.strict_request import StrictRoute
from kedge.store.tables import SubnetPoolRow

from ..local import LocalNetworkService, subnet_pools
from ..local.work import Work
from . import render
from .answers import SubnetPoolAnswer, SubnetPoolList
from .attributes import judge
from .bodies import NewSubnetPool
from .documented import answer, chooses_fields, lists, shows
from .envelopes import NewSubnetPoolBody, SubnetPoolChangesBody
from .listing import one
from .paging import listed
from .revisions import Expected, require_revision
from .tag_filters import TAG_FILTERS

FILTERS = (
    "id",
    "name",
    "description",
    "project_id",
    "tenant_id",
    "ip_version",
    "min_prefixlen",
    "max_prefixlen",
    "default_prefixlen",
    "default_quota",
    "is_default",
    "shared",
    "revision_number",
    *TAG_FILTERS,
)
_CHANGEABLE = (
    "name",
    "description",
    "prefixes",
    "min_prefixlen",
    "max_prefixlen",
    "default_prefixlen",
    "default_quota",
    "is_default",
)


def routes(service: LocalNetworkService) -> APIRouter:
    """The routes for subnet pools."""
    router = APIRouter(prefix="/subnetpools", tags=["subnetpools"], route_class=StrictRoute)

    @router.post("", **shows(SubnetPoolAnswer | SubnetPoolList, 201))
    def create(body: NewSubnetPoolBody) -> Response:
        """Make a subnet pool, or several at once: all of them or none."""
        with service.write() as work:
            for new in body.wanted:
                judge(work, "create_subnetpool", new, {"shared": False, "is_default": False})
            made = [render.subnetpool(_made(work, new)) for new in body.wanted]
        return answer(body.answered(made), 201)

    @router.get("", **lists(SubnetPoolList, FILTERS))
    def index(request: Request) -> Response:
        """List subnet pools."""
        with service.read() as work:
            found = [render.subnetpool(row) for row in subnet_pools.all_pools(work)]
        return answer(listed(request, "subnetpools", found, FILTERS))

    @router.get("/{subnetpool_id}", **chooses_fields(SubnetPoolAnswer))
    def show(subnetpool_id: str, request: Request) -> Response:
        """Show a subnet pool."""
        with service.read() as work:
            shown = render.subnetpool(subnet_pools.pool(work, subnetpool_id))
        return answer({"subnetpool": one(request, shown)})

    @router.put("/{subnetpool_id}", **shows(SubnetPoolAnswer))
    def update(subnetpool_id: str, body: SubnetPoolChangesBody, expected: Expected) -> Response:
        """Change a subnet pool. What subnets have of it already stays."""
        with service.write() as work:
            row = subnet_pools.own_pool(work, subnetpool_id)
            judge(work, "update_subnetpool", body.subnetpool, {"is_default": row.is_default})
            require_revision(row, expected)
            subnet_pools.update_pool(work, row, **body.subnetpool.given(*_CHANGEABLE))
            shown = render.subnetpool(row)
        return answer({"subnetpool": shown})

    @router.delete("/{subnetpool_id}", status_code=204)
    def delete(subnetpool_id: str, expected: Expected) -> None:
        """Delete a subnet pool from which no subnet has its block."""
        with service.write() as work:
            row = subnet_pools.own_pool(work, subnetpool_id)
            require_revision(row, expected)
            subnet_pools.delete_pool(work, row)

    return router


def _made(work: Work, new: NewSubnetPool) -> SubnetPoolRow:
    return subnet_pools.create_pool(
        work, project_id=work.owner(new.project_id), **new.given(*_CHANGEABLE, "shared")
    )
