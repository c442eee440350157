"""What is on offer: versions, resources and extensions."""

from typing import Any

from fastapi import APIRouter, Request

from kedge.model.errors import NotFound

_RESOURCES = {"network": "networks", "subnet": "subnets", "port": "ports", "agent": "agents"}

# alias: (name, description), as Neutron lists them
_EXTENSIONS = {
    "agent": ("agent", "The agent management extension."),
    "allowed-address-pairs": ("Allowed Address Pairs", "Provides allowed address pairs"),
    "binding": ("Port Binding", "Expose port bindings of a virtual port to external application"),
    "binding-extended": (
        "Port Bindings Extended",
        "Expose port bindings of a virtual port to external application",
    ),
    "net-mtu": ("Network MTU", "Provides MTU attribute for a network resource."),
    "pagination": ("Pagination support", "Extension that indicates that pagination is enabled."),
    "project-id": ("project_id field enabled", "Extension that indicates that project_id field is enabled."),
    "provider": ("Provider Network", "Expose mapping of virtual networks to physical networks"),
    "sorting": ("Sorting support", "Extension that indicates that sorting is enabled."),
    "standard-attr-description": (
        "standard-attr-description",
        "Extension to add descriptions to standard attributes",
    ),
    "standard-attr-revisions": (
        "Resource revision numbers",
        "This extension will display the revision number",
    ),
    "standard-attr-timestamp": ("Resource timestamps", "Adds created_at and updated_at fields"),
}


def routes() -> APIRouter:
    """Version discovery, as keystoneauth does it, and the list of extensions."""
    router = APIRouter(prefix="/network", tags=["discovery"])

    @router.get("")
    @router.get("/", include_in_schema=False)
    def versions(request: Request) -> dict[str, Any]:
        """List the versions of the API; there is one."""
        links = [{"rel": "self", "href": f"{_base(request)}/v2.0/"}]
        return {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]}

    @router.get("/v2.0")
    @router.get("/v2.0/", include_in_schema=False)
    def resources(request: Request) -> dict[str, Any]:
        """List the resources of this version."""
        return {
            "resources": [
                {
                    "name": name,
                    "collection": collection,
                    "links": [{"rel": "self", "href": f"{_base(request)}/v2.0/{collection}"}],
                }
                for name, collection in _RESOURCES.items()
            ]
        }

    @router.get("/v2.0/extensions")
    def extensions() -> dict[str, Any]:
        """List the extensions of Neutron's API that are here."""
        return {"extensions": [_extension(alias) for alias in _EXTENSIONS]}

    @router.get("/v2.0/extensions/{alias}")
    def extension(alias: str) -> dict[str, Any]:
        """Show one extension."""
        if alias not in _EXTENSIONS:
            raise NotFound(f"Extension {alias} could not be found.")
        return {"extension": _extension(alias)}

    return router


def _extension(alias: str) -> dict[str, Any]:
    name, description = _EXTENSIONS[alias]
    updated = "2026-01-01T00:00:00-00:00"
    return {"name": name, "alias": alias, "description": description, "updated": updated, "links": []}


def _base(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}/network"
