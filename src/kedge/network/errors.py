"""The network service's errors by the names that Neutron gives them; REST shows the class's name as `type`."""

from collections.abc import Sequence

from kedge.model.errors import BadRequest, CannotBind, Conflict, NotFound


class NetworkNotFound(NotFound):
    """There is no such network."""

    def __init__(self, network_id: str) -> None:
        super().__init__(f"Network {network_id} could not be found.")


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

    def __init__(self, network_id: str, ports: int) -> None:
        super().__init__(f"Network {network_id} has {ports} port(s); delete them first.")


class SubnetInUse(Conflict):
    """Ports have addresses from the subnet."""

    def __init__(self, subnet_id: str, addresses: int) -> None:
        super().__init__(
            f"Subnet {subnet_id} has given out {addresses} address(es); delete those ports first."
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


class InvalidIpForNetwork(BadRequest):
    """No subnet of the network holds this address."""

    def __init__(self, network_id: str, ip_address: str) -> None:
        super().__init__(f"IP address {ip_address} lies in no subnet of network {network_id}.")


class InvalidInput(BadRequest):
    """A value can't be used; the message says which and why."""


class PortBindingError(CannotBind):
    """No mechanism driver binds the port on that host (Neutron's name for it)."""
