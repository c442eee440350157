"""/v2.0/ports."""

from typing import Any

from fastapi import APIRouter, Request, Response

from kedge.serving.strict_request import StrictRoute
from kedge.store.tables import PortRow

from ..local import LocalNetworkService, bindings, networks, ports, quotas, views
from ..local.device_macs import followed
from ..local.port_search import compares, search
from ..local.ports import WantedAddress
from ..local.work import Work
from . import render
from .answers import PortAnswer, PortList
from .attributes import judge, judge_deletion, judge_device, judge_guest
from .bodies import NewPort, PortChanges
from .documented import answer, chooses_fields, lists, shows
from .envelopes import NewPortBody, PortChangesBody
from .fields import refuse_long_profile
from .listing import before_page, one
from .paging import listed
from .revisions import Expected, require_revision
from .tag_filters import TAG_FILTERS

FILTERS = (
    "id",
    "network_id",
    "device_id",
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
    *TAG_FILTERS,
)
_PLAIN = ("name", "description", "admin_state_up", "device_id", "device_owner", "vnic_type")


def routes(service: LocalNetworkService) -> APIRouter:
    """The routes for ports."""
    router = APIRouter(prefix="/ports", tags=["ports"], route_class=StrictRoute)

    @router.post("", **shows(PortAnswer | PortList, 201))
    def create(body: NewPortBody) -> Response:
        """Make a port, and bind it if a host is given; where that can't be, the port is `binding_failed`.

        Several can be made at once: all of them or none.
        """
        with service.write() as work:
            for new in body.wanted:
                judge(work, "create_port", new)
            quotas.refuse_beyond(work, "port", [work.owner(new.project_id) for new in body.wanted])
            made = [render.port(_made(work, new)) for new in body.wanted]
        return answer(body.answered(made), 201)

    @router.get("", **lists(PortList, FILTERS))
    def index(request: Request) -> Response:
        """List ports."""
        wanted, part = before_page(request, compares)
        with service.read_once() as work:
            found = [render.port(row) for row in search(work, wanted, part)]
        return answer(listed(request, "ports", found, FILTERS))

    @router.get("/{port_id}", **chooses_fields(PortAnswer))
    def show(port_id: str, request: Request) -> Response:
        """Show a port."""
        with service.read_once() as work:
            return answer({"port": one(request, render.port(ports.port(work, port_id)))})

    @router.put("/{port_id}", **shows(PortAnswer))
    def update(port_id: str, body: PortChangesBody, expected: Expected) -> Response:
        """Change a port. `binding:host_id` moves its ACTIVE binding, which a running server's port refuses."""
        with service.write() as work:
            row = ports.own_port(work, port_id)
            require_revision(row, expected)
            _update(work, row, body.port)
            shown = render.port(row)
        return answer({"port": shown})

    @router.delete("/{port_id}", status_code=204)
    def delete(port_id: str, expected: Expected) -> None:
        """Delete a port with its bindings; a running server's port refuses."""
        with service.write() as work:
            row = ports.port(work, port_id, lock=True)
            require_revision(row, expected)
            judge_deletion(work, row)
            ports.refuse_in_use(work, row)
            ports.delete_port(work, row)

    return router


def _made(work: Work, new: NewPort) -> PortRow:
    network = networks.network(work, new.network_id, hold=True)
    judge_device(work, "create_port", network, None, new)
    judge_guest(work, "create_port", network, None, new)
    row = ports.create_port(
        work,
        network,
        mac_address=new.mac_address,
        addresses=_wanted(new),
        profile=bindings.merged({render.TRUSTED: new.trusted}, new.profile or {}),
        project_id=work.owner(new.project_id),
        tags=new.tags,
        **new.model_dump(include=set(_PLAIN)),
        **_pairs(new),
    )
    with followed(work, row):
        bindings.move(work, row, new.host_id or "")
    return row


def _update(work: Work, row: PortRow, changes: PortChanges) -> None:
    judge(work, "update_port", changes)
    judge_device(work, "update_port", row.network, row, changes)
    judge_guest(work, "update_port", row.network, row, changes)
    ports.set_mac_and_addresses(work, row, changes.mac_address, _wanted(changes))
    ports.update_port(work, row, **changes.given(*_PLAIN), **_pairs(changes))
    with followed(work, row):
        _update_binding(work, row, changes)


def _update_binding(work: Work, row: PortRow, changes: PortChanges) -> None:
    active = views.active(row)
    if "host_id" in changes.model_fields_set:
        host = changes.host_id or ""
        if active and active.host != host:
            ports.refuse_in_use(work, row)
        bindings.move(work, row, host)
    active = views.active(row)
    if active and "vnic_type" in changes.model_fields_set:
        ports.set_vnic_type(work, row, active, changes.vnic_type)
    if "profile" in changes.model_fields_set or changes.trusted is not None:
        kept = active or row
        profile = (changes.profile or {}) if "profile" in changes.model_fields_set else kept.profile
        trusted = {} if changes.trusted is None else {render.TRUSTED: changes.trusted}
        bindings.set_profile(work, row, active, {**profile, **trusted})
        refuse_long_profile(kept.profile)


def _wanted(port: PortChanges) -> list[WantedAddress] | None:
    if port.fixed_ips is None:
        return None
    return [WantedAddress(each.ip_address, each.subnet_id, each.delete_subnet) for each in port.fixed_ips]


def _pairs(port: PortChanges) -> dict[str, Any]:
    if "allowed_address_pairs" not in port.model_fields_set:
        return {}
    pairs = [each.model_dump(exclude_none=True) for each in port.allowed_address_pairs]
    return {"allowed_address_pairs": pairs}
