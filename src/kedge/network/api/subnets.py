"""/v2.0/subnets."""

from typing import Any

from fastapi import APIRouter, Request, Response

from kedge.serving.strict_request import StrictRoute
from kedge.store.tables import SubnetRow

from ..local import LocalNetworkService, delegation, quotas, subnets
from ..local.work import Work
from . import render
from .answers import SubnetAnswer, SubnetList
from .attributes import judge
from .bodies import NewSubnet, SubnetChanges
from .documented import answer, chooses_fields, lists, shows
from .envelopes import NewSubnetBody, SubnetChangesBody
from .listing import one
from .paging import listed
from .revisions import Expected, require_revision
from .tag_filters import TAG_FILTERS

FILTERS = (
    "id",
    "name",
    "description",
    "network_id",
    "project_id",
    "tenant_id",
    "ip_version",
    "cidr",
    "gateway_ip",
    "enable_dhcp",
    "ipv6_ra_mode",
    "ipv6_address_mode",
    "subnetpool_id",
    "revision_number",
    *TAG_FILTERS,
)
_PLAIN = ("name", "description", "enable_dhcp", "gateway_ip", "dns_nameservers")


def routes(service: LocalNetworkService) -> APIRouter:
    """The routes for subnets."""
    router = APIRouter(prefix="/subnets", tags=["subnets"], route_class=StrictRoute)

    @router.post("", **shows(SubnetAnswer | SubnetList, 201))
    def create(body: NewSubnetBody) -> Response:
        """Make a subnet, or several at once: all of them or none."""
        with service.write() as work:
            quotas.refuse_beyond(work, "subnet", [work.owner(new.project_id) for new in body.wanted])
            made = [render.subnet(_made(work, new)) for new in body.wanted]
        return answer(body.answered(made), 201)

    @router.get("", **lists(SubnetList, FILTERS))
    def index(request: Request) -> Response:
        """List subnets."""
        with service.read() as work:
            found = [render.subnet(row) for row in subnets.all_subnets(work)]
        return answer(listed(request, "subnets", found, FILTERS))

    @router.get("/{subnet_id}", **chooses_fields(SubnetAnswer))
    def show(subnet_id: str, request: Request) -> Response:
        """Show a subnet."""
        with service.read() as work:
            return answer({"subnet": one(request, render.subnet(subnets.subnet(work, subnet_id)))})

    @router.put("/{subnet_id}", **shows(SubnetAnswer))
    def update(subnet_id: str, body: SubnetChangesBody, expected: Expected) -> Response:
        """Change a subnet. Its pools stay as they are unless they are given.

        `cidr` is for an admin, and for a subnet with prefix delegation: the prefix that its router was told.
        """
        with service.write() as work:
            is_delegation = "cidr" in body.subnet.model_fields_set
            row = (delegation.held_subnet if is_delegation else subnets.own_subnet)(work, subnet_id)
            judge(work, "update_subnet", body.subnet)
            require_revision(row, expected)
            given = _given(body.subnet)
            if is_delegation:
                delegation.set_prefix(work, row, body.subnet.cidr, given)
            subnets.update_subnet(work, row, **given)
            shown = render.subnet(row)
        return answer({"subnet": shown})

    @router.delete("/{subnet_id}", status_code=204)
    def delete(subnet_id: str, expected: Expected) -> None:
        """Delete a subnet that no port has an address from but what its guest made itself."""
        with service.write() as work:
            row = subnets.own_subnet(work, subnet_id)
            require_revision(row, expected)
            subnets.delete_subnet(work, row)

    return router


def _made(work: Work, new: NewSubnet) -> SubnetRow:
    given = {name: value for name, value in _given(new).items() if name == "gateway_ip" or value is not None}
    return subnets.create_subnet(
        work,
        new.network_id,
        new.cidr or None,
        prefixlen=new.prefixlen,
        subnetpool_id=new.subnetpool_id,
        use_default_subnetpool=new.use_default_subnetpool,
        ip_version=new.ip_version,
        ipv6_ra_mode=new.ipv6_ra_mode,
        ipv6_address_mode=new.ipv6_address_mode,
        project_id=work.owner(new.project_id),
        **given,
    )


def _given(body: SubnetChanges) -> dict[str, Any]:
    given = body.given(*_PLAIN)
    if body.allocation_pools is not None:
        given["allocation_pools"] = [(each.start, each.end) for each in body.allocation_pools]
    if "host_routes" in body.model_fields_set:
        given["host_routes"] = [each.model_dump() for each in body.host_routes or ()]
    return given
