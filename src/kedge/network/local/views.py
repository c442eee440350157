"""From rows of the database to what the model calls them."""

from kedge.model.domain import VifState
from kedge.model.network import (
    Binding,
    BindingStatus,
    Network,
    NetworkType,
    Port,
    PortStatus,
    Segment,
    VifType,
)
from kedge.store.tables import BindingRow, NetworkRow, PortRow

UNBOUND = (VifType.UNBOUND, VifType.BINDING_FAILED)
"""The types of bindings of which no mechanism driver has said how the port is attached."""

_STATUS = {VifState.UP: PortStatus.ACTIVE, VifState.BUILD: PortStatus.BUILD, VifState.ABSENT: PortStatus.DOWN}


def network(row: NetworkRow) -> Network:
    """The network of a row."""
    segment = Segment(NetworkType(row.network_type), row.physical_network, row.segmentation_id)
    return Network(row.id, row.name, segment, row.mtu)


def port(row: PortRow) -> Port:
    """The port of a row, with its present status."""
    return Port(
        id=row.id,
        network_id=row.network_id,
        mac_address=row.mac_address,
        name=row.name,
        device_id=row.device_id,
        device_owner=row.device_owner,
        fixed_ips=tuple(address.ip_address for address in row.addresses),
        status=status(row),
        vnic_type=row.vnic_type,
    )


def binding(row: BindingRow) -> Binding:
    """The binding of a row; its details are a copy."""
    return Binding(
        port_id=row.port_id,
        host=row.host,
        status=BindingStatus(row.status),
        vif_type=VifType(row.vif_type),
        vif_details=dict(row.vif_details),
        vnic_type=row.vnic_type,
        profile=dict(row.profile),
        migration_id=row.migration_id,
    )


def active(row: PortRow) -> BindingRow | None:
    """The port's ACTIVE binding."""
    return next((each for each in row.bindings if each.status == BindingStatus.ACTIVE), None)


def on_host(row: PortRow, host: str) -> BindingRow | None:
    """The port's binding on a host."""
    return next((each for each in row.bindings if each.host == host), None)


def is_bound(row: BindingRow) -> bool:
    """Whether a mechanism driver has said how the port is attached."""
    return row.vif_type not in UNBOUND


def status(row: PortRow) -> PortStatus:
    """A port is what the device of its ACTIVE binding is, whatever happens to its INACTIVE ones."""
    chosen = active(row)
    return vif_status(chosen) if chosen else PortStatus.DOWN


def vif_status(row: BindingRow) -> PortStatus:
    """The state of a binding's device on its host."""
    return status_of(row.vif_state)


def status_of(vif_state: str) -> PortStatus:
    """What a device's state is for a port."""
    return _STATUS[VifState(vif_state)]
