"""What a host's agent says is plugged there."""

from collections.abc import Mapping

from sqlalchemy import bindparam, select

from kedge.model.domain import VifState
from kedge.model.network import BindingStatus
from kedge.store.tables import BindingRow

from . import events, ports, views
from .work import Work

_STATES = select(BindingRow.port_id, BindingRow.vif_state).where(BindingRow.host == bindparam("host"))


def record(work: Work, host: str, states: Mapping[str, VifState]) -> None:
    """Keep the states of the VIFs on a host, by port.

    One that is not named stays as it was: its binding is so new that the agent has not been told of it.
    """
    known = work.session.connection().execute(_STATES, {"host": host})
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
