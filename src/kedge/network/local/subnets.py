"""Subnets: blocks of addresses of a network, and the ranges that its ports get theirs from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, select

from kedge.model.errors import BadRequest
from kedge.store.tables import AddressRow, NetworkRow, PortRow, SubnetRow

from ..addresses import (
    IpNetwork,
    Pool,
    checked_cidr,
    checked_destination,
    checked_gateway,
    checked_ip,
    checked_pools,
    default_gateway,
    default_pools,
    refuse_dhcp,
    version,
)
from ..errors import (
    DNSNameServersExhausted,
    GatewayIpInUse,
    HostRoutesExhausted,
    InvalidInput,
    NetworkSubnetPoolAffinityError,
    SubnetInUse,
    SubnetNotFound,
)
from . import automatic, bindings, delegation, networks
from .blocks import WantedBlock
from .work import Work, new_id

FIRST_ADDRESS = ""
"""As a gateway: the first address of the block that a router may have."""


def subnet(work: Work, subnet_id: str, *, lock: bool = False) -> SubnetRow:
    """The subnet with this id. With `lock`, nobody else changes it meanwhile. Raises SubnetNotFound."""
    query = select(SubnetRow).where(SubnetRow.id == subnet_id, _sees(work))
    row = work.session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise SubnetNotFound(subnet_id)
    return row


def own_subnet(work: Work, subnet_id: str) -> SubnetRow:
    """The subnet with this id, which nobody else changes meanwhile. Raises SubnetNotFound and Forbidden."""
    row = subnet(work, subnet_id, lock=True)
    work.require_own(row.project_id)
    return row


def all_subnets(work: Work) -> list[SubnetRow]:
    """All subnets, in the order in which they were made."""
    return list(work.session.scalars(select(SubnetRow).where(_sees(work)).order_by(SubnetRow.number)))


def _sees(work: Work) -> ColumnElement[bool]:
    return work.sees(SubnetRow.project_id, SubnetRow.network.has(NetworkRow.shared))


def ranges(row: SubnetRow) -> list[Pool]:
    """The ranges that ports get addresses from, as (first, last)."""
    if row.allocation_pools is None:
        return default_pools(checked_cidr(row.cidr), row.gateway_ip)
    return [(pool["start"], pool["end"]) for pool in row.allocation_pools]


def create_subnet(
    work: Work,
    network_id: str,
    cidr: str | None,
    *,
    prefixlen: int | None = None,
    ip_version: int | None = None,
    subnetpool_id: str | None = None,
    use_default_subnetpool: bool = False,
    project_id: str = "",
    gateway_ip: str | None = FIRST_ADDRESS,
    allocation_pools: Sequence[Pool] | None = None,
    host_routes: Sequence[Mapping[str, str]] = (),
    dns_nameservers: Sequence[str] = (),
    enable_dhcp: bool = True,
    ipv6_ra_mode: str | None = None,
    ipv6_address_mode: str | None = None,
    **attributes: Any,
) -> SubnetRow:
    """Make a subnet. `gateway_ip` None is none. Without pools, all addresses but the gateway's are given out.

    With `enable_dhcp`, a block that its maker names has to be one that DHCP could serve somebody of. Where guests
    make their addresses themselves, the ports that are there get theirs.

    Raises NetworkNotFound, Forbidden, InvalidInput, BadRequest, NetworkSubnetPoolAffinityError, what
    `subnet_pools.take` raises and, for pools of addresses, what `checked_pools` raises.
    """
    parent = networks.network_for_subnet(work, network_id)
    if subnetpool_id == delegation.POOL:
        has_block = any(each is not None for each in (cidr, prefixlen, allocation_pools))
        delegation.check(ip_version, ipv6_ra_mode, ipv6_address_mode, has_block=has_block)
    elif cidr is None and allocation_pools is not None:
        raise BadRequest("allocation_pools are allowed only with a cidr, as the block is not known before.")
    wanted = WantedBlock(cidr, prefixlen, ip_version, subnetpool_id, use_default_subnetpool)
    block, source = wanted.found(work, project_id)
    automatic.check_modes(block, ipv6_ra_mode, ipv6_address_mode, enable_dhcp)
    if enable_dhcp and cidr is not None:
        refuse_dhcp(block)
    if any(each.ip_version == block.version and each.subnetpool_id != source for each in parent.subnets):
        raise NetworkSubnetPoolAffinityError(network_id, block.version)
    refuse_overlap(block, parent.subnets)
    if gateway_ip == FIRST_ADDRESS:
        gateway: str | None = default_gateway(block)
    else:
        gateway = None if gateway_ip is None else checked_gateway(gateway_ip, block)
    pools = default_pools(block, gateway) if allocation_pools is None else allocation_pools
    row = SubnetRow(
        id=new_id(),
        ip_version=block.version,
        cidr=str(block),
        subnetpool_id=source,
        project_id=project_id,
        gateway_ip=gateway,
        enable_dhcp=enable_dhcp,
        ipv6_ra_mode=ipv6_ra_mode,
        ipv6_address_mode=ipv6_address_mode,
        allocation_pools=_stored(checked_pools(block, pools, gateway)),
        host_routes=_checked_routes(work, host_routes, block.version),
        dns_nameservers=_checked_servers(work, dns_nameservers, block.version),
        tags=[],
        created_at=work.now,
        updated_at=work.now,
        **attributes,
    )
    parent.subnets.append(row)
    work.session.flush()
    if automatic.is_automatic(row):
        automatic.give_to_ports(work, row)
    return row


def refuse_overlap(block: IpNetwork, others: Sequence[SubnetRow]) -> None:
    """Raise InvalidInput if one of these subnets of the same network has an address of this block."""
    for other in others:
        other_block = checked_cidr(other.cidr)
        if other_block.version == block.version and other_block.overlaps(block):
            raise InvalidInput(
                f"{block} overlaps with {other.cidr} of subnet {other.id} on the same network."
            )


def update_subnet(work: Work, row: SubnetRow, **changes: Any) -> None:
    """Change a subnet. As in Neutron, pools stay as they are unless they are given, whatever the gateway becomes.

    Raises GatewayIpInUse, InvalidInput and what `checked_pools` raises.
    """
    block = checked_cidr(row.cidr)
    dhcp = changes.get("enable_dhcp", row.enable_dhcp)
    automatic.check_modes(block, row.ipv6_ra_mode, row.ipv6_address_mode, dhcp)
    if dhcp and not row.enable_dhcp:
        refuse_dhcp(block)
    # A subnet of an older schema has no pools of its own until its gateway, on which they depend, is changed.
    pools = changes.pop("allocation_pools", None)
    if "gateway_ip" in changes:
        changes["gateway_ip"] = _next_gateway(work, row, block, changes["gateway_ip"])
    gateway = changes.get("gateway_ip", row.gateway_ip)
    row.allocation_pools = _stored(checked_pools(block, ranges(row) if pools is None else pools, gateway))
    if "host_routes" in changes:
        changes["host_routes"] = _checked_routes(work, changes["host_routes"] or (), block.version)
    if "dns_nameservers" in changes:
        servers = changes["dns_nameservers"] or ()
        changes["dns_nameservers"] = _checked_servers(work, servers, block.version)
    for name, value in changes.items():
        setattr(row, name, value)
    row.revision_number += 1
    row.updated_at = work.now
    work.session.flush()


def delete_subnet(work: Work, row: SubnetRow) -> None:
    """Delete a subnet, and the addresses of what serves it and those that guests made themselves.

    Raises SubnetInUse if other ports have some from it: any others, or a router where guests make them themselves.
    """
    given = AddressRow.subnet_id == row.id
    holders = select(PortRow).where(PortRow.id.in_(select(AddressRow.port_id).where(given)))
    ports = list(work.session.scalars(holders.order_by(PortRow.number).with_for_update()))
    owners = {port.device_owner for port in ports}
    if owners & automatic.ROUTER_INTERFACES if automatic.is_automatic(row) else owners - networks.SERVANTS:
        raise SubnetInUse(row.id)
    work.session.execute(delete(AddressRow).where(given))
    for port in ports:
        bindings.touch(work, port)
    work.session.delete(row)
    work.session.flush()


def _next_gateway(work: Work, row: SubnetRow, block: IpNetwork, wanted: str | None) -> str | None:
    gateway = None if wanted is None else checked_gateway(wanted, block)
    if gateway in (None, row.gateway_ip):
        return gateway
    holder = work.session.scalar(
        select(AddressRow.port_id).where(
            AddressRow.network_id == row.network_id, AddressRow.ip_address == gateway
        )
    )
    if holder is not None:
        raise GatewayIpInUse(gateway, holder)
    return gateway


def _stored(pools: Sequence[Pool]) -> list[dict[str, str]]:
    return [{"start": first, "end": last} for first, last in pools]


def _checked_routes(work: Work, routes: Sequence[Mapping[str, str]], ip_version: int) -> list[dict[str, str]]:
    if len(routes) > work.rules.max_subnet_host_routes:
        raise HostRoutesExhausted(work.rules.max_subnet_host_routes)
    found = list(_routes(routes, ip_version))
    if any(found.count(route) > 1 for route in found):
        raise InvalidInput("A route is in host_routes twice.")
    return found


def _routes(routes: Sequence[Mapping[str, str]], ip_version: int) -> Iterator[dict[str, str]]:
    for route in routes:
        destination, nexthop = checked_destination(route["destination"]), checked_ip(route["nexthop"])
        if destination.version != ip_version or version(nexthop) != ip_version:
            raise InvalidInput(f"Route {destination} via {nexthop} is not of IP version {ip_version}.")
        yield {"destination": str(destination), "nexthop": nexthop}


def _checked_servers(work: Work, servers: Sequence[str], ip_version: int) -> list[str]:
    if len(servers) > work.rules.max_dns_nameservers:
        raise DNSNameServersExhausted(work.rules.max_dns_nameservers)
    found = [checked_ip(server) for server in servers]
    if any(version(server) != ip_version for server in found):
        raise InvalidInput(
            f"An address in dns_nameservers is not of IP version {ip_version}, as the subnet is."
        )
    if len(found) != len(set(found)):
        raise InvalidInput("An address is in dns_nameservers twice.")
    return found
