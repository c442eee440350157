"""What stands between a listening socket and the application: how much one caller may take, and for how long."""

from .limits import AgentLimits, AgentsLimits, ClientsLimits, Limits, SocketLimits, fitted
from .peers import peer_of

__all__ = [
    "AgentLimits",
    "AgentsLimits",
    "ClientsLimits",
    "Limits",
    "SocketLimits",
    "fitted",
    "peer_of",
]
