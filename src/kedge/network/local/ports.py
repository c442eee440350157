"""Ports and their addresses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import joinedload
from sqlalchemy.orm.attributes import set_committed_value

from kedge.model.errors import BadRequest, Forbidden
from kedge.model.network import BindingStatus
from kedge.store import locks_rows
from kedge.store.tables import AddressRow, BindingRow, NetworkRow, PortRow, SubnetRow

from ..addresses import checked_cidr, checked_ip, checked_mac, is_host_address, random_mac
from ..errors import (
    AllocationOnAutoAddressSubnet,
    InvalidInput,
    InvalidIpForNetwork,
    InvalidIpForSubnet,
    IpAddressInUse,
    MacAddressInUse,
    PortBoundMac,
    PortInUse,
    PortNotFound,
    UnsupportedPortDeviceOwner,
)
from . import automatic, bindings, events, hosts, subnets, views
from .allocation import free_address
from .work import Work, new_id

_MAC_ATTEMPTS = 16

WHOLE = (joinedload(PortRow.bindings), joinedload(PortRow.addresses))
"""How all that is shown of a port is read by one statement."""

# What every operation on one port asks is built once: to build a query takes SQLAlchemy as long as to ask it.
_BARE = select(PortRow).where(PortRow.id == bindparam("id")).options(*WHOLE)
_ONE = _BARE.options(joinedload(PortRow.network))
# It locks the port, and shows what is joined to that as it was before the wait (see `ports`).
_LOCKED = bindings.ACTIVE_HOST.with_for_update(of=PortRow)


@dataclass(frozen=True)
class WantedAddress:
    """An address that a port is to have: this one, or any of this subnet; or that it is to have `none` of it."""

    ip_address: str | None = None
    subnet_id: str | None = None
    none: bool = False


def port(work: Work, port_id: str, *, lock: bool = False, network: bool = True) -> PortRow:
    """The port with this id. With `lock`, nobody else changes its bindings meanwhile. Raises PortNotFound.

    A project is shown its own ports, and those on its own networks. `network`: the port's network will be asked for.
    """
    if lock and locks_rows(work.session.get_bind()):
        lock_port(work, port_id)  # Read after it is locked, as in `ports`.
    query = _ONE if network else _BARE
    row = work.session.scalars(query, {"id": port_id}).unique().one_or_none()
    if row is None or not (work.shows(row.project_id) or work.shows(row.network.project_id)):
        raise PortNotFound(port_id)
    _know_port(row)
    return row


def own_port(work: Work, port_id: str) -> PortRow:
    """The port with this id, which nobody else changes meanwhile. Raises PortNotFound and Forbidden."""
    row = port(work, port_id, lock=True)
    if not work.shows(row.project_id):
        raise Forbidden(
            f"rule:update_port is disallowed by policy (it is project {work.project}'s network, and another's port)"
        )
    return row


def lock_port(work: Work, port_id: str) -> str | None:
    """Lock a port's row; returns the host of its ACTIVE binding as it was before the wait for that."""
    return work.session.connection().scalar(_LOCKED, {"id": port_id})


def ports(
    work: Work, equal: Mapping[str, Sequence[str]], *, lock: bool = False, networks: bool = False
) -> list[PortRow]:
    """The ports whose columns have one of these values each, in the order in which they were made.

    With their `networks` by the same statement, for those who bind them.

    Whoever changes bindings or addresses of ports has all of these locked first; always by number, so that no
    two wait for each other.
    """
    conditions = [getattr(PortRow, column).in_(values) for column, values in equal.items()]
    if lock and locks_rows(work.session.get_bind()):
        # Read after they are locked: what is joined to a row that has to be waited for would be as it was before
        # the wait (PostgreSQL's documentation, section 13.2.1).
        numbers = select(PortRow.number).where(*conditions).order_by(PortRow.number).with_for_update()
        conditions = [PortRow.number.in_(work.session.scalars(numbers).all())]
    query = select(PortRow).where(*conditions).order_by(PortRow.number)
    options = (*WHOLE, joinedload(PortRow.network)) if networks else WHOLE
    found = list(work.session.scalars(query.options(*options)).unique())
    for row in found:
        _know_port(row)
    return found


def _know_port(row: PortRow) -> None:
    for each in row.bindings:
        # Known, but by no key that the session could find it by: it would be read again where it is needed.
        set_committed_value(each, "port", row)


