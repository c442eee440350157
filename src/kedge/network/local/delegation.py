"""Subnets of IPv6 whose prefix somebody else's router is told by its provider (RFC 8415, section 6.3).

Until then the block is a provisional one, of which ports have provisional addresses. The rules are Neutron's; there,
its own router's agent says the prefix, and here an admin does.
"""

from collections.abc import Mapping
from ipaddress import IPv6Network
from typing import Any

from sqlalchemy import delete, select

from kedge.model.errors import BadRequest
from kedge.store.tables import AddressRow, PortRow, SubnetRow

from ..addresses import IpNetwork, checked_subnet, default_pools, eui64_address
from ..errors import InvalidInput, IpAddressInUse
from . import automatic, bindings, networks, subnets
from .work import Work

POOL = "prefix_delegation"
"""What such subnets have as `subnetpool_id`."""
PROVISIONAL = IPv6Network("::/64")


def check(ip_version: int | None, ra_mode: str | None, address_mode: str | None, *, has_block: bool) -> None:
    """Raise BadRequest unless a prefix can be delegated to a subnet of which this is given.

    `has_block`: something is said of its block.
    """
    if has_block:
        raise BadRequest(
            f"cidr, prefixlen and allocation_pools are not known yet with {POOL}; leave them out."
        )
    if ip_version == 4:
        raise BadRequest("Prefix Delegation can only be used with IPv6 subnets; give ip_version 6.")
    for name, mode in (("ipv6_ra_mode", ra_mode), ("ipv6_address_mode", address_mode)):
        if mode not in automatic.MODES:
            raise BadRequest(
                f"{name} must be slaac or dhcpv6-stateless for Prefix Delegation (it is {mode})."
            )


def held_subnet(work: Work, subnet_id: str) -> SubnetRow:
    """As `own_subnet`, with its network, so that no port comes to that meanwhile."""
    # In the order in which a port's maker locks them.
    network_id = subnets.subnet(work, subnet_id).network_id
    networks.own_network(work, network_id)
    row = subnets.own_subnet(work, subnet_id)
    work.session.refresh(row)
    if row.subnetpool_id != POOL:
        raise BadRequest(f"Cannot update read-only attribute cidr (subnet {row.id} is not one of {POOL})")
    return row


def set_prefix(work: Work, row: SubnetRow, cidr: str, others: Mapping[str, Any]) -> None:
    """Say which prefix a held subnet has. Its ports get their addresses of that, and lose those of the old one.

    A router's interface gets the gateway's address, which is the first one unless there is to be none. `others` are
    the other changes. Raises BadRequest, InvalidInput and IpAddressInUse.
    """
    if others.keys() & {"gateway_ip", "allocation_pools"}:
        raise BadRequest("gateway_ip and allocation_pools follow from the new cidr; change them afterwards.")
    block = checked_subnet(cidr)
    automatic.check_modes(block, row.ipv6_ra_mode, row.ipv6_address_mode, row.enable_dhcp)
    subnets.refuse_overlap(block, [each for each in row.network.subnets if each is not row])
    row.cidr = str(block)
    row.gateway_ip = None if row.gateway_ip is None else str(block.network_address + 1)
    pools = default_pools(block, row.gateway_ip)
    row.allocation_pools = [{"start": first, "end": last} for first, last in pools]
    _renumber(work, row, block)


def _renumber(work: Work, row: SubnetRow, block: IpNetwork) -> None:
    # Those that have none now wait too: whoever changes their addresses then reads the new prefix.
    of_network = select(PortRow).where(PortRow.network_id == row.network_id).order_by(PortRow.number)
    ports = list(work.session.scalars(of_network.with_for_update()))
    holds = AddressRow.subnet_id == row.id
    holders = set(work.session.scalars(select(AddressRow.port_id).where(holds)))
    work.session.execute(delete(AddressRow).where(holds))
    of_others = select(AddressRow.ip_address).where(AddressRow.network_id == row.network_id)
    taken = set(work.session.scalars(of_others))
    for port in (each for each in ports if each.id in holders):
        is_router = port.device_owner in automatic.ROUTER_INTERFACES
        address = row.gateway_ip if is_router else eui64_address(block, port.mac_address)
        if address is None:
            raise InvalidInput(
                f"Router port {port.id} has no address without a gateway_ip; take it away first."
            )
        if address in taken:
            raise IpAddressInUse(row.network_id, address)
        taken.add(address)
        work.session.add(
            AddressRow(port_id=port.id, network_id=row.network_id, subnet_id=row.id, ip_address=address)
        )
        bindings.touch(work, port)
    work.session.flush()
    for port in ports:
        work.session.expire(port, ["addresses"])
