"""/v2.0/quotas: how much projects may have, which Nova asks before it makes a server, and what they have."""

from fastapi import APIRouter, Response

from kedge.model.errors import Forbidden
from kedge.serving.strict_request import StrictRoute

from ..local import LocalNetworkService, quotas
from ..local.work import Work
from .answers import QuotaAnswer, QuotaDetailsAnswer, QuotaList
from .documented import answer, shows
from .envelopes import QuotaChangesBody


def routes(service: LocalNetworkService) -> APIRouter:
    """The routes for quotas."""
    router = APIRouter(prefix="/quotas", tags=["quotas"], route_class=StrictRoute)

    @router.get("", **shows(QuotaList))
    def index() -> Response:
        """List the projects with quotas of their own."""
        with service.read() as work:
            found = quotas.all_limits(work)
        shown = [{**limits, "project_id": project, "tenant_id": project} for project, limits in found.items()]
        return answer({"quotas": shown})

    @router.get("/{project}", **shows(QuotaAnswer))
    def show(project: str) -> Response:
        """Show how much a project may have; -1 is as much as it likes."""
        with service.read() as work:
            _require_own(work, project)
            return answer({"quota": quotas.limits(work, project)})

    @router.put("/{project}", **shows(QuotaAnswer))
    def update(project: str, body: QuotaChangesBody) -> Response:
        """Set how much a project may have. What it has beyond that stays, and nothing is added."""
        with service.write() as work:
            quotas.set_limits(work, project, body.quota.model_dump(exclude_unset=True))
            shown = quotas.limits(work, project)
        return answer({"quota": shown})

    @router.delete("/{project}", status_code=204)
    def delete(project: str) -> None:
        """Let a project have what is configured for all."""
        with service.write() as work:
            quotas.forget_limits(work, project)

    @router.get("/{project}/default", **shows(QuotaAnswer))
    def default(project: str) -> Response:
        """Show how much a project may have of which nothing is said."""
        with service.read() as work:
            _require_own(work, project)
        return answer({"quota": dict(service.rules.quotas)})

    @router.get("/{project}/details", **shows(QuotaDetailsAnswer))
    def details(project: str) -> Response:
        """Show how much a project may have, and has."""
        with service.read() as work:
            _require_own(work, project)
            limits, used = quotas.limits(work, project), quotas.counts(work, project)
        shown = {name: {"limit": limit, "used": used[name], "reserved": 0} for name, limit in limits.items()}
        return answer({"quota": shown})

    return router


def _require_own(work: Work, project: str) -> None:
    if not work.shows(project):
        raise Forbidden(f"rule:get_quota is disallowed by policy (you act for project {work.project})")
