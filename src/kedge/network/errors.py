"""The network service's errors by the names that Neutron gives them; REST shows the class's name as `type`."""

from collections.abc import Sequence

from kedge.model.errors import BadRequest, CannotBind, Conflict, KedgeError, NotFound

_NAMED_MAX = 10


class NetworkNotFound(NotFound):
    """There is no such network."""

    def __init__(self, network_id: str) -> None:
        super().__init__(f"Network {network_id} could not be found.")


class NetworkSubnetPoolAffinityError(BadRequest):
    """All subnets of one IP version on a network have their blocks from the same place."""

    def __init__(self, network_id: str, ip_version: int) -> None:
        super().__init__(
            f"Subnets of IP version {ip_version} on network {network_id} have their blocks from elsewhere: all must "
            "be from the same subnet pool, or by prefix delegation, or named."
        )


class SubnetNotFound(NotFound):
    """There is no such subnet."""

    def __init__(self, subnet_id: str) -> None:
        super().__init__(f"Subnet {subnet_id} could not be found.")


class PortNotFound(NotFound):
    """There is no such port."""

    def __init__(self, port_id: str) -> None:
        super().__init__(f"Port {port_id} could not be found.")


class AgentNotFound(NotFound):
    """There is no such agent."""

    def __init__(self, agent_id: str) -> None:
        super().__init__(f"Agent {agent_id} could not be found.")


class HostNotFound(NotFound):
    """No agent has ever reported from a host of this name."""

    def __init__(self, host: str, known: Sequence[str]) -> None:
        names = ", ".join(known) or "none"
        super().__init__(
            f"No agent has reported from host {host!r} (known hosts: {names}); start its agent first."
        )


class PortBindingNotFound(NotFound):
    """The port has no binding on that host."""

    def __init__(self, port_id: str, host: str) -> None:
        super().__init__(f"Binding for port {port_id} for host {host} could not be found.")


class PortBindingAlreadyExists(Conflict):
    """The port has a binding on that host already."""

    def __init__(self, port_id: str, host: str) -> None:
        super().__init__(f"Binding for port {port_id} on host {host} already exists.")


class PortBindingAlreadyActive(Conflict):
    """The binding is the port's ACTIVE one already."""

    def __init__(self, port_id: str, host: str) -> None:
        super().__init__(f"Binding for port {port_id} on host {host} is already active.")


class PortBindingOvertaken(Conflict):
    """Somebody else's change of the ACTIVE binding came first."""

    def __init__(self, port_id: str, host: str) -> None:
        now = f"is on host {host} now" if host else "is gone"
        super().__init__(
            f"The ACTIVE binding of port {port_id} was changed at the same time and {now}; look again, then decide."
        )


class PortBindingInUse(Conflict):
    """The ACTIVE binding can't go away while the server runs."""

    def __init__(self, port_id: str, host: str) -> None:
        super().__init__(
            f"The binding of port {port_id} on host {host} is ACTIVE; switch the port to another host's binding, "
            "or stop its server, before it is deleted."
        )


class PortInUse(Conflict):
    """The port belongs to a running server."""

    def __init__(self, port_id: str, server_id: str) -> None:
        super().__init__(
            f"Port {port_id} is in use by the running server {server_id}; stop or migrate that first."
        )


class PortBoundMac(Conflict):
    """The MAC address of a bound port is what its server's hardware has; it stays."""

    def __init__(self, port_id: str, host: str) -> None:
        super().__init__(
            f"Port {port_id} is bound to host {host}; unbind it before its MAC address is changed."
        )


class NetworkInUse(Conflict):
    """The network has ports."""

    def __init__(self, network_id: str, ports: Sequence[str]) -> None:
        named = ports[:_NAMED_MAX]
        more = [f"{len(ports) - len(named)} more"] if len(ports) > len(named) else []
        super().__init__(
            f"Network {network_id} has {len(ports)} port(s); delete them first: {', '.join([*named, *more])}."
        )


class InvalidSharedSetting(Conflict):
    """Projects whom the network is shared with have ports or subnets there."""

    def __init__(self, network: str, projects: Sequence[str]) -> None:
        more = f" and {len(projects) - _NAMED_MAX} more" if len(projects) > _NAMED_MAX else ""
        super().__init__(  # Neutron's words, and who they are
            f"Unable to reconfigure sharing settings for network {network}. Multiple projects are using it."
            f" (Ports or subnets there belong to {', '.join(projects[:_NAMED_MAX])}{more}.)"
        )


class SubnetInUse(Conflict):
    """Ports have addresses from the subnet."""

    def __init__(self, subnet_id: str) -> None:
        super().__init__(  # Neutron's words
            f"Unable to complete operation on subnet {subnet_id}: "
            "One or more ports have an IP allocation from this subnet."
        )


class VlanIdInUse(Conflict):
    """Another network has this VLAN."""

    def __init__(self, vlan_id: int, physical_network: str, network_id: str) -> None:
        super().__init__(
            f"VLAN {vlan_id} on physical network {physical_network} is network {network_id} already."
        )


class FlatNetworkInUse(Conflict):
    """Another network has the untagged frames of this physical network."""

    def __init__(self, physical_network: str, network_id: str) -> None:
        super().__init__(
            f"The flat segment of physical network {physical_network} is network {network_id} already."
        )


class NoNetworkAvailable(Conflict):
    """All VLANs that networks are given are taken."""

    def __init__(self) -> None:
        super().__init__(
            "No VLAN is left for a network that names none; delete a network, or add to vlan_ranges in [network] of "
            "the configuration."
        )