def create_port(
    work: Work,
    network: NetworkRow,
    *,
    mac_address: str | None = None,
    addresses: Sequence[WantedAddress] | None = None,
    foreign_addresses: bool = False,
    **attributes: Any,
) -> PortRow:
    """Make a port on a network that is held meanwhile.

    Without `addresses` it gets one of each IP version that the network has subnets of; those that its guest makes
    itself it gets in any case. `foreign_addresses` lets in those that lie in none of the network's subnets (a
    server that is adopted keeps what it has).
    Raises MacAddressInUse, IpAddressInUse, InvalidInput.
    """
    row = PortRow(
        id=new_id(),
        network=network,
        mac_address=_free_mac(work, network.id, mac_address),
        addresses=[],
        bindings=[],
        created_at=work.now,
        updated_at=work.now,
        **{"profile": {}, "allowed_address_pairs": [], "tags": []} | attributes,
    )
    work.session.add(row)
    set_addresses(work, row, _one_of_each(network) if addresses is None else addresses, foreign_addresses)
    work.session.flush()
    return row


def delete_port(work: Work, row: PortRow) -> None:
    """Delete a port with its bindings and addresses."""
    events.port_deleted(work, row)
    work.session.delete(row)


def refuse_in_use(work: Work, row: PortRow) -> None:
    """Raise PortInUse if the port is a NIC of a known server that runs."""
    if row.device_owner.startswith("compute:") and hosts.server_runs(work, row.device_id):
        raise PortInUse(row.id, row.device_id)


def set_vnic_type(work: Work, port: PortRow, row: BindingRow, vnic_type: str) -> None:
    """As `bindings.set_vnic_type`; raises PortInUse for the binding that a running server uses."""
    if vnic_type != row.vnic_type and row.status == BindingStatus.ACTIVE:
        refuse_in_use(work, port)
    bindings.set_vnic_type(work, port, row, vnic_type)


def set_mac_and_addresses(
    work: Work, row: PortRow, mac_address: str | None, wanted: Sequence[WantedAddress] | None
) -> None:
    """Change a port's MAC address and addresses; None leaves them, but those made of the MAC address change with it.

    Raises what `set_addresses` raises, PortBoundMac, UnsupportedPortDeviceOwner and MacAddressInUse.
    """
    _set(work, row, None if mac_address is None else _next_mac(work, row, mac_address), wanted)


def take_mac(work: Work, row: PortRow, mac_address: str | None) -> None:
    """Give the port this MAC address, or without one a new one, even if it is bound. Raises MacAddressInUse."""
    _set(work, row, _free_mac(work, row.network_id, mac_address), None)
    bindings.touch(work, row)


def _set(work: Work, row: PortRow, mac: str | None, wanted: Sequence[WantedAddress] | None) -> None:
    before = automatic.own_addresses(row)
    row.mac_address = mac or row.mac_address
    outdated = before.keys() - automatic.own_addresses(row).keys()
    if wanted is None and not outdated:
        return
    there = [WantedAddress(each.ip_address, each.subnet_id) for each in row.addresses]
    kept = [
        each
        for each in (there if wanted is None else wanted)
        if each.ip_address is None or checked_ip(each.ip_address) not in outdated
    ]
    set_addresses(work, row, kept, foreign=wanted is None)


def _next_mac(work: Work, row: PortRow, mac_address: str) -> str:
    if checked_mac(mac_address) == row.mac_address:
        return row.mac_address
    bound = views.active(row)
    if bound:
        raise PortBoundMac(row.id, bound.host)
    if row.device_owner.startswith("network:"):
        raise UnsupportedPortDeviceOwner("mac address update", row.id, row.device_owner)
    return _free_mac(work, row.network_id, mac_address)


def update_port(work: Work, row: PortRow, **attributes: Any) -> None:
    """Set columns of a port."""
    for name, value in attributes.items():
        setattr(row, name, value)
    bindings.touch(work, row)


def set_addresses(work: Work, row: PortRow, wanted: Sequence[WantedAddress], foreign: bool = False) -> None:
    """Give the port exactly these addresses, and those that its guest makes itself.

    Raises IpAddressInUse, InvalidIpForNetwork, AllocationOnAutoAddressSubnet and others.
    """
    if row.addresses:
        row.addresses.clear()
        work.session.flush()
    # Those that are named come first, so that none of them is given away as any one of its subnet.
    for each in _with_own(row, sorted(wanted, key=lambda each: each.ip_address is None)):
        subnet, address = _resolved(work, row, each, foreign)
        if any(address == other.ip_address for other in row.addresses):
            raise BadRequest(f"IP address {address} is in fixed_ips twice.")
        if _address_taken(work, row.network_id, address):
            raise IpAddressInUse(row.network_id, address)
        row.addresses.append(
            AddressRow(network_id=row.network_id, subnet_id=subnet.id if subnet else None, ip_address=address)
        )
        work.session.flush()


