"""/v2.0/networks."""

from fastapi import APIRouter, Request

from kedge.model.network import NetworkType, Segment

from ..local import LocalNetworkService, networks
from . import render
from .bodies import NetworkChangesBody, NewNetworkBody
from .listing import many, one
from .render import Json

FILTERS = (
    "id",
    "name",
    "description",
    "project_id",
    "tenant_id",
    "admin_state_up",
    "mtu",
    "status",
    "shared",
    "router:external",
    "provider:network_type",
    "provider:physical_network",
    "provider:segmentation_id",
    "revision_number",
)


def routes(service: LocalNetworkService) -> APIRouter:
    """The routes for networks."""
    router = APIRouter(prefix="/networks", tags=["networks"])

    @router.post("", status_code=201)
    def create(body: NewNetworkBody) -> Json:
        """Make a network."""
        new = body.network
        segment = Segment(NetworkType(new.network_type), new.physical_network, new.segmentation_id)
        attributes = new.model_dump(include={"name", "description", "admin_state_up", "project_id", "mtu"})
        with service.write() as work:
            return {"network": render.network(networks.create_network(work, segment=segment, **attributes))}

    @router.get("")
    def index(request: Request) -> Json:
        """List networks."""
        with service.read() as work:
            found = [render.network(row) for row in networks.all_networks(work)]
        return {"networks": many(request, found, FILTERS)}

    @router.get("/{network_id}")
    def show(network_id: str, request: Request) -> Json:
        """Show a network."""
        with service.read() as work:
            return {"network": one(request, render.network(networks.network(work, network_id)))}

    @router.put("/{network_id}")
    def update(network_id: str, body: NetworkChangesBody) -> Json:
        """Change a network's name, description or administrative state."""
        changes = body.network.given("name", "description", "admin_state_up")
        with service.write() as work:
            return {"network": render.network(networks.update_network(work, network_id, **changes))}

    @router.delete("/{network_id}", status_code=204)
    def delete(network_id: str) -> None:
        """Delete a network that has no ports."""
        with service.write() as work:
            networks.delete_network(work, network_id)

    return router
