"""What is on offer: versions, resources and extensions."""

from typing import Any

from fastapi import APIRouter, Request, Response

from kedge.model.errors import NotFound
from kedge.serving.strict_request import StrictRoute

from .answers import ExtensionAnswer, ExtensionList, ResourceList, VersionList
from .documented import answer, shows

_RESOURCES = {
    "network": "networks",
    "subnet": "subnets",
    "subnetpool": "subnetpools",
    "port": "ports",
    "agent": "agents",
}

# alias: (name, description), as Neutron lists them
_NEUTRONS = {
    "agent": ("agent", "The agent management extension."),
    "allowed-address-pairs": ("Allowed Address Pairs", "Provides allowed address pairs"),
    "binding": ("Port Binding", "Expose port bindings of a virtual port to external application"),
    "binding-extended": (
        "Port Bindings Extended",
        "Expose port bindings of a virtual port to external application",
    ),
    "default-subnetpools": (
        "Default Subnetpools",
        "Provides ability to mark and use a subnetpool as the default.",
    ),
    "filter-validation": (
        "Filter parameters validation",
        "Provides validation on filter parameters.",
    ),
    "ip-substring-filtering": (
        "IP address substring filtering",
        "Provides IP address substring filtering when listing ports",
    ),
    "net-mtu": ("Network MTU", "Provides MTU attribute for a network resource."),
    "pagination": ("Pagination support", "Extension that indicates that pagination is enabled."),
    "project-id": ("project_id field enabled", "Extension that indicates that project_id field is enabled."),
    "provider": ("Provider Network", "Expose mapping of virtual networks to physical networks"),
    "quota_details": (
        "Quota details management support",
        "Expose functions for quotas usage statistics per project",
    ),
    "quotas": ("Quota management support", "Expose functions for quotas management per project"),
    "revision-if-match": (
        "If-Match constraints based on revision_number",
        "Extension indicating that If-Match based on revision_number is supported.",
    ),
    "sorting": ("Sorting support", "Extension that indicates that sorting is enabled."),
    "standard-attr-description": (
        "standard-attr-description",
        "Extension to add descriptions to standard attributes",
    ),
    "standard-attr-revisions": (
        "Resource revision numbers",
        "This extension will display the revision number of neutron resources.",
    ),
    "standard-attr-tag": (
        "Tag support for resources with standard attribute: network, subnet, subnetpool, port",
        "Enables to set tag on resources with standard attribute.",
    ),
    "standard-attr-timestamp": (
        "Resource timestamps",
        "Adds created_at and updated_at fields to all Neutron resources that have Neutron standard attributes.",
    ),
    "subnet_allocation": ("Subnet Allocation", "Enables allocation of subnets from a subnet pool"),
    "tag-ports-during-bulk-creation": (
        "Tag Ports During Bulk Creation",
        "Allow to tag ports during bulk creation",
    ),
}
_KEDGES = {
    "binding-ownership": (
        "Port binding ownership",
        "Kedge: a binding shows the migration_id that it belongs to. A binding that is made with one adopts, and "
        "makes anew, what a dead migration left INACTIVE on that host, instead of a 409.",
    ),
    "binding-preview": (
        "Port binding preview",
        "Kedge: GET /ports/{id}/bindings/{host}/preview shows how a port would be bound on a host and stores "
        "nothing; 409 with every mechanism driver's reason if it can't be.",
    ),
    "binding-switch": (
        "Port binding switch",
        "Kedge: PUT /binding-switch activates the bindings on one host of all ports of a server: all or none.",
    ),
    "binding-vif-status": (
        "Port binding VIF status",
        "Kedge: every binding shows as vif_status the state of its device on its host: ACTIVE, BUILD (the "
        "hypervisor will make it) or DOWN.",
    ),
}
_EXTENSIONS = _NEUTRONS | _KEDGES


def routes() -> APIRouter:
    """Version discovery, as keystoneauth does it, and the list of extensions."""
    router = APIRouter(prefix="/network", tags=["discovery"], route_class=StrictRoute)

    @router.get("", **shows(VersionList))
    @router.get("/", include_in_schema=False)
    def versions(request: Request) -> Response:
        """List the versions of the API; there is one."""
        links = [{"rel": "self", "href": f"{_base(request)}/v2.0/"}]
        return answer({"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})

    @router.get("/v2.0", **shows(ResourceList))
    @router.get("/v2.0/", include_in_schema=False)
    def resources(request: Request) -> Response:
        """List the resources of this version."""
        listed = [
            {
                "name": name,
                "collection": collection,
                "links": [{"rel": "self", "href": f"{_base(request)}/v2.0/{collection}"}],
            }
            for name, collection in _RESOURCES.items()
        ]
        return answer({"resources": listed})

    @router.get("/v2.0/extensions", **shows(ExtensionList))
    def extensions() -> Response:
        """List the extensions of Neutron's API that are here, and Kedge's own."""
        return answer({"extensions": [_extension(alias) for alias in _EXTENSIONS]})

    @router.get("/v2.0/extensions/{alias}", **shows(ExtensionAnswer))
    def extension(alias: str) -> Response:
        """Show one extension."""
        if alias not in _EXTENSIONS:
            raise NotFound(f"Extension {alias} could not be found.")
        return answer({"extension": _extension(alias)})

    return router


def _extension(alias: str) -> dict[str, Any]:
    name, description = _EXTENSIONS[alias]
    updated = "2026-01-01T00:00:00-00:00"
    return {"name": name, "alias": alias, "description": description, "updated": updated, "links": []}


def _base(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}/network"