def _with_own(row: PortRow, wanted: Sequence[WantedAddress]) -> list[WantedAddress]:
    without = {_subnet_of(row.network, each.subnet_id) for each in wanted if each.none}
    own = {
        address: subnet
        for address, subnet in automatic.own_addresses(row).items()
        if subnet.id not in without
    }
    wanted = [each for each in wanted if not each.none]
    makes = {subnet.id for subnet in own.values()}
    named = [each for each in wanted if each.ip_address is not None or each.subnet_id not in makes]
    there = {checked_ip(each.ip_address) for each in named if each.ip_address is not None}
    return [*named, *(WantedAddress(each, own[each].id) for each in own if each not in there)]


def _resolved(work: Work, row: PortRow, wanted: WantedAddress, foreign: bool) -> tuple[SubnetRow | None, str]:
    network = row.network
    if wanted.ip_address is None:
        if wanted.subnet_id is None:
            raise InvalidInput("A fixed IP needs a subnet_id or an ip_address.")
        subnet = _subnet(work, network, wanted.subnet_id)
        if subnet.network_id != network.id:
            raise InvalidInput(f"Subnet {subnet.id} is not of network {network.id}.")
        return subnet, free_address(work, subnet.id)
    address = checked_ip(wanted.ip_address)
    holder = next((each for each in network.subnets if _contains(each, address)), None)
    if wanted.subnet_id is not None and (holder is None or holder.id != wanted.subnet_id):
        raise InvalidIpForSubnet(address)
    if holder is None and not foreign:
        raise InvalidIpForNetwork(address)
    if holder and not foreign and not automatic.may_have(row, holder, address):
        raise AllocationOnAutoAddressSubnet(address, holder.id)
    # A router of IPv6 has its subnet's first address beside its own (RFC 4291, section 2.6.1).
    is_router = row.device_owner is not None and row.device_owner.startswith("network:router")
    if holder and not foreign and not is_router and not is_host_address(address, checked_cidr(holder.cidr)):
        raise InvalidIpForNetwork(address, holder.cidr)
    return holder, address


def _subnet(work: Work, network: NetworkRow, subnet_id: str) -> SubnetRow:
    own = next((each for each in network.subnets if each.id == subnet_id), None)
    return own or subnets.subnet(work, subnet_id)


def _subnet_of(network: NetworkRow, subnet_id: str | None) -> str:
    if subnet_id is None or subnet_id not in {each.id for each in network.subnets}:
        raise InvalidInput(f"delete_subnet is for a subnet_id of network {network.id} (got {subnet_id}).")
    return subnet_id


def _contains(subnet: SubnetRow, address: str) -> bool:
    return ip_address(address) in checked_cidr(subnet.cidr)


def _one_of_each(network: NetworkRow) -> list[WantedAddress]:
    chosen_from = [subnet for subnet in network.subnets if not automatic.is_automatic(subnet)]
    first_by_version = {subnet.ip_version: subnet.id for subnet in reversed(chosen_from)}
    return [WantedAddress(subnet_id=first_by_version[version]) for version in sorted(first_by_version)]


def _address_taken(work: Work, network_id: str, address: str) -> bool:
    query = select(AddressRow.number).where(
        AddressRow.network_id == network_id, AddressRow.ip_address == address
    )
    return work.session.scalar(query) is not None


def _free_mac(work: Work, network_id: str, wanted: str | None) -> str:
    if wanted:
        mac = checked_mac(wanted)
        if _mac_taken(work, network_id, mac):
            raise MacAddressInUse(network_id, mac)
        return mac
    for _ in range(_MAC_ATTEMPTS):
        mac = random_mac(work.rules.mac_prefix)
        if not _mac_taken(work, network_id, mac):
            return mac
    raise MacAddressInUse(network_id, mac)


def _mac_taken(work: Work, network_id: str, mac: str) -> bool:
    query = select(PortRow.number).where(PortRow.network_id == network_id, PortRow.mac_address == mac)
    return work.session.scalar(query) is not None