class MacAddressInUse(Conflict):
    """Another port of the network has this MAC address."""

    def __init__(self, network_id: str, mac_address: str) -> None:
        super().__init__(
            f"MAC address {mac_address} is in use on network {network_id}; choose another, or give none."
        )


class IpAddressInUse(Conflict):
    """Another port of the network has this IP address."""

    def __init__(self, network_id: str, ip_address: str) -> None:
        super().__init__(
            f"IP address {ip_address} is in use on network {network_id}; choose another, or give none."
        )


class IpAddressGenerationFailure(Conflict):
    """All addresses of the subnet are given out."""

    def __init__(self, subnet_id: str) -> None:
        super().__init__(
            f"No address is left in subnet {subnet_id}; add a subnet to its network, or delete ports."
        )


class InvalidAllocationPool(BadRequest):
    """The pool's ends are of another IP version than its subnet, or the wrong way round."""

    def __init__(self, pool: tuple[str, str]) -> None:
        super().__init__(f"The allocation pool {_pool(pool)} is not valid.")


class OutOfBoundsAllocationPool(BadRequest):
    """The pool holds addresses that no host of its subnet can have."""

    def __init__(self, pool: tuple[str, str], cidr: str) -> None:
        super().__init__(f"The allocation pool {_pool(pool)} spans beyond the subnet cidr {cidr}.")


class OverlappingAllocationPools(Conflict):
    """Two pools of one subnet share addresses."""

    def __init__(self, one: tuple[str, str], other: tuple[str, str], cidr: str) -> None:
        super().__init__(
            f"Found overlapping allocation pools: {_pool(one)} {_pool(other)} for subnet {cidr}."
        )


class GatewayConflictWithAllocationPools(Conflict):
    """A port could be given the gateway's address."""

    def __init__(self, gateway: str, pool: tuple[str, str]) -> None:
        super().__init__(f"Gateway ip {gateway} conflicts with allocation pool {_pool(pool)}.")


class GatewayIpInUse(Conflict):
    """A port has the address that is to be, or is, the gateway's."""

    def __init__(self, gateway: str, port_id: str) -> None:
        super().__init__(f"Current gateway ip {gateway} already in use by port {port_id}. Unable to update.")


class OverQuota(Conflict):
    """The project would have more than it may."""

    def __init__(self, resource: str, project_id: str, limit: int) -> None:
        super().__init__(  # Neutron's words, and which limit
            f"Quota exceeded for resources: ['{resource}']. (Project {project_id} may have {limit};"
            " delete some, or have an admin raise that.)"
        )


class TenantQuotaNotFound(NotFound):
    """The project has no limits of its own."""

    def __init__(self, project_id: str) -> None:
        super().__init__(f"Quota for tenant {project_id} could not be found.")


class DNSNameServersExhausted(BadRequest):
    """The subnet would have more name servers than one may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The number of DNS nameservers exceeds the limit {limit}.")


class HostRoutesExhausted(BadRequest):
    """The subnet would have more routes than one may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The number of host routes exceeds the limit {limit}.")


class TagNotFound(NotFound):
    """The resource does not have this tag."""

    def __init__(self, tag: str) -> None:
        super().__init__(f"Tag {tag} could not be found.")


class RevisionNumberConstraintFailed(KedgeError):
    """The resource was changed since the caller looked at it (`If-Match`)."""

    status = 412

    def __init__(self, expected: int, current: int) -> None:
        super().__init__(f"Constrained to {expected}, but current revision is {current}")


class NoPortsOfDevice(NotFound):
    """No port has this `device_id`."""

    def __init__(self, device_id: str) -> None:
        super().__init__(f"No port has the device_id {device_id!r}; there is nothing to switch.")


class InvalidIpForNetwork(BadRequest):
    """No subnet of the network holds this address, or none that a host can have."""

    def __init__(self, ip_address: str, cidr: str | None = None) -> None:
        super().__init__(
            f"IP address {ip_address} is the first or the last of subnet {cidr}, which no host has."
            if cidr  # else Neutron's words
            else f"IP address {ip_address} is not a valid IP for any of the subnets on the specified network."
        )


class InvalidIpForSubnet(BadRequest):
    """The subnet that is named does not hold this address."""

    def __init__(self, ip_address: str) -> None:
        super().__init__(f"IP address {ip_address} is not a valid IP for the specified subnet.")


class AllocationOnAutoAddressSubnet(BadRequest):
    """Guests make their addresses of this subnet themselves."""

    def __init__(self, ip_address: str, subnet_id: str) -> None:
        super().__init__(  # Neutron's words
            f"IPv6 address {ip_address} cannot be directly assigned to a port on subnet {subnet_id} "
            "as the subnet is configured for automatic addresses"
        )


class UnsupportedPortDeviceOwner(Conflict):
    """Whoever has the port reads its MAC address from elsewhere."""

    def __init__(self, operation: str, port_id: str, device_owner: str) -> None:
        super().__init__(
            f"Operation {operation} is not supported for device_owner {device_owner} on port {port_id}."
        )


class BadPortRequest(BadRequest):
    """Only ports of servers and of shared file systems have bindings to ask for."""

    def __init__(self, port_id: str) -> None:
        super().__init__(
            f"Bad port request: Invalid port {port_id}. "
            "Operation only valid on compute and shared filesystem ports."
        )


class InvalidInput(BadRequest):
    """A value can't be used; the message says which and why."""


class PortBindingError(CannotBind):
    """No mechanism driver binds the port on that host (Neutron's name for it)."""


class PortBindingFailure(PortBindingError):
    """The same, where a binding is made: clients know it there by Neutron's status, which is that of a failure."""

    status = 500


def _pool(pool: tuple[str, str]) -> str:
    return f"{pool[0]}-{pool[1]}"
