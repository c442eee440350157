"""/v2.0/ports/{id}/bindings: Neutron's extension `binding-extended`.

A refusal to bind is 500, as in Neutron, but with every driver's reason. An unknown port is 404, where Neutron answers
500. And the ACTIVE binding of a running server can't be deleted.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, Request, Response

from kedge.model.network import BindingStatus
from kedge.serving.strict_request import StrictRoute
from kedge.store.tables import BindingRow, PortRow

from ..errors import (
    BadPortRequest,
    InvalidInput,
    PortBindingAlreadyActive,
    PortBindingError,
    PortBindingFailure,
    PortBindingNotFound,
)
from ..local import LocalNetworkService, bindings, ports, views
from ..local.device_macs import followed
from ..local.work import Work
from . import render
from .answers import Binding, BindingAnswer, BindingList
from .bodies import BindingChanges
from .documented import answer, chooses_fields, lists, shows
from .envelopes import Activation, BindingChangesBody, NewBindingBody
from .fields import refuse_long_profile
from .listing import one
from .paging import listed

FILTERS = ("host", "vif_type", "vnic_type", "status")
_OWNERS = ("compute:", "manila")


def routes(service: LocalNetworkService) -> APIRouter:
    """The routes for the bindings of a port."""
    router = APIRouter(prefix="/ports/{port_id}/bindings", tags=["port bindings"], route_class=StrictRoute)

    @router.get("", **lists(BindingList, FILTERS))
    def index(port_id: str, request: Request) -> Response:
        """List a port's bindings."""
        with service.read() as work:
            found = render.bindings(server_port(work, port_id))
        return answer(listed(request, "bindings", found, FILTERS, identity="host"))

    @router.post(
        "", **shows(BindingAnswer, 201, {500: "No mechanism driver binds the port there; with the reasons."})
    )
    def create(port_id: str, body: NewBindingBody) -> Response:
        """Bind a port on a host. The binding is INACTIVE until it is activated, the first one of a port as well.

        With a `migration_id`, a binding that is left there by any migration is adopted and made anew; without
        one it is a 409.
        """
        new = body.binding
        with _as_a_failure(), service.write() as work:
            port = server_port(work, port_id, lock=True)
            row = bindings.bind(
                work,
                port,
                new.host,
                migration_id=new.migration_id,
                profile=new.profile,
                vnic_type=new.vnic_type,
                ahead=True,
            )
            refuse_long_profile(row.profile)
            shown = render.binding(row)
        return answer({"binding": shown}, 201)

    @router.get("/{host}", **chooses_fields(BindingAnswer))
    def show(port_id: str, host: str, request: Request) -> Response:
        """Show a port's binding on a host."""
        with service.read() as work:
            row = _binding(server_port(work, port_id), host)
            return answer({"binding": one(request, render.binding(row))})

    @router.put("/{host}", **shows(BindingAnswer))
    def update(port_id: str, host: str, body: BindingChangesBody) -> Response:
        """Replace a binding's profile, or bind it anew as another type of VNIC."""
        with service.write() as work:
            port = server_port(work, port_id, lock=True)
            row = _binding(port, host)
            with followed(work, port):
                _change(work, port, row, body.binding)
            shown = render.binding(row)
        return answer({"binding": shown})

    @router.put("/{host}/activate", **shows(Binding))
    def activate(port_id: str, host: str, body: Activation | None = None) -> Response:
        """Make a binding the port's ACTIVE one; the answer is the binding itself, as in Neutron."""
        if body and body.port_id not in ("", port_id):
            raise InvalidInput(
                f"The body names port {body.port_id}, and the path another; leave the body out."
            )
        with service.write_to_port(port_id) as (work, seen):
            port = server_port(work, port_id, network=False)
            row = _binding(port, host)
            if row.status == BindingStatus.ACTIVE:
                raise PortBindingAlreadyActive(port_id, host)
            bindings.refuse_overtaken(port, seen)
            with followed(work, port):
                bindings.activate(work, [port], host)
            shown = render.binding(row)
        return answer(shown)

    @router.delete("/{host}", status_code=204)
    def delete(port_id: str, host: str) -> None:
        """Delete a binding; the ACTIVE one of a running server refuses."""
        with service.write_to_port(port_id) as (work, seen):
            port = server_port(work, port_id, network=False)
            row = _binding(port, host)
            bindings.refuse_overtaken(port, seen)
            if row.status == BindingStatus.ACTIVE:
                ports.refuse_in_use(work, port)
            with followed(work, port):
                bindings.unbind(work, port, host, even_active=True)

    return router


def server_port(work: Work, port_id: str, *, lock: bool = False, network: bool = True) -> PortRow:
    """As `ports.port`, if it is one that has bindings. Raises PortNotFound and BadPortRequest."""
    row = ports.port(work, port_id, lock=lock, network=network)
    if not row.device_owner.startswith(_OWNERS):
        raise BadPortRequest(port_id)
    return row


def _change(work: Work, port: PortRow, row: BindingRow, changes: BindingChanges) -> None:
    if changes.vnic_type is not None:
        ports.set_vnic_type(work, port, row, changes.vnic_type)
    if "profile" in changes.model_fields_set:
        bindings.set_profile(work, port, row, changes.profile or {})
        refuse_long_profile(row.profile)


@contextmanager
def _as_a_failure() -> Iterator[None]:
    try:
        yield
    except PortBindingError as error:
        raise PortBindingFailure(error.summary, error.reasons) from error


def _binding(port: PortRow, host: str) -> BindingRow:
    row = views.on_host(port, host)
    if row is None:
        raise PortBindingNotFound(port.id, host)
    return row
