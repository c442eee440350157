"""Nova's role: REST under /compute/v2.1, for OpenStack's clients."""

from .microversions import Microversions
from .router import nova_router

__all__ = ["Microversions", "nova_router"]
