"""Putting right what the doctor found, with what migrations use and behind the same guards.

Whatever touches two hosts is done by a migration that moves nothing: its row keeps every other migration of the
server away, its driver has an epoch, and `decide` says what is safe. What touches one host is a single order that
agents refuse when a migration has begun there since the doctor looked (its epoch is the newest of that look).
No order here destroys, pauses or moves a VM.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Engine

from kedge.core.doctor import Finding, Remedy, Repair
from kedge.core.domain_xml import attachments
from kedge.model.domain import DomainState
from kedge.model.errors import Conflict, KedgeError, NotFound, Unreachable
from kedge.model.network import BindingStatus, vif_of
from kedge.wire.messages import ObserveRequest, PlugOrder, ResumeOrder

from ..hosts.agents import unplug_all
from ..migrations.actor import Tools
from ..migrations.conductor import Drive
from ..records.claims import claims_in

PATIENCE_S = 30.0
"""How long a repair that is a migration may take. It moves no memory; what is slower waits for a host."""

POLL_S = 0.05

_RUNS = {DomainState.RUNNING, DomainState.PAUSED}


@dataclass(frozen=True)
class Done:
    """A repair that was tried. `error` says why it could not be made; None if it was."""

    finding: Finding
    error: str | None = None


class Repairer:
    """Makes repairs.

    Args:
        tools: what migrations are made with.
        engine: of Kedge's database.
    """

    def __init__(self, tools: Tools, engine: Engine) -> None:
        self._tools = tools
        self._engine = engine
        self._remedies: Mapping[Remedy, Callable[[Repair, int], None]] = {
            Remedy.SETTLE: self._settle,
            Remedy.DRIVE: self._drive,
            Remedy.RECORD_STATUS: self._record_status,
            Remedy.RECORD_HOST: self._record_host,
            Remedy.BIND: self._bind,
            Remedy.UNBIND: self._unbind,
            Remedy.PLUG: self._plug,
            Remedy.UNPLUG: self._unplug,
            Remedy.RESUME: self._resume,
            Remedy.FREE_PORT: self._free_port,
        }

    def make(self, finding: Finding, repair: Repair, epoch: int) -> Done:
        """Make one repair; orders to agents carry `epoch`. What is in its way is said in the answer."""
        try:
            if repair.server_id and repair.remedy is not Remedy.DRIVE:
                self._tools.servers.refuse_while_migrating(repair.server_id)
            self._remedies[repair.remedy](repair, epoch)
        except KedgeError as error:
            return Done(finding, str(error))
        return Done(finding)

    # Over two hosts, by the decisions of migrations.

    def _settle(self, repair: Repair, _epoch: int) -> None:
        self._can_bind(repair)
        migration = self._tools.migrations.add_settling(repair.server_id, repair.host, repair.destination)
        self._to_its_end(migration.id)

    def _can_bind(self, repair: Repair) -> None:
        """Raises CannotBind for a port that its host can't take: that migration would never end."""
        home = self._keeper(repair)
        for port, bindings in self._tools.network.bound_ports(repair.server_id):
            present = next((each for each in bindings if each.host == home), None)
            if present is None or present.status is BindingStatus.INACTIVE:
                self._tools.network.preview(port.id, home)

    def _keeper(self, repair: Repair) -> str:
        """Which of both hosts will have the server; one that does not answer is not seen to."""
        states = {}
        for host in (repair.host, repair.destination):
            try:
                states[host] = self._state(repair.server_id, host)
            except Unreachable:
                states[host] = DomainState.ABSENT
        if states[repair.destination] not in _RUNS and states[repair.host] in {
            *_RUNS,
            DomainState.SWITCHOVER,
        }:
            return repair.host
        return repair.destination

    def _drive(self, repair: Repair, _epoch: int) -> None:
        self._to_its_end(repair.migration_id)

    def _to_its_end(self, migration_id: str) -> None:
        """Drive a migration, or look on while a conductor that was quicker does."""
        deadline = time.monotonic() + PATIENCE_S
        claims = claims_in(self._engine)
        try:
            while self._tools.migrations.find(migration_id).finished_at is None:
                if time.monotonic() > deadline:
                    raise Unreachable(
                        f"Migration {migration_id}, which cleans up there, has not ended after {PATIENCE_S:g} s;"
                        " it goes on by itself: `kedge migrations show` says what it waits for."
                    )
                if claims.claim({migration_id}):
                    self._drive_until(migration_id, deadline)
                time.sleep(POLL_S)
        finally:
            claims.close()

    def _drive_until(self, migration_id: str, deadline: float) -> None:
        stopping = threading.Event()
        timer = threading.Timer(max(0.0, deadline - time.monotonic()), stopping.set)
        timer.start()
        try:
            Drive(migration_id, self._tools, stopping).run()
        finally:
            timer.cancel()

    # Single orders.

    def _record_status(self, repair: Repair, _epoch: int) -> None:
        self._tools.servers.change(repair.server_id, status=repair.status)

    def _record_host(self, repair: Repair, _epoch: int) -> None:
        if not self._runs(repair.server_id, repair.host):
            raise Conflict(f"The server does not run on {repair.host} any more; let the doctor look again.")
        self._tools.servers.change(repair.server_id, host=repair.host)

    def _bind(self, repair: Repair, _epoch: int) -> None:
        network = self._tools.network
        for port, bindings in network.bound_ports(repair.server_id):
            if not any(each.host == repair.host for each in bindings):
                network.bind(port.id, repair.host)
        network.switch(repair.server_id, repair.host)

    def _unbind(self, repair: Repair, _epoch: int) -> None:
        for port, bindings in self._tools.network.bound_ports(repair.server_id):
            if any(each.host == repair.host and each.status is BindingStatus.INACTIVE for each in bindings):
                self._tools.network.unbind(port.id, repair.host)

    def _plug(self, repair: Repair, epoch: int) -> None:
        agent = self._tools.agents.agent(repair.host)
        if not self._runs(repair.server_id, repair.host):
            raise Conflict(f"The server does not run on {repair.host} any more; let the doctor look again.")
        queues = {nic.mac: nic.queues for nic in attachments(agent.domain_xml(repair.server_id))}
        for port, bindings in self._tools.network.bound_ports(repair.server_id):
            binding = next((each for each in bindings if each.host == repair.host), None)
            if port.id == repair.port_id and binding is not None:
                vif = vif_of(port, self._tools.network.network(port.network_id), binding)
                counts = {vif.port_id: queues.get(vif.mac_address, 1)}
                agent.plug(PlugOrder((vif,), epoch, counts)).complete()

    def _unplug(self, repair: Repair, epoch: int) -> None:
        try:
            bindings = self._tools.network.bindings(repair.port_id)
        except NotFound:
            bindings = []
        if any(each.host == repair.host for each in bindings):
            raise Conflict(f"The port has been bound on {repair.host} meanwhile, so the VIF is needed.")
        unplug_all(self._tools.agents.agent(repair.host), [repair.port_id], epoch)

    def _resume(self, repair: Repair, epoch: int) -> None:
        for host in self._tools.agents.hosts():
            if host.name != repair.host and self._holds(repair.server_id, host.name):
                raise Conflict(f"{host.name} holds a domain of it now; let the doctor look again.")
        self._tools.agents.agent(repair.host).resume_domain(repair.server_id, ResumeOrder(epoch))

    def _free_port(self, repair: Repair, epoch: int) -> None:
        network = self._tools.network
        for host in self._tools.agents.hosts():
            if self._holds(repair.server_id, host.name):
                raise Conflict(f"{host.name} holds a domain of the port's server; adopt it instead.")
        for binding in network.bindings(repair.port_id):
            if any(host.name == binding.host for host in self._tools.agents.hosts()):
                unplug_all(self._tools.agents.agent(binding.host), [repair.port_id], epoch)
            network.unbind(repair.port_id, binding.host, even_active=True)
        network.attach_port(repair.port_id, "")

    # Looking once more, right before an order.

    def _state(self, server_id: str, host: str) -> DomainState:
        return self._tools.agents.agent(host).observe(server_id, ObserveRequest(check_vifs=False)).domain

    def _runs(self, server_id: str, host: str) -> bool:
        return self._state(server_id, host) in _RUNS

    def _holds(self, server_id: str, host: str) -> bool:
        return self._state(server_id, host) is not DomainState.ABSENT


__all__ = ["Done", "Repairer"]
