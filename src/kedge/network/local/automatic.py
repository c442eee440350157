"""Addresses that guests make themselves, of what a router advertises and their MAC address.

Kedge advertises nothing and serves no DHCPv6; somebody else's router does. The rules are Neutron's.
"""

from sqlalchemy import select

from kedge.store.tables import AddressRow, PortRow, SubnetRow

from ..addresses import IpNetwork, checked_cidr, eui64_address
from ..errors import InvalidInput
from . import bindings
from .work import Work

MODES = frozenset({"slaac", "dhcpv6-stateless"})
"""The modes of IPv6 in which a guest makes its address itself (RFC 4862), whoever tells it the rest."""
PREFIX_LENGTH = 64  # what RFC 4291 (section 2.5.1) leaves beside an interface's 64 bits

ROUTER_INTERFACES = frozenset(
    {
        "network:router_interface",
        "network:ha_router_replicated_interface",
        "network:router_interface_distributed",
    }
)
"""The owners of ports by which routers serve a subnet (Neutron's ROUTER_INTERFACE_OWNERS)."""
ROUTERS = ROUTER_INTERFACES | {"network:router_centralized_snat"}
"""The owners of ports whose addresses are all chosen (Neutron's ROUTER_INTERFACE_OWNERS_SNAT)."""


def check_modes(block: IpNetwork, ra_mode: str | None, address_mode: str | None, enable_dhcp: bool) -> None:
    """Raise InvalidInput if a subnet of this block can't have these modes."""
    given = {"ipv6_ra_mode": ra_mode, "ipv6_address_mode": address_mode}
    modes = {name: mode for name, mode in given.items() if mode is not None}
    if not modes:
        return
    names = " and ".join(modes)
    if block.version == 4:
        raise InvalidInput(f"{names} can't be set, as {block} is of IP version 4.")
    if not enable_dhcp:
        raise InvalidInput(f"{names} can't be set with enable_dhcp false; leave that out, or give true.")
    if len(set(modes.values())) > 1:
        raise InvalidInput(
            f"ipv6_ra_mode {ra_mode} and ipv6_address_mode {address_mode} don't go together; "
            "give both the same value, or one of them only."
        )
    if MODES & set(modes.values()) and block.prefixlen != PREFIX_LENGTH:
        raise InvalidInput(
            f"{block} is no /{PREFIX_LENGTH}, which a subnet has to be whose {names} is {ra_mode or address_mode}: "
            "guests make their addresses of it and 64 bits of their own."
        )


def is_automatic(subnet: SubnetRow) -> bool:
    """Whether guests make their addresses of this subnet themselves."""
    return bool(MODES & {subnet.ipv6_ra_mode, subnet.ipv6_address_mode})


def own_addresses(port: PortRow) -> dict[str, SubnetRow]:
    """The address that the port's guest makes itself of each such subnet; a router makes none."""
    if port.device_owner in ROUTERS:
        return {}
    subnets = [each for each in port.network.subnets if is_automatic(each)]
    return {eui64_address(checked_cidr(each.cidr), port.mac_address): each for each in subnets}


def may_have(port: PortRow, subnet: SubnetRow, address: str) -> bool:
    """Whether the port can be given this address of this subnet by name."""
    chosen = not is_automatic(subnet) or port.device_owner in ROUTER_INTERFACES
    return chosen or address in own_addresses(port)


def give_to_ports(work: Work, subnet: SubnetRow) -> None:
    """Give the ports that a network has already their addresses of its new subnet.

    One that is an adopted server's is the subnet's from now on; one that another port has stays that one's.
    """
    of_network = select(PortRow).where(PortRow.network_id == subnet.network_id).order_by(PortRow.number)
    ports = list(work.session.scalars(of_network.with_for_update()))
    there = select(AddressRow).where(
        AddressRow.network_id == subnet.network_id, AddressRow.subnet_id.is_(None)
    )
    known = {row.ip_address: row for row in work.session.scalars(there)}
    block = checked_cidr(subnet.cidr)
    for port in ports:
        if port.device_owner in ROUTERS:
            continue
        address = eui64_address(block, port.mac_address)
        row = known.get(address)
        if row is None:
            row = AddressRow(port_id=port.id, network_id=port.network_id, ip_address=address)
            work.session.add(row)
        if row.port_id == port.id:
            row.subnet_id = subnet.id
            bindings.touch(work, port)
