"""What is to be plugged on a host, and what its agent says is."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import contains_eager, joinedload, selectinload

from kedge.model.domain import VifState
from kedge.model.network import BindingStatus, Vif, vif_of
from kedge.store.tables import BindingRow, PortRow

from . import events, ports, views
from .work import Work


def record(work: Work, host: str, states: Mapping[str, VifState]) -> None:
    """Keep the states of the VIFs on a host, by port.

    One that is not named stays as it was: its binding is so new that the agent has not been told of it.
    """
    known = work.session.execute(
        select(BindingRow.port_id, BindingRow.vif_state).where(BindingRow.host == host)
    )
    changed = [port_id for port_id, state in known if state != states.get(port_id, state)]
    # Most reports bring nothing new, and lock nothing.
    for port in ports.ports(work, {"id": changed}, lock=True) if changed else ():
        binding = views.on_host(port, host)
        if binding is None:
            continue
        events.vif_changed(work, port, binding, VifState(binding.vif_state), states[port.id])
        binding.vif_state = states[port.id].value
        if binding.status == BindingStatus.ACTIVE:
            port.revision_number += 1
            port.updated_at = work.now


def duties(work: Work, host: str) -> tuple[Vif, ...]:
    """The VIFs of all bindings on a host, ACTIVE or not, in the order in which their ports were made."""
    rows = work.session.scalars(
        select(BindingRow)
        .join(BindingRow.port)
        .options(
            contains_eager(BindingRow.port).options(
                joinedload(PortRow.network), selectinload(PortRow.addresses), selectinload(PortRow.bindings)
            )
        )
        .where(BindingRow.host == host)
        .order_by(PortRow.number)
    )
    return tuple(
        vif_of(views.port(row.port), views.network(row.port.network), views.binding(row))
        for row in rows
        if views.is_bound(row)
    )
