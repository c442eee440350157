"""/v2.0/networks."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from kedge.model.vlan_range import VlanRange
from kedge.serving.strict_request import StrictRoute
from kedge.store.tables import NetworkRow

from ..local import LocalNetworkService, networks, quotas
from ..local.segments import chosen_segment
from ..local.work import Work
from . import render
from .answers import NetworkAnswer, NetworkList
from .attributes import judge
from .bodies import NewNetwork
from .documented import answer, chooses_fields, lists, shows
from .envelopes import NetworkChangesBody, NewNetworkBody
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
    "admin_state_up",
    "mtu",
    "status",
    "shared",
    "router:external",
    "provider:network_type",
    "provider:physical_network",
    "provider:segmentation_id",
    "revision_number",
    *TAG_FILTERS,
)


def routes(service: LocalNetworkService) -> APIRouter:
    """The routes for networks."""
    router = APIRouter(prefix="/networks", tags=["networks"], route_class=StrictRoute)

    @router.post("", **shows(NetworkAnswer | NetworkList, 201))
    def create(body: NewNetworkBody) -> Response:
        """Make a network, or several at once: all of them or none."""
        with service.write() as work:
            for new in body.wanted:
                judge(work, "create_network", new, {"shared": False})
            quotas.refuse_beyond(work, "network", [work.owner(new.project_id) for new in body.wanted])
            made = [render.network(_made(work, service.vlan_ranges, new)) for new in body.wanted]
        return answer(body.answered(made), 201)

    @router.get("", **lists(NetworkList, FILTERS))
    def index(request: Request) -> Response:
        """List networks."""
        with service.read() as work:
            found = [render.network(row) for row in networks.all_networks(work)]
        return answer(listed(request, "networks", found, FILTERS))

    @router.get("/{network_id}", **chooses_fields(NetworkAnswer))
    def show(network_id: str, request: Request) -> Response:
        """Show a network."""
        with service.read() as work:
            return answer({"network": one(request, render.network(networks.network(work, network_id)))})

    @router.put("/{network_id}", **shows(NetworkAnswer))
    def update(network_id: str, body: NetworkChangesBody, expected: Expected) -> Response:
        """Change a network's name, description or administrative state, or whether it is shared."""
        changes = body.network.given("name", "description", "admin_state_up", "shared")
        with service.write() as work:
            row = networks.own_network(work, network_id)
            judge(work, "update_network", body.network, {"shared": row.shared})
            require_revision(row, expected)
            networks.update_network(work, row, **changes)
            shown = render.network(row)
        return answer({"network": shown})

    @router.delete("/{network_id}", status_code=204)
    def delete(network_id: str, expected: Expected) -> None:
        """Delete a network that has no ports."""
        with service.write() as work:
            require_revision(networks.own_network(work, network_id), expected)
            networks.delete_network(work, network_id)

    return router


def _made(work: Work, ranges: Sequence[VlanRange], new: NewNetwork) -> NetworkRow:
    segment = chosen_segment(work, ranges, new.network_type, new.physical_network, new.segmentation_id)
    attributes = new.model_dump(include={"name", "description", "admin_state_up", "mtu", "shared"})
    return networks.create_network(work, segment=segment, project_id=work.owner(new.project_id), **attributes)
