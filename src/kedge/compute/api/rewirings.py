"""REST for rewirings, under /kedge/v1."""

from dataclasses import dataclass
from functools import cache
from typing import Annotated

from fastapi import APIRouter, Query

from kedge.model.rewiring import Rewiring, RewiringPlan
from kedge.model.server import UNKNOWN_REFUSED
from kedge.serving.strict_request import StrictRoute

from ..migrations.actor import Tools
from ..rewirings.records import RewiringRecords
from ..rewirings.rewirings import Rewirings
from .migrations import ERRORS


@dataclass(frozen=True)
class RewireRequest:
    """Wire all ports of a server as this backend of its host says; its name is the mechanism driver's."""

    __pydantic_config__ = UNKNOWN_REFUSED

    to_backend: str


def rewirings_router(tools: Tools) -> APIRouter:
    """The routes of rewirings."""
    router = APIRouter(prefix="/kedge/v1", route_class=StrictRoute, responses=ERRORS, tags=["rewirings"])

    @cache
    def rewirings() -> Rewirings:
        return Rewirings(tools, RewiringRecords(tools.migrations.engine))

    @router.post("/servers/{server}/rewire", status_code=202)
    def rewire(server: str, body: RewireRequest) -> Rewiring:
        """Begin to move the ports to another switch of the host. What is in the way is said before anything is made."""
        return rewirings().begin(tools.servers.find(server), body.to_backend)

    @router.post("/servers/{server}/rewire/plan")
    def plan_rewiring(server: str, body: RewireRequest) -> RewiringPlan:
        """What a rewiring would do; nothing is stored or made."""
        return rewirings().plan(tools.servers.find(server), body.to_backend)

    @router.get("/rewirings")
    def list_rewirings(
        server: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> list[Rewiring]:
        """Rewirings, the newest first; of one server if it is named."""
        return rewirings().records.all(tools.servers.find(server).id if server else None, limit)

    @router.get("/rewirings/{rewiring}")
    def show_rewiring(rewiring: str) -> Rewiring:
        """A rewiring by its id or the beginning of it."""
        return rewirings().records.find(rewiring)

    @router.delete("/rewirings/{rewiring}", status_code=202)
    def abort_rewiring(rewiring: str) -> Rewiring:
        """Ask for an abort: what was moved is moved back, unless every port was."""
        return rewirings().records.request_abort(rewiring)

    return router
