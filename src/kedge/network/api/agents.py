"""/v2.0/agents."""

from fastapi import APIRouter, Request

from kedge.store.tables import AgentRow, HostRow

from ..local import LocalNetworkService, hosts
from ..local.work import Work
from . import render
from .listing import many, one
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
    router = APIRouter(prefix="/agents", tags=["agents"])

    @router.get("")
    def index(request: Request) -> Json:
        """List agents."""
        with service.read() as work:
            found = [_rendered(work, row, host) for row, host in hosts.agents(work)]
        return {"agents": many(request, found, FILTERS)}

    @router.get("/{agent_id}")
    def show(agent_id: str, request: Request) -> Json:
        """Show an agent."""
        with service.read() as work:
            return {"agent": one(request, _rendered(work, *hosts.agent(work, agent_id)))}

    @router.delete("/{agent_id}", status_code=204)
    def delete(agent_id: str) -> None:
        """Forget an agent."""
        with service.write() as work:
            hosts.delete_agent(work, agent_id)

    return router


def _rendered(work: Work, row: AgentRow, host: HostRow) -> Json:
    return render.agent(row, host, hosts.alive(work, host))
