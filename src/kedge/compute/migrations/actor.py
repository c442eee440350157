"""Doing what was decided. Each action may be done again, by whoever decides it again after a crash."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kedge.core.domain_xml import attachments, nic_of
from kedge.core.migration import Act, Action, Outcome, Role
from kedge.core.migration.pace import first_limit_ms
from kedge.model.domain import DomainState, TransferOrder, VifState
from kedge.model.errors import HostFailure, KedgeError, StaleEpoch, Unreachable
from kedge.model.network import BindingStatus
from kedge.model.server import STATUS_OF_DOMAIN, Migration, MigrationStatus, Phase, Server
from kedge.network.service import NetworkService
from kedge.wire.messages import MOST_VIFS, AnnounceOrder, DiscardOrder, PlugOrder, ResumeOrder

from ..hosts.agents import Agents, unplug_all
from ..hosts.commands import Commands
from ..records.host_settings import HostSettingsRecords
from ..records.migrations import MigrationRecords
from ..records.plain_records import Ended, Noted
from ..records.rooms import Rooms
from ..records.servers import ServerRecords
from .looker import Looker
from .planner import Planner
from .policies import Policies


@dataclass(frozen=True)
class Tools:
    """What a migration is done with.

    `rewiring_begun` wakes who drives rewirings in this process. `operation_news` wakes who drives operations: one was
    begun, or something that it waits for has ended.
    """

    servers: ServerRecords
    migrations: MigrationRecords
    network: NetworkService
    agents: Agents
    planner: Planner
    settings: HostSettingsRecords
    rooms: Rooms
    commands: Commands = field(default_factory=Commands)
    policies: Policies = field(default_factory=Policies)
    rewiring_begun: threading.Event = field(default_factory=threading.Event)
    operation_news: threading.Event = field(default_factory=threading.Event)


_ENDS: Mapping[Outcome, MigrationStatus] = {
    Outcome.COMPLETED: MigrationStatus.COMPLETED,
    Outcome.FAILED: MigrationStatus.FAILED,
    Outcome.CANCELLED: MigrationStatus.CANCELLED,
    Outcome.LOST: MigrationStatus.FAILED,
}


class Actor:
    """Acts for one migration, with the epoch of the conductor that drives it."""

    def __init__(self, migration: Migration, epoch: int, looker: Looker, tools: Tools) -> None:
        self._migration = migration
        self._epoch = epoch
        self._looker = looker
        self._tools = tools
        self._refusal: str | None = None  # why the last transfer order was not taken
        self._acts: Mapping[Act, Callable[[Action], None]] = {
            Act.BIND: self._bind,
            Act.PLUG: self._plug,
            Act.TRANSFER: self._transfer,
            Act.RECOVER: self._recover,
            Act.ABORT_TRANSFER: self._abort_transfer,
            Act.ACTIVATE: self._activate,
            Act.ANNOUNCE: self._announce,
            Act.RESUME: self._resume,
            Act.DISCARD: self._discard,
            Act.UNPLUG: self._unplug,
            Act.UNBIND: self._unbind,
            Act.GIVE_UP: self._give_up,
            Act.FINISH: self._finish,
        }

    def act(self, action: Action) -> None:
        """Do it. Raises KedgeError when it could not be done; then it is decided again from a new look."""
        self._acts[action.act](action)

    # Before the transfer: what fails here ends the migration, as nothing has moved yet.

    def _bind(self, action: Action) -> None:
        migration = self._migration
        try:
            self._tools.network.bind_ahead(migration.server_id, migration.destination, migration.id)
        except (Unreachable, StaleEpoch):
            raise
        except KedgeError as error:
            self._stop(action, error)
            return
        try:
            self._write(Phase.BOUND)
        except StaleEpoch:
            self._take_back()
            raise

    def _take_back(self) -> None:
        """The network service knows of no epochs: a replaced conductor may bind when all is over, and nobody looks."""
        if self._tools.migrations.find(self._migration.id).finished_at is None:
            return
        for port, known in self._tools.network.bound_ports(self._migration.server_id):
            for each in known:
                if each.migration_id == self._migration.id and each.status is BindingStatus.INACTIVE:
                    self._tools.network.unbind(port.id, each.host)

    def _plug(self, action: Action) -> None:
        if action.role is Role.SOURCE:
            self._wire_again()
            return
        vifs = self._looker.vifs(Role.DESTINATION)
        agent = self._tools.agents.agent(self._migration.destination)
        queues = self._tools.planner.queues(self._server(), self._migration.destination)
        counts = {vif.port_id: queues.get(vif.mac_address, 1) for vif in vifs}
        try:
            agent.plug(PlugOrder(tuple(vifs), self._epoch, counts)).complete()
        except (Unreachable, StaleEpoch):
            raise
        except KedgeError as error:
            self._stop(action, error)
            return
        self._write(Phase.PLUGGED)

    def _transfer(self, action: Action) -> None:
        try:
            xml = self._tools.planner.destination_xml(self._server(), self._migration.destination)
        except (Unreachable, StaleEpoch):
            raise
        except KedgeError as error:
            self._stop(action, error)
            return
        order = self._order(xml)
        self._write(status=MigrationStatus.RUNNING, ordered=True)
        try:
            self._tools.agents.agent(self._migration.source).start_transfer(order)
        except KedgeError as error:
            self._refusal = str(error)
            raise
        self._write(Phase.TRANSFER)

    def _recover(self, action: Action) -> None:
        order = replace(self._order(""), postcopy=True, recover=True)
        self._tools.agents.agent(self._migration.source).start_transfer(order)
        self._write(Phase.RECOVERED)

    def _order(self, destination_xml: str) -> TransferOrder:
        destination = self._tools.agents.host(self._migration.destination)
        options = self._migration.options
        return TransferOrder(
            migration_id=self._migration.id,
            server_id=self._migration.server_id,
            epoch=self._epoch,
            libvirt_uri=destination.libvirt_uri,
            migrate_uri=destination.migrate_uri,
            destination_xml=destination_xml,
            downtime_limit_ms=first_limit_ms(options.downtime_limit_ms),
            bandwidth_mib=options.rate_mib,
            auto_converge=options.auto_converge,
            postcopy=options.may_go_over,
            connections=options.connections,
            compression=options.compression,
            compression_level=options.compression_level,
        )

    def _stop(self, action: Action, error: KedgeError) -> None:
        self._tools.migrations.give_up(
            self._migration.id,
            self._epoch,
            f"could not {action.act} on {self._migration.destination}: {error}",
        )

    def _abort_transfer(self, action: Action) -> None:
        self._write(status=MigrationStatus.ROLLING_BACK)
        agent = self._tools.agents.agent(self._migration.source)
        agent.abort_transfer(self._migration.id, self._epoch, self._migration.server_id)

    # The switchover.

    def _activate(self, action: Action) -> None:
        host = self._host(action)
        self._tools.network.switch(self._migration.server_id, host)
        if action.role is Role.DESTINATION:
            phases = [*self._pause(), Noted(Phase.SWITCHED)]
            self._write(*phases, status=MigrationStatus.SWITCHING, server={"host": host})
        else:
            self._write(server={"host": host})

    def _announce(self, action: Action) -> None:
        agent = self._tools.agents.agent(self._migration.destination)
        vifs = self._looker.vifs(Role.DESTINATION)
        for first in range(0, len(vifs), MOST_VIFS):
            agent.announce(AnnounceOrder(tuple(vifs[first : first + MOST_VIFS])))
        self._write(Phase.ANNOUNCED, status=MigrationStatus.SETTLING)

    # The way back, and cleaning on either side.

    def _wire_again(self) -> None:
        """Plug what the VM on the source has lost meanwhile; what can't be mended becomes a part of the report."""
        try:
            self._mend_source()
        except (Unreachable, StaleEpoch):
            raise
        except KedgeError as error:
            why = f"the VM stays on {self._migration.source} and is not wired there: {error}"
            self._tools.migrations.add_reason(self._migration.id, self._epoch, Phase.UNWIRED, why)

    def _mend_source(self) -> None:
        agent = self._tools.agents.agent(self._migration.source)
        nics = attachments(agent.domain_xml(self._migration.server_id))
        found = self._looker.gathered.views[Role.SOURCE].vifs
        lost = [vif for vif in self._looker.vifs(Role.SOURCE) if found.get(vif.port_id) is not VifState.UP]
        of_vif = {vif.port_id: nic_of(vif, nics) for vif in lost}
        ours = tuple(vif for vif in lost if of_vif[vif.port_id] is not None)
        queues = {port_id: nic.queues for port_id, nic in of_vif.items() if nic is not None}
        results = agent.plug(PlugOrder(ours, self._epoch, queues)).complete()
        for port_id, nic in of_vif.items():
            if nic is None:
                raise HostFailure(
                    f"the device of port {port_id} is not Kedge's; attach that NIC again by hand"
                )
        for report in results.done:
            if report.state is not VifState.UP:
                raise HostFailure(
                    f"the device of port {report.port_id} is gone; detach and attach that NIC by hand"
                )

    def _resume(self, action: Action) -> None:
        self._tools.agents.agent(self._migration.source).resume_domain(
            self._migration.server_id, ResumeOrder(self._epoch)
        )

    def _discard(self, action: Action) -> None:
        order = DiscardOrder(action.only_in, self._epoch)
        self._tools.agents.agent(self._host(action)).discard_domain(self._migration.server_id, order)
        if DomainState.RUNNING in action.only_in:
            self._write(Phase.TWIN_ENDED)

    def _unplug(self, action: Action) -> None:
        role = action.role or Role.DESTINATION
        agent = self._tools.agents.agent(self._looker.hosts[role])
        self._looker.learn(
            role, unplug_all(agent, [vif.port_id for vif in self._looker.vifs(role)], self._epoch)
        )

    def _unbind(self, action: Action) -> None:
        if action.unplug:
            self._unplug(action)
        self._tools.network.unbind_all(self._migration.server_id, self._host(action))

    # The end.

    def _give_up(self, action: Action) -> None:
        view = self._looker.gathered.views.get(Role.SOURCE)
        said = (view.transfer_error if view is not None else None) or self._refusal
        why = f"{action.why}: {said}" if said else action.why
        self._tools.migrations.give_up(self._migration.id, self._epoch, why)
        self._write(Phase.GIVEN_UP, status=MigrationStatus.ROLLING_BACK)

    def _finish(self, action: Action) -> None:
        outcome = action.outcome or Outcome.FAILED
        if outcome is Outcome.LOST:
            self._tools.migrations.add_reason(self._migration.id, self._epoch, Phase.LOST, action.why)
            self._write(
                server={"status": "ERROR", "host": self._host(action)}, ended=Ended(_ENDS[outcome], {})
            )
            return
        completed = outcome is Outcome.COMPLETED
        if not completed:
            self._refuse_late_order()
        role = Role.DESTINATION if completed else Role.SOURCE
        # The VM is whole, on one side or the other; it need not run, if somebody stopped it meanwhile.
        view = self._looker.gathered.views.get(role)
        status = STATUS_OF_DOMAIN.get(view.domain, "ACTIVE") if view is not None else "ACTIVE"
        server = {"status": status, "host": self._looker.hosts[role]}
        if completed:
            self._complete(server)
            return
        self._write(Phase.ROLLED_BACK, server=server)
        self._tools.migrations.finish(
            self._migration.id, self._epoch, _ENDS[outcome], {}, retry=outcome is Outcome.FAILED
        )

    def _complete(self, server: Mapping[str, str]) -> None:
        blackout = self._looker.blackout()
        figures: dict[str, Any] = {"guest_downtime_ms": self._looker.gathered.downtime_ms}
        detail = {}
        if blackout is not None:
            figures["network_blackout_ms"] = blackout.ms
            figures["network_blackout_between"] = " ".join(blackout.between)
            detail = {"blackout measured between its last": "{} and first {}".format(*blackout.between)}
        phases = [*self._pause(), Noted(Phase.VERIFIED), Noted(Phase.SETTLED, detail=detail)]
        self._write(*phases, server=server, ended=Ended(MigrationStatus.COMPLETED, figures))

    def _refuse_late_order(self) -> None:
        """A transfer order of a conductor that was replaced may still be on its way; nobody would drive it."""
        if self._tools.migrations.intent(self._migration.id, self._epoch).orders:
            self._tools.agents.agent(self._migration.source).abort_transfer(self._migration.id, self._epoch)

    def _server(self) -> Server:
        return self._tools.servers.find(self._migration.server_id)

    def _host(self, action: Action) -> str:
        return self._looker.hosts[action.role or Role.DESTINATION]

    def _write(self, *phases: Phase | Noted, **what: Any) -> None:
        """As `MigrationRecords.write`, phases at the present."""
        noted = (each if isinstance(each, Noted) else Noted(each) for each in phases)
        self._tools.migrations.write(self._migration.id, self._epoch, *noted, **what)

    def _pause(self) -> list[Noted]:
        """When libvirt said that the source VM stands still, if that is known."""
        paused_ns = self._looker.gathered.paused_ns
        return [] if paused_ns is None else [Noted(Phase.PAUSED, paused_ns)]
