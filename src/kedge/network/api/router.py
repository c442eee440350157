"""All of `/network` as one router."""

from fastapi import APIRouter

from ..local import LocalNetworkService
from . import agents, bindings, discovery, networks, ports, subnets


def network_router(service: LocalNetworkService) -> APIRouter:
    """The routes under `/network`, with the shapes, statuses and errors of Neutron's API v2.0."""
    router = APIRouter()
    router.include_router(discovery.routes())
    for part in (networks, subnets, ports, bindings, agents):
        router.include_router(part.routes(service), prefix="/network/v2.0")
    return router
