"""/v2.0/ports/{id}/bindings: Neutron's extension `binding-extended`.

What Neutron answers with 500 is said properly here: a refusal to bind is 409 with every driver's reason, an
unknown port 404. And the ACTIVE binding of a running server can't be deleted.
"""

from fastapi import APIRouter, Request

from kedge.model.errors import BadRequest
from kedge.model.network import BindingStatus
from kedge.store.tables import BindingRow, PortRow

from ..errors import PortBindingAlreadyActive, PortBindingNotFound
from ..local import LocalNetworkService, bindings, ports, views
from ..local.work import Work
from . import render
from .bodies import BindingChangesBody, NewBindingBody
from .listing import many, one
from .render import Json

FILTERS = ("host", "vif_type", "vnic_type", "status")
_OWNERS = ("compute:", "manila")


def routes(service: LocalNetworkService) -> APIRouter:
    """The routes for the bindings of a port."""
    router = APIRouter(prefix="/ports/{port_id}/bindings", tags=["port bindings"])

    @router.get("")
    def index(port_id: str, request: Request) -> Json:
        """List a port's bindings."""
        with service.read() as work:
            found = [render.binding(row) for row in _server_port(work, port_id).bindings]
        return {"bindings": many(request, found, FILTERS, identity="host")}

    @router.post("", status_code=201)
    def create(port_id: str, body: NewBindingBody) -> Json:
        """Bind a port on a host: ACTIVE if the port has no ACTIVE binding, else INACTIVE."""
        new = body.binding
        with service.write() as work:
            port = _server_port(work, port_id, lock=True)
            row = bindings.bind(work, port, new.host, profile=new.profile, vnic_type=new.vnic_type)
            return {"binding": render.binding(row)}

    @router.get("/{host}")
    def show(port_id: str, host: str, request: Request) -> Json:
        """Show a port's binding on a host."""
        with service.read() as work:
            return {"binding": one(request, render.binding(_binding(_server_port(work, port_id), host)))}

    @router.put("/{host}")
    def update(port_id: str, host: str, body: BindingChangesBody) -> Json:
        """Merge into a binding's profile."""
        with service.write() as work:
            port = _server_port(work, port_id, lock=True)
            row = _binding(port, host)
            bindings.set_profile(work, port, row, body.binding.profile or {})
            return {"binding": render.binding(row)}

    @router.put("/{host}/activate")
    def activate(port_id: str, host: str) -> Json:
        """Make a binding the port's ACTIVE one; the answer is the binding itself, as in Neutron."""
        with service.write() as work:
            port = _server_port(work, port_id, lock=True)
            row = _binding(port, host)
            if row.status == BindingStatus.ACTIVE:
                raise PortBindingAlreadyActive(port_id, host)
            bindings.activate(work, [port], host)
            return render.binding(row)

    @router.delete("/{host}", status_code=204)
    def delete(port_id: str, host: str) -> None:
        """Delete a binding; the ACTIVE one of a running server refuses."""
        with service.write() as work:
            port = _server_port(work, port_id, lock=True)
            if _binding(port, host).status == BindingStatus.ACTIVE:
                ports.refuse_in_use(work, port)
            bindings.unbind(work, port, host, even_active=True)

    return router


def _server_port(work: Work, port_id: str, *, lock: bool = False) -> PortRow:
    row = ports.port(work, port_id, lock=lock)
    if not row.device_owner.startswith(_OWNERS):
        raise BadRequest(
            f"Bad port request: Invalid port {port_id}. "
            "Operation only valid on compute and shared filesystem ports."
        )
    return row


def _binding(port: PortRow, host: str) -> BindingRow:
    row = views.on_host(port, host)
    if row is None:
        raise PortBindingNotFound(port.id, host)
    return row
