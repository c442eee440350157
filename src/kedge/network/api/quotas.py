"""/v2.0/quotas: that nothing is limited, which Nova asks before it makes a server, and what a project has."""

from fastapi import APIRouter, Response

from kedge.model.errors import Forbidden
from kedge.serving.strict_request import StrictRoute

from ..local import LocalNetworkService
from ..local.usage import counts
from ..local.work import Work
from .answers import QuotaAnswer, QuotaDetailsAnswer, QuotaList
from .documented import answer, shows

UNLIMITED = -1
RESOURCES = ("network", "subnet", "port")


def routes(service: LocalNetworkService) -> APIRouter:
    """The routes for quotas."""
    router = APIRouter(prefix="/quotas", tags=["quotas"], route_class=StrictRoute)

    @router.get("", **shows(QuotaList))
    def index() -> Response:
        """List the projects with quotas of their own: none has."""
        return answer({"quotas": []})

    @router.get("/{project}", **shows(QuotaAnswer))
    @router.get("/{project}/default", **shows(QuotaAnswer))
    def show(project: str) -> Response:
        """Show that a project may have as much as it likes."""
        with service.read() as work:
            _require_own(work, project)
        return answer({"quota": dict.fromkeys(RESOURCES, UNLIMITED)})

    @router.get("/{project}/details", **shows(QuotaDetailsAnswer))
    def details(project: str) -> Response:
        """Show how much a project has."""
        with service.read() as work:
            _require_own(work, project)
            used = counts(work, project)
        shown = {name: {"limit": UNLIMITED, "used": used[name], "reserved": 0} for name in RESOURCES}
        return answer({"quota": shown})

    return router


def _require_own(work: Work, project: str) -> None:
    if not work.shows(project):
        raise Forbidden(f"rule:get_quota is disallowed by policy (you act for project {work.project})")
