"""What Kedge adds to the bindings of ports: `binding-preview` and `binding-switch`."""

from contextlib import ExitStack

from fastapi import APIRouter, Request, Response

from kedge.serving.strict_request import StrictRoute

from ..errors import NoPortsOfDevice
from ..local import LocalNetworkService, bindings, ports, views
from ..local.device_macs import followed
from . import render
from .answers import BindingAnswer, SwitchAnswer
from .bindings import server_port
from .documented import answer, chooses_fields, shows
from .envelopes import SwitchBody
from .listing import one


def routes(service: LocalNetworkService) -> APIRouter:
    """The routes of both extensions."""
    router = APIRouter(tags=["port bindings"], route_class=StrictRoute)

    @router.get("/ports/{port_id}/bindings/{host}/preview", **chooses_fields(BindingAnswer))
    def preview(port_id: str, host: str, request: Request) -> Response:
        """Show how a port would be bound on a host, and store nothing; 409 with the reasons if it can't be."""
        with service.read() as work:
            port = server_port(work, port_id)
            shown = render.preview(bindings.preview(work, port, host, ahead=True), views.on_host(port, host))
        return answer({"binding": one(request, shown)})

    @router.put("/binding-switch", **shows(SwitchAnswer))
    def switch(body: SwitchBody) -> Response:
        """Make the bindings on a host of all ports of a server ACTIVE: all of them, or none.

        What is ACTIVE there already stays so, and the same call again answers the same.
        """
        wanted = body.switch
        with service.write() as work:
            found = ports.ports(work, {"device_id": [wanted.device_id]}, lock=True)
            if not found:
                raise NoPortsOfDevice(wanted.device_id)
            with ExitStack() as stack:
                for port in found:
                    stack.enter_context(followed(work, port))
                switched = bindings.activate(work, found, wanted.host)
            shown = [{"port_id": row.port_id, **render.binding(row)} for row in switched]
        return answer({"bindings": shown})

    return router
