"""The network service and the registry of hosts as the rest of Kedge sees them: ports with adapters.

`kedge.network.local` is both, on Kedge's own database. `kedge.network.neutron` is the network service on a Neutron
that somebody runs already; hosts report to Kedge then too.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from sqlalchemy.orm import Session

from kedge.core.adopt import Recognised
from kedge.model.errors import CannotBind
from kedge.model.host import Host
from kedge.model.network import Binding, Network, Port, Segment, ServerAddress
from kedge.model.rewiring import RewiredPort, Wiring
from kedge.wire.messages import HostDuties, HostReport


class NetworkService(Protocol):
    """Networks, ports and bindings. Everything raises `NotFound` for an unknown id."""

    def network(self, network_id: str) -> Network:
        """The network with this id."""
        ...

    def networks(self) -> list[Network]:
        """All networks, in the order in which they were made."""
        ...

    def create_network(self, name: str, segment: Segment, *, mtu: int = 1500) -> Network:
        """Make a network. Raises BadRequest, and Conflict if the segment is another network's."""
        ...

    def delete_network(self, network_id: str) -> None:
        """Delete a network. Raises Conflict if it has ports."""
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

    def addresses(self, device_ids: Collection[str]) -> list[ServerAddress]:
        """The addresses of all ports of these servers, in the order in which the ports were made."""
        ...

    def bindings(self, port_id: str) -> list[Binding]:
        """All bindings of a port, the ACTIVE one first."""
        ...

    def preview(self, port_id: str, host: str) -> Binding:
        """How the port would be bound on `host`; stores nothing. Raises CannotBind with every driver's reason."""
        ...

    def previews(self, device_id: str, host: str) -> dict[str, Binding | CannotBind]:
        """How each of a server's ports would be bound on `host`, or why it can't be; by port. Stores nothing."""
        ...

    def bind(self, port_id: str, host: str, *, migration_id: str | None = None) -> Binding:
        """Bind the port on `host`: ACTIVE if it has no ACTIVE binding, else INACTIVE.

        With a `migration_id`, a binding on that host that is not ACTIVE is adopted or replaced; without one it
        raises Conflict. An ACTIVE binding on that host raises Conflict. Raises CannotBind.
        """
        ...

    def bind_ahead(self, device_id: str, host: str, migration_id: str) -> list[Binding]:
        """Bind *all* ports of a server on `host` for a migration, or none of them; its bindings there then.

        What is ACTIVE there, or this migration's already, stays as it is. Raises CannotBind. A foreign Neutron binds
        port by port: there, those before the one that fails are bound.
        """
        ...

    def switch(self, device_id: str, host: str) -> list[Binding]:
        """Make the bindings on `host` of *all* ports of a server ACTIVE, and the others INACTIVE, or none of them.

        Each is a full binding (bound anew where it was not). If they are ACTIVE already, nothing changes.
        Raises NotFound when a port has no binding there; then nothing is changed.
        """
        ...

    def wirings(
        self, device_id: str, host: str, driver: str
    ) -> list[tuple[Port, Wiring, Wiring | CannotBind]]:
        """How each of a server's ports is wired on `host`, and how this driver would wire it there. Stores nothing.

        Raises NotFound when a port has no binding there; Conflict where somebody else keeps the bindings.
        """
        ...

    def rewire(
        self, device_id: str, host: str, changes: Sequence[RewiredPort], within: Callable[[Session], None]
    ) -> None:
        """Let the ACTIVE bindings of these ports on `host` say that they are wired otherwise: all of them or none.

        `within` is called in the same transaction, and stops everything by raising. Raises Conflict if a binding is
        not the one that was, and as `wirings`.
        """
        ...

    def unbind_all(self, device_id: str, host: str) -> None:
        """Delete the bindings on `host` of all ports of a server. An ACTIVE one raises Conflict.

        Then nothing is deleted; a foreign Neutron deletes port by port.
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

    def attach_port(self, port_id: str, device_id: str) -> Port:
        """Give a port that is free to a server ("" takes it back). Raises Conflict if it is another's."""
        ...

    def bind_as_found(self, port_id: str, host: str, found: Recognised) -> Binding:
        """Store an ACTIVE binding for a NIC that is attached already. Raises Conflict if one is ACTIVE."""
        ...


class HostRegistry(Protocol):
    """The hosts, as their agents report them, and what belongs on them."""

    def record_host(self, report: HostReport) -> None:
        """Keep what an agent says of its host."""
        ...

    def duties(self, host: str) -> HostDuties:
        """What a host's agent is to keep plugged: the VIF of every binding there that Kedge answers for.

        Where that can't be told now, the duties say so (`known` is False), and are never short of a VIF.
        """
        ...

    def hosts(self, names: Collection[str] | None = None) -> list[Host]:
        """All hosts by name, or those of these that there are, with whether their agent is alive."""
        ...

    def host(self, name: str) -> Host:
        """The host of this name. Raises NotFound, naming those that there are."""
        ...

    def force_down(self, name: str, forced_down: bool) -> Host:
        """Note that a host is off, or take that back. Raises NotFound."""
        ...
