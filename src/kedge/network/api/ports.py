"""/v2.0/ports."""

from typing import Any

from fastapi import APIRouter, Request

from kedge.store.tables import PortRow

from ..local import LocalNetworkService, bindings, ports, views
from ..local.ports import WantedAddress
from ..local.work import Work
from . import render
from .bodies import NewPortBody, PortChanges, PortChangesBody
from .listing import many, one
from .render import Json

_COLUMNS = ("id", "network_id", "device_id")  # These the database looks for; the rest is compared here.
FILTERS = (
    *_COLUMNS,
    "device_owner",
    "mac_address",
    "name",
    "description",
    "project_id",
    "tenant_id",
    "admin_state_up",
    "status",
    "fixed_ips",
    "binding:host_id",
    "binding:vif_type",
    "binding:vnic_type",
    "revision_number",
)
_PLAIN = ("name", "description", "admin_state_up", "device_id", "device_owner", "vnic_type")


def routes(service: LocalNetworkService) -> APIRouter:
    """The routes for ports."""
    router = APIRouter(prefix="/ports", tags=["ports"])

    @router.post("", status_code=201)
    def create(body: NewPortBody) -> Json:
        """Make a port, and bind it if a host is given; where that can't be, the port is `binding_failed`."""
        new = body.port
        with service.write() as work:
            row = ports.create_port(
                work,
                new.network_id,
                mac_address=new.mac_address,
                addresses=_wanted(new),
                profile=bindings.merged({}, new.profile or {}),
                project_id=new.project_id,
                tags=new.tags,
                **new.model_dump(include=set(_PLAIN)),
                **_pairs(new),
            )
            bindings.move(work, row, new.host_id or "")
            return {"port": render.port(row)}

    @router.get("")
    def index(request: Request) -> Json:
        """List ports."""
        equal = {key: request.query_params.getlist(key) for key in _COLUMNS if key in request.query_params}
        with service.read() as work:
            found = [render.port(row) for row in ports.ports(work, equal)]
        return {"ports": many(request, found, FILTERS)}

    @router.get("/{port_id}")
    def show(port_id: str, request: Request) -> Json:
        """Show a port."""
        with service.read() as work:
            return {"port": one(request, render.port(ports.port(work, port_id)))}

    @router.put("/{port_id}")
    def update(port_id: str, body: PortChangesBody) -> Json:
        """Change a port. `binding:host_id` moves its ACTIVE binding, which a running server's port refuses."""
        changes = body.port
        with service.write() as work:
            row = ports.port(work, port_id, lock=True)
            if changes.mac_address is not None:
                ports.set_mac(work, row, changes.mac_address)
            addresses = _wanted(changes)
            if addresses is not None:
                ports.set_addresses(work, row, addresses)
            ports.update_port(work, row, **changes.given(*_PLAIN), **_pairs(changes))
            _update_binding(work, row, changes)
            return {"port": render.port(row)}

    @router.delete("/{port_id}", status_code=204)
    def delete(port_id: str) -> None:
        """Delete a port with its bindings; a running server's port refuses."""
        with service.write() as work:
            row = ports.port(work, port_id, lock=True)
            ports.refuse_in_use(work, row)
            ports.delete_port(work, row)

    return router


def _update_binding(work: Work, row: PortRow, changes: PortChanges) -> None:
    active = views.active(row)
    if "host_id" in changes.model_fields_set:
        host = changes.host_id or ""
        if active and active.host != host:
            ports.refuse_in_use(work, row)
        bindings.move(work, row, host)
    if changes.profile is not None:
        bindings.set_profile(work, row, views.active(row), changes.profile)


def _wanted(port: PortChanges) -> list[WantedAddress] | None:
    if port.fixed_ips is None:
        return None
    return [WantedAddress(each.ip_address, each.subnet_id) for each in port.fixed_ips]


def _pairs(port: PortChanges) -> dict[str, Any]:
    if "allowed_address_pairs" not in port.model_fields_set:
        return {}
    pairs = [each.model_dump(exclude_none=True) for each in port.allowed_address_pairs]
    return {"allowed_address_pairs": pairs}
