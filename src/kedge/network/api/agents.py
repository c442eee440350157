"""/v2.0/agents."""

from fastapi import APIRouter, Request, Response

from kedge.serving.strict_request import StrictRoute
from kedge.store.tables import AgentRow, HostRow

from ..local import LocalNetworkService, hosts
from ..local.work import Work
from . import render
from .answers import AgentAnswer, AgentList
from .documented import answer, chooses_fields, lists, shows
from .envelopes import AgentChangesBody
from .listing import one
from .paging import listed
from .render import Json

FILTERS = (
    "id",
    "agent_type",
    "binary",
    "host",
    "admin_state_up",
    "alive",
    "topic",
    "description",
    "availability_zone",
)


def routes(service: LocalNetworkService) -> APIRouter:
    """The routes for agents."""
    router = APIRouter(prefix="/agents", tags=["agents"], route_class=StrictRoute)

    @router.get("", **lists(AgentList, FILTERS))
    def index(request: Request) -> Response:
        """List agents."""
        with service.read() as work:
            found = [_rendered(work, row, host) for row, host in hosts.agents(work)]
        return answer(listed(request, "agents", found, FILTERS))

    @router.get("/{agent_id}", **chooses_fields(AgentAnswer))
    def show(agent_id: str, request: Request) -> Response:
        """Show an agent."""
        with service.read() as work:
            return answer({"agent": one(request, _rendered(work, *hosts.agent(work, agent_id)))})

    @router.put("/{agent_id}", **shows(AgentAnswer))
    def update(agent_id: str, body: AgentChangesBody) -> Response:
        """Change an agent's description, or whether ports are bound by it."""
        with service.write() as work:
            row, host = hosts.agent(work, agent_id)
            for name, value in body.agent.given("admin_state_up", "description").items():
                setattr(row, name, value)
            shown = _rendered(work, row, host)
        return answer({"agent": shown})

    @router.delete("/{agent_id}", status_code=204)
    def delete(agent_id: str) -> None:
        """Forget an agent."""
        with service.write() as work:
            hosts.delete_agent(work, agent_id)

    return router


def _rendered(work: Work, row: AgentRow, host: HostRow) -> Json:
    return render.agent(row, host, hosts.alive(work, host))
