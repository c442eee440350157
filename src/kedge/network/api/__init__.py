"""REST: `/network/v2.0` for OpenStack's clients, and `/agent/v1` for Kedge's agents."""

from .agent_reports import agent_router
from .elsewhere import elsewhere_router
from .errors import install_error_handlers
from .router import network_router

__all__ = ["agent_router", "elsewhere_router", "install_error_handlers", "network_router"]
