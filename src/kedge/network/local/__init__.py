"""Kedge's own network service, on its own database."""

from .service import LocalNetworkService

__all__ = ["LocalNetworkService"]
