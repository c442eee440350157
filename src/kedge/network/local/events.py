"""What is told of ports to those who wait for them, in Nova's words (its `os-server-external-events`)."""

from kedge.model.domain import VifState
from kedge.model.network import BindingStatus
from kedge.store import outbox
from kedge.store.tables import BindingRow, PortRow

from .work import Work

PLUGGED = "network-vif-plugged"
UNPLUGGED = "network-vif-unplugged"
DELETED = "network-vif-deleted"


def vif_changed(work: Work, port: PortRow, binding: BindingRow, before: VifState, after: VifState) -> None:
    """Tell that a device came up, or went down.

    A device that comes up is told of for INACTIVE bindings too: Nova waits for it on a migration's destination. One
    that goes down matters only to the ACTIVE binding; others are taken away on purpose.
    """
    if after == VifState.UP:
        _tell(work, PLUGGED, port, binding.host)
    elif before == VifState.UP and binding.status == BindingStatus.ACTIVE:
        _tell(work, UNPLUGGED, port, binding.host)


def port_deleted(work: Work, port: PortRow) -> None:
    """Tell that a port is gone."""
    active = next((each for each in port.bindings if each.status == BindingStatus.ACTIVE), None)
    _tell(work, DELETED, port, active.host if active else "")


def _tell(work: Work, name: str, port: PortRow, host: str) -> None:
    # A router's or a DHCP server's port has a device as well, but that is no server.
    server_id = port.device_id if port.device_owner.startswith("compute:") else ""
    outbox.add(work.session, name, work.now, server_id=server_id, port_id=port.id, host=host)
