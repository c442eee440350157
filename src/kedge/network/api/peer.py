"""Who is at the other end of a connection."""

from typing import Annotated

from fastapi import Depends, Request

SCOPE_KEY = "kedge.peer"
AGENT_ROLE = "agent"


async def peer_name(request: Request) -> str | None:
    """The host that the peer's verified certificate names (see `kedge.serving.server`); None without one.

    A certificate of another role than an agent's names no host.
    """
    peer = request.scope.get(SCOPE_KEY)
    return peer["name"] if peer and peer["role"] == AGENT_ROLE else None


Peer = Annotated[str | None, Depends(peer_name)]
