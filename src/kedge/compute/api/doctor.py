"""REST under /kedge/v1/doctor."""

from dataclasses import dataclass
from functools import cache

from fastapi import APIRouter

from kedge.core.doctor import Finding
from kedge.network.local import LocalNetworkService
from kedge.network.service import HostRegistry
from kedge.serving.strict_request import StrictRoute

from ..doctor.census import CensusTaker
from ..doctor.doctor import Doctor, Repaired
from ..doctor.repair import Repairer
from ..migrations.actor import Tools
from .migrations import ERRORS


@dataclass(frozen=True)
class Examined:
    """What is wrong, the worst first; nothing, if all is well."""

    findings: tuple[Finding, ...]


def doctor_router(tools: Tools, own: LocalNetworkService, hosts: HostRegistry, *, nova: bool) -> APIRouter:
    """The routes of the doctor. `own` is Kedge's database; `nova`: there is one that is told of events."""
    router = APIRouter(prefix="/kedge/v1", route_class=StrictRoute, responses=ERRORS, tags=["doctor"])

    @cache
    def doctor() -> Doctor:
        taker = CensusTaker(own, tools.network, hosts, tools.agents, told=nova)
        return Doctor(taker, Repairer(tools, own.engine))

    @router.get("/doctor")
    def examine() -> Examined:
        """Compare database, bindings, hosts and domains. If anything looks wrong, it looks again after some seconds."""
        return Examined(tuple(doctor().examine()))

    @router.post("/doctor/repair")
    def repair() -> Repaired:
        """Put right what can be put right without touching a running VM; answers what was done and what is left."""
        return doctor().repair()

    return router


__all__ = ["doctor_router"]
