"""The network service as the rest of Kedge uses it; each call is one transaction."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from kedge.core.adopt import Recognised
from kedge.model.caller import CALLER
from kedge.model.errors import CannotBind, Conflict
from kedge.model.host import Host
from kedge.model.network import Binding, Network, Port, Segment, ServerAddress
from kedge.model.network_rules import NetworkRules
from kedge.model.rewiring import RewiredPort, Wiring
from kedge.model.vlan_range import VlanRange
from kedge.store import (
    is_retryable,
    locks_rows,
    look,
    now,
    one_statement,
    reading,
    single_statement,
    statements,
    transaction,
)
from kedge.wire.messages import HostDuties, HostReport

from ..errors import PortNotFound
from . import bindings, hosts, networks, plain_reads, ports, views, vifs
from .ports import WantedAddress
from .work import Clock, Work


def _by_a_rival(error: DBAPIError) -> bool:
    if not isinstance(error, IntegrityError):
        return is_retryable(error)
    # All else that a constraint can refuse (a missing value, a check) is a mistake of this code.
    reason = str(error.orig).lower()
    return "unique" in reason or "foreign key" in reason


class LocalNetworkService:
    """`NetworkService` on Kedge's own database, and the registry of hosts.

    Args:
        engine: of a database that `kedge.store.upgrade` was run on.
        clock: gives the present time; the database's own, unless tests put another in.
        dead_after_s: an agent that has been silent for longer counts as dead.
        report_every_s: how often agents are asked to report.
        vlan_ranges: which VLANs networks are given that name none.
        rules: what else is set for networks, subnets and ports.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock | None = None,
        dead_after_s: float = 15.0,
        report_every_s: float = 2.0,
        vlan_ranges: Sequence[VlanRange] = (),
        rules: NetworkRules | None = None,
    ) -> None:
        self.vlan_ranges = vlan_ranges
        self.rules = rules or NetworkRules()
        self._engine = engine
        self._clock = clock or partial(now, engine)
        self._dead_after = timedelta(seconds=dead_after_s)
        self._report_every_s = report_every_s

    @property
    def engine(self) -> Engine:
        """The database, for what else is kept there."""
        return self._engine

    @contextmanager
    def write(self) -> Iterator[Work]:
        """A transaction that changes things. A constraint that a rival's transaction broke first is a Conflict."""
        try:
            with transaction(self._engine) as session:
                yield self._work(session)
        except DBAPIError as error:
            if not _by_a_rival(error):
                raise
            raise Conflict(
                f"Somebody else changed this at the same time; try again ({error.orig})."
            ) from error

    @contextmanager
    def write_to_port(self, port_id: str) -> Iterator[tuple[Work, str | None]]:
        """`write` with this port locked, and the host of its ACTIVE binding as it was before the wait for that."""
        if locks_rows(self._engine):
            with self.write() as work:
                yield work, ports.lock_port(work, port_id)
            return
        seen = look(self._engine, bindings.ACTIVE_HOST, {"id": port_id})
        with self.write() as work:
            yield work, seen

    @contextmanager
    def read(self) -> Iterator[Work]:
        """A transaction that only looks."""
        with reading(self._engine) as session:
            yield self._work(session)

    @contextmanager
    def read_once(self) -> Iterator[Work]:
        """For one single statement, which sees one state without a transaction around it."""
        with single_statement(self._engine) as session:
            yield self._work(session)

    def _work(self, session: Session) -> Work:
        return Work(session, self._clock(), self._dead_after, self.rules, CALLER.get())

    # The NetworkService protocol; what each call means is said there.

    def network(self, network_id: str) -> Network:
        """The network with this id."""
        with one_statement(self._engine) as connection:
            return plain_reads.network(connection, network_id)

    def networks(self) -> list[Network]:
        """All networks, in the order in which they were made."""
        with self.read() as work:
            return [views.network(row) for row in networks.all_networks(work)]

    def create_network(self, name: str, segment: Segment, *, mtu: int = 1500) -> Network:
        """Make a network. Raises BadRequest, and Conflict if the segment is another network's."""
        with self.write() as work:
            return views.network(networks.create_network(work, segment=segment, mtu=mtu, name=name))

    def delete_network(self, network_id: str) -> None:
        """Delete a network with its subnets. Raises NetworkInUse if it has ports."""
        with self.write() as work:
            networks.delete_network(work, network_id)

    def port(self, port_id: str) -> Port:
        """The port with this id."""
        with self.read() as work:
            return views.port(ports.port(work, port_id))

    def ports_of(self, device_id: str) -> list[Port]:
        """The ports of a server, in the order in which they were made."""
        with self.read() as work:
            return [views.port(row) for row in ports.ports(work, {"device_id": [device_id]})]

    def bound_ports(self, device_id: str) -> list[tuple[Port, list[Binding]]]:
        """The ports of a server, each with all its bindings, all of one moment."""
        with statements(self._engine, read_only=True) as connection:
            return plain_reads.bound_ports(connection, device_id)

    def addresses(self, device_ids: Collection[str]) -> list[ServerAddress]:
        """The addresses of all ports of these servers, in the order in which the ports were made."""
        with statements(self._engine, read_only=True) as connection:
            return plain_reads.addresses_of(connection, device_ids)

    def bindings(self, port_id: str) -> list[Binding]:
        """All bindings of a port, the ACTIVE one first."""
        with self.read() as work:
            return [views.binding(row) for row in bindings.in_order(ports.port(work, port_id))]

    def preview(self, port_id: str, host: str) -> Binding:
        """How the port would be bound on `host`; stores nothing."""
        with self.read() as work:
            return bindings.preview(work, ports.port(work, port_id), host)

    def previews(self, device_id: str, host: str) -> dict[str, Binding | CannotBind]:
        """How each of a server's ports would be bound on `host`, or why it can't be; stores nothing."""
        found: dict[str, Binding | CannotBind] = {}
        with self.read() as work:
            for row in ports.ports(work, {"device_id": [device_id]}, networks=True):
                try:
                    found[row.id] = bindings.preview(work, row, host)
                except CannotBind as error:
                    found[row.id] = error
        return found

    def bind(self, port_id: str, host: str, *, migration_id: str | None = None) -> Binding:
        """Bind the port on `host`, ahead of a migration or for the first time."""
        with self.write() as work:
            row = ports.port(work, port_id, lock=True)
            return views.binding(bindings.bind(work, row, host, migration_id=migration_id))

    def bind_ahead(self, device_id: str, host: str, migration_id: str) -> list[Binding]:
        """Bind all ports of a server on `host` for a migration, in one transaction."""
        with self.write() as work:
            rows = ports.ports(work, {"device_id": [device_id]}, lock=True, networks=True)
            return [views.binding(bindings.bind_ahead(work, row, host, migration_id)) for row in rows]

    def switch(self, device_id: str, host: str) -> list[Binding]:
        """Make the bindings on `host` of all ports of a server ACTIVE, in one transaction."""
        with self.write() as work:
            rows = ports.ports(work, {"device_id": [device_id]}, lock=True)
            return [views.binding(row) for row in bindings.activate(work, rows, host)]

    def wirings(
        self, device_id: str, host: str, driver: str
    ) -> list[tuple[Port, Wiring, Wiring | CannotBind]]:
        """How each of a server's ports is wired on `host`, and how this driver would wire it there."""
        found: list[tuple[Port, Wiring, Wiring | CannotBind]] = []
        with self.read() as work:
            for row in ports.ports(work, {"device_id": [device_id]}):
                now_wired = bindings.wired(row, host)
                try:
                    found.append((views.port(row), now_wired, bindings.wiring(work, row, host, driver)))
                except CannotBind as error:
                    found.append((views.port(row), now_wired, error))
        return found

    def rewire(
        self, device_id: str, host: str, changes: Sequence[RewiredPort], within: Callable[[Session], None]
    ) -> None:
        """Let the ACTIVE bindings of these ports say that they are wired otherwise, in one transaction."""
        with self.write() as work:
            rows = {row.id: row for row in ports.ports(work, {"device_id": [device_id]}, lock=True)}
            for change in changes:
                if change.port_id not in rows:
                    raise PortNotFound(change.port_id)
                bindings.rewire(work, rows[change.port_id], host, change)
            within(work.session)

    def unbind_all(self, device_id: str, host: str) -> None:
        """Delete the bindings on `host` of all ports of a server, in one transaction."""
        with self.write() as work:
            for row in ports.ports(work, {"device_id": [device_id]}, lock=True):
                bindings.unbind(work, row, host)

    def unbind(self, port_id: str, host: str, *, even_active: bool = False) -> None:
        """Delete the binding on `host`."""
        with self.write() as work:
            bindings.unbind(work, ports.port(work, port_id, lock=True), host, even_active=even_active)

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
        """Make a port. With `fixed_ips` None it gets addresses from the network's subnets, if there are any."""
        with self.write() as work:
            row = ports.create_port(
                work,
                networks.network(work, network_id, hold=True),
                mac_address=mac_address,
                addresses=None if fixed_ips is None else [WantedAddress(each) for each in fixed_ips],
                foreign_addresses=True,
                device_id=device_id,
                device_owner=device_owner,
                name=name,
            )
            return views.port(row)

    def attach_port(self, port_id: str, device_id: str) -> Port:
        """Give a port that is free to a server, or with "" take it back. Raises Conflict if it is another's."""
        with self.write() as work:
            row = ports.port(work, port_id, lock=True)
            if device_id and row.device_id:
                raise Conflict(f"Port {port_id} is a NIC of {row.device_id} already; choose or make another.")
            ports.update_port(work, row, device_id=device_id, device_owner="compute:kedge")
            return views.port(row)

    def bind_as_found(self, port_id: str, host: str, found: Recognised) -> Binding:
        """Store an ACTIVE binding that describes how a NIC is attached already. Raises Conflict if one is ACTIVE."""
        with self.write() as work:
            row = ports.port(work, port_id, lock=True)
            return views.binding(bindings.bind_as_found(work, row, host, found))

    def delete_port(self, port_id: str) -> None:
        """Delete a port with all its bindings."""
        with self.write() as work:
            ports.delete_port(work, ports.port(work, port_id, lock=True))

    # The registry of hosts.

    def record_host(self, report: HostReport) -> None:
        """Keep what an agent says of its host: backends, addresses, and the states of its VIFs."""
        with self.write() as work:
            hosts.record(work, report)
            vifs.record(work, report.host, report.vifs)

    def duties(self, host: str) -> HostDuties:
        """What an agent is to keep plugged: the VIF of every binding on its host, ACTIVE or INACTIVE."""
        with statements(self._engine, read_only=True) as connection:
            found = plain_reads.vifs_on(connection, host)
            staged = plain_reads.staged_on(connection, host, found)
            return HostDuties(found, self._report_every_s, staged=staged)

    def hosts(self, names: Collection[str] | None = None) -> list[Host]:
        """All hosts by name, or these of them, dead ones too."""
        with self.read() as work:
            return hosts.all_hosts(work, names)

    def host(self, name: str) -> Host:
        """The host of this name. Raises NotFound."""
        with self.read() as work:
            return hosts.host(work, name)

    def force_down(self, name: str, forced_down: bool) -> Host:
        """Note that a host is off, or take that back. Raises NotFound."""
        with self.write() as work:
            return hosts.force_down(work, name, forced_down)
