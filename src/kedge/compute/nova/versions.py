"""The version documents, by which clients find out what is on offer."""

from typing import Any

from fastapi import APIRouter, Request

from .links import base
from .microversions import NEWEST, OLDEST

_UPDATED = "2013-07-23T11:33:21Z"  # Nova's own, of its API v2.1


def add_version_routes(router: APIRouter) -> None:
    """Add `/compute` and `/compute/v2.1`, each with and without a slash at its end."""

    @router.get("/compute", tags=["compute"])
    @router.get("/compute/", include_in_schema=False)
    def versions(request: Request) -> dict[str, Any]:
        """The versions of the API; there is one."""
        return {"versions": [_version(request)]}

    @router.get("/compute/v2.1", tags=["compute"])
    @router.get("/compute/v2.1/", include_in_schema=False)
    def version(request: Request) -> dict[str, Any]:
        """The one version."""
        media = {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
        return {"version": _version(request) | {"media-types": [media]}}


def _version(request: Request) -> dict[str, Any]:
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": f"2.{NEWEST}",
        "min_version": f"2.{OLDEST}",
        "updated": _UPDATED,
        "links": [{"rel": "self", "href": f"{base(request)}/v2.1/"}],
    }
