"""What conductors and agents ask time and again, by plain statements.

Every look of a migration reads its server's ports, and every report is answered with its host's VIFs. With objects for
rows, three quarters of the control plane's CPU went into these.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from kedge.model.network import (
    Binding,
    BindingStatus,
    Network,
    NetworkType,
    Port,
    PortStatus,
    Segment,
    ServerAddress,
    Vif,
    VifType,
)
from kedge.store import batched
from kedge.store.tables import AddressRow, BindingRow, NetworkRow, PortRow, RewiringRow

from ..errors import NetworkNotFound
from . import views

_PORTS = (
    select(
        PortRow.id,
        PortRow.network_id,
        PortRow.mac_address,
        PortRow.name,
        PortRow.device_id,
        PortRow.device_owner,
        PortRow.vnic_type,
        BindingRow.host,
        BindingRow.status,
        BindingRow.vif_type,
        BindingRow.vif_details,
        BindingRow.vnic_type.label("bound_vnic_type"),
        BindingRow.profile,
        BindingRow.migration_id,
        BindingRow.vif_state,
    )
    .select_from(PortRow)
    .outerjoin(BindingRow, BindingRow.port_id == PortRow.id)
    .where(PortRow.device_id == bindparam("device_id"))
    .order_by(PortRow.number, BindingRow.host)
)
_PORTS_ADDRESSES = (
    select(AddressRow.port_id, AddressRow.ip_address)
    .join(PortRow, PortRow.id == AddressRow.port_id)
    .where(PortRow.device_id == bindparam("device_id"))
    .order_by(AddressRow.number)
)
_SERVERS_ADDRESSES = (
    select(PortRow.device_id, NetworkRow.name, NetworkRow.id, PortRow.mac_address, AddressRow.ip_address)
    .select_from(PortRow)
    .join(AddressRow, AddressRow.port_id == PortRow.id)
    .join(NetworkRow, NetworkRow.id == PortRow.network_id)
    .where(PortRow.device_id.in_(bindparam("device_ids", expanding=True)))
    .order_by(PortRow.number, AddressRow.number)
)
_VIFS = (
    select(
        PortRow.id,
        PortRow.network_id,
        PortRow.mac_address,
        BindingRow.vif_type,
        BindingRow.vif_details,
        NetworkRow.network_type,
        NetworkRow.physical_network,
        NetworkRow.segmentation_id,
        NetworkRow.mtu,
    )
    .select_from(BindingRow)
    .join(PortRow, PortRow.id == BindingRow.port_id)
    .join(NetworkRow, NetworkRow.id == PortRow.network_id)
    .where(BindingRow.host == bindparam("host"), BindingRow.vif_type.not_in(views.UNBOUND))
    .order_by(PortRow.number)
)
_NETWORK = select(
    NetworkRow.id,
    NetworkRow.name,
    NetworkRow.network_type,
    NetworkRow.physical_network,
    NetworkRow.segmentation_id,
    NetworkRow.mtu,
).where(NetworkRow.id == bindparam("id"))
_VIFS_ADDRESSES = (
    select(AddressRow.port_id, AddressRow.ip_address)
    .join(BindingRow, BindingRow.port_id == AddressRow.port_id)
    .where(BindingRow.host == bindparam("host"))
    .order_by(AddressRow.number)
)


_REWIRINGS = select(RewiringRow.ports, RewiringRow.committed).where(
    RewiringRow.host == bindparam("host"), RewiringRow.finished_at.is_(None)
)


def bound_ports(connection: Connection, device_id: str) -> list[tuple[Port, list[Binding]]]:
    """The ports of a server in the order in which they were made, each with its bindings, the ACTIVE one first."""
    addresses = _by_port(connection.execute(_PORTS_ADDRESSES, {"device_id": device_id}).all())
    rows: dict[str, list[Any]] = {}
    for row in connection.execute(_PORTS, {"device_id": device_id}):
        rows.setdefault(row.id, []).append(row)
    return [
        (_port(of_port, addresses.get(port_id, ())), _bindings(of_port)) for port_id, of_port in rows.items()
    ]


def network(connection: Connection, network_id: str) -> Network:
    """The network with this id. Raises NetworkNotFound."""
    row = connection.execute(_NETWORK, {"id": network_id}).one_or_none()
    if row is None:
        raise NetworkNotFound(network_id)
    segment = Segment(NetworkType(row.network_type), row.physical_network, row.segmentation_id)
    return Network(row.id, row.name, segment, row.mtu)


def addresses_of(connection: Connection, device_ids: Collection[str]) -> list[ServerAddress]:
    """The addresses of all ports of these servers, in the order in which the ports were made."""
    return [
        ServerAddress(device_id, name or network_id, mac_address, ip_address)
        for some in batched(device_ids)
        for device_id, name, network_id, mac_address, ip_address in connection.execute(
            _SERVERS_ADDRESSES, {"device_ids": some}
        )
    ]


def vifs_on(connection: Connection, host: str) -> tuple[Vif, ...]:
    """The VIFs of all bindings on a host, ACTIVE or not, in the order in which their ports were made."""
    addresses = _by_port(connection.execute(_VIFS_ADDRESSES, {"host": host}).all())
    return tuple(
        Vif(
            port_id=row.id,
            network_id=row.network_id,
            mac_address=row.mac_address,
            segment=Segment(NetworkType(row.network_type), row.physical_network, row.segmentation_id),
            vif_type=VifType(row.vif_type),
            vif_details=row.vif_details,
            mtu=row.mtu,
            fixed_ips=addresses.get(row.id, ()),
        )
        for row in connection.execute(_VIFS, {"host": host})
    )


def staged_on(connection: Connection, host: str, vifs: Sequence[Vif]) -> dict[str, Vif]:
    """How the VIFs of a host that are being rewired may be wired, besides as their bindings say; by port."""
    known = {vif.port_id: vif for vif in vifs}
    staged = {}
    for row in connection.execute(_REWIRINGS, {"host": host}):
        for port in row.ports:
            other = port["before"] if row.committed else port["after"]
            if port["port_id"] in known:
                staged[port["port_id"]] = replace(
                    known[port["port_id"]],
                    vif_type=VifType(other["vif_type"]),
                    vif_details=other["vif_details"],
                )
    return staged


def _by_port(rows: Sequence[Row[str, str]]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for port_id, address in rows:
        found[port_id].append(address)
    return {port_id: tuple(each) for port_id, each in found.items()}


def _port(rows: Sequence[Any], addresses: tuple[str, ...]) -> Port:
    row = rows[0]
    states = [each.vif_state for each in rows if each.status == BindingStatus.ACTIVE]
    return Port(
        id=row.id,
        network_id=row.network_id,
        mac_address=row.mac_address,
        name=row.name,
        device_id=row.device_id,
        device_owner=row.device_owner,
        fixed_ips=addresses,
        status=views.status_of(states[0]) if states else PortStatus.DOWN,
        vnic_type=row.vnic_type,
    )


def _bindings(rows: Sequence[Any]) -> list[Binding]:
    found = [
        Binding(
            port_id=row.id,
            host=row.host,
            status=BindingStatus(row.status),
            vif_type=VifType(row.vif_type),
            vif_details=row.vif_details,
            vnic_type=row.bound_vnic_type,
            profile=row.profile,
            migration_id=row.migration_id,
        )
        for row in rows
        if row.host is not None
    ]
    return sorted(found, key=lambda each: (each.status is not BindingStatus.ACTIVE, each.host))
