"""The network service as the rest of Kedge sees it: a port with adapters.

Kedge's own adapter works on its database; another may stand for a Neutron that somebody already runs.
"""

from collections.abc import Sequence
from typing import Protocol

from kedge.model.network import Binding, Network, Port


class NetworkService(Protocol):
    """Networks, ports and bindings. Everything raises `NotFound` for an unknown id."""

    def network(self, network_id: str) -> Network:
        """The network with this id."""
        ...

    def port(self, port_id: str) -> Port:
        """The port with this id."""
        ...

    def ports_of(self, device_id: str) -> list[Port]:
        """The ports of a server, in the order in which they were made."""
        ...

    def bound_ports(self, device_id: str) -> list[tuple[Port, list[Binding]]]:
        """The ports of a server, each with all its bindings, all of one moment."""
        ...

    def bindings(self, port_id: str) -> list[Binding]:
        """All bindings of a port, the ACTIVE one first."""
        ...

    def preview(self, port_id: str, host: str) -> Binding:
        """How the port would be bound on `host`; stores nothing. Raises CannotBind with every driver's reason."""
        ...

    def bind(self, port_id: str, host: str, *, migration_id: str | None = None) -> Binding:
        """Bind the port on `host`: ACTIVE if it has no ACTIVE binding, else INACTIVE.

        With a `migration_id`, a binding on that host that is not ACTIVE is adopted or replaced; without one it
        raises Conflict. An ACTIVE binding on that host raises Conflict. Raises CannotBind.
        """
        ...

    def switch(self, device_id: str, host: str) -> list[Binding]:
        """Make the bindings on `host` of *all* ports of a server ACTIVE, and the others INACTIVE, in one transaction.

        Each is a full binding (bound anew where it was not). If they are ACTIVE already, nothing changes.
        Raises NotFound when a port has no binding there; then nothing is changed.
        """
        ...

    def unbind(self, port_id: str, host: str, *, even_active: bool = False) -> None:
        """Delete the binding on `host`; if there is none, nothing happens. An ACTIVE one raises Conflict.

        `even_active` is for a port whose server is deleted or is not running.
        """
        ...

    def create_port(
        self,
        network_id: str,
        *,
        device_id: str,
        device_owner: str = "compute:kedge",
        mac_address: str | None = None,
        fixed_ips: Sequence[str] | None = None,
        name: str = "",
    ) -> Port:
        """Make a port; a MAC address is chosen (Neutron's fa:16:3e range) where none is given.

        With `fixed_ips` None the port gets addresses of the network's subnets; with () it gets none, as is right
        for a NIC whose addresses somebody else chose.
        """
        ...

    def delete_port(self, port_id: str) -> None:
        """Delete a port with all its bindings."""
        ...
