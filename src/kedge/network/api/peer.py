"""Who is at the other end of a connection."""

from starlette.requests import Request

SCOPE_KEY = "kedge.peer"
AGENT_ROLE = "agent"


def name_of(request: Request) -> str | None:
    """The host that the peer's verified certificate names (see `kedge.serving.server`); None without one.

    A certificate of another role than an agent's names no host.
    """
    peer = request.scope.get(SCOPE_KEY)
    return peer["name"] if peer and peer["role"] == AGENT_ROLE else None
