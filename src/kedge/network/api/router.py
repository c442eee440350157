"""All of `/network` as one router."""

from fastapi import APIRouter

from ..local import LocalNetworkService
from . import (
    agents,
    binding_extensions,
    bindings,
    discovery,
    networks,
    ports,
    quotas,
    subnet_pools,
    subnets,
    tags,
)
from .documented import ERRORS


def network_router(service: LocalNetworkService) -> APIRouter:
    """The routes under `/network`, with the shapes, statuses and errors of Neutron's API v2.0."""
    router = APIRouter(responses=ERRORS)
    # In the order in which they are tried: what clients ask most comes first.
    for part in (ports, bindings, binding_extensions, networks, subnets, subnet_pools, agents, tags, quotas):
        router.include_router(part.routes(service), prefix="/network/v2.0")
    router.include_router(discovery.routes())
    return router
