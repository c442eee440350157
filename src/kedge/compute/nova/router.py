"""All routes of Nova's role."""

from fastapi import APIRouter

from kedge.serving.strict_request import StrictRoute

from ..migrations.conductor import Conductor
from .actions import add_action_routes
from .migrations import add_migration_routes
from .servers import add_server_routes
from .versions import add_version_routes


def nova_router(conductor: Conductor) -> APIRouter:
    """The routes under /compute. `Microversions` has to be around them."""
    router = APIRouter(route_class=StrictRoute)
    add_version_routes(router)
    add_server_routes(router, conductor.tools)
    add_action_routes(router, conductor)
    add_migration_routes(router, conductor.tools)
    return router
