"""/v2.0/subnets."""

from fastapi import APIRouter, Request

from ..local import LocalNetworkService, networks
from . import render
from .bodies import NewSubnetBody
from .listing import many, one
from .render import Json

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
    "revision_number",
)


def routes(service: LocalNetworkService) -> APIRouter:
    """The routes for subnets."""
    router = APIRouter(prefix="/subnets", tags=["subnets"])

    @router.post("", status_code=201)
    def create(body: NewSubnetBody) -> Json:
        """Make a subnet."""
        attributes = body.subnet.model_dump(exclude={"network_id", "cidr"})
        if "gateway_ip" not in body.subnet.model_fields_set:
            attributes["gateway_ip"] = ""
        with service.write() as work:
            row = networks.create_subnet(work, body.subnet.network_id, body.subnet.cidr, **attributes)
            return {"subnet": render.subnet(row)}

    @router.get("")
    def index(request: Request) -> Json:
        """List subnets."""
        with service.read() as work:
            found = [render.subnet(row) for row in networks.all_subnets(work)]
        return {"subnets": many(request, found, FILTERS)}

    @router.get("/{subnet_id}")
    def show(subnet_id: str, request: Request) -> Json:
        """Show a subnet."""
        with service.read() as work:
            return {"subnet": one(request, render.subnet(networks.subnet(work, subnet_id)))}

    @router.delete("/{subnet_id}", status_code=204)
    def delete(subnet_id: str) -> None:
        """Delete a subnet that no port has an address from."""
        with service.write() as work:
            networks.delete_subnet(work, subnet_id)

    return router
