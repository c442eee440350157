"""`/network` where an external Neutron is the network service: it says where networks and ports are kept."""

from typing import NoReturn

from fastapi import APIRouter

from kedge.model.errors import NotFound


def elsewhere_router(cloud: str) -> APIRouter:
    """Routes that send a caller to the cloud whose Neutron keeps the networks."""
    router = APIRouter()

    @router.api_route(
        "/network/{path:path}",
        methods=["GET", "POST", "PUT", "DELETE"],
        include_in_schema=False,
        response_model=None,
    )
    def elsewhere(path: str) -> NoReturn:
        raise NotFound(
            f"Networks, ports and bindings are kept by the Neutron of cloud {cloud!r}, not here; "
            f"ask it, for example with `openstack --os-cloud {cloud} port list`."
        )

    return router
