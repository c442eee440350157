"""The parts of an agent, put together."""

from kedge.agent.config import AgentConfig
from kedge.agent.domains.allowed_files import check_files
from kedge.agent.domains.hypervisor import Hypervisor
from kedge.agent.domains.libvirt_connection import Connection
from kedge.agent.domains.libvirt_events import Events, is_step_of_migration
from kedge.agent.domains.transfers import Transfers
from kedge.agent.frames.announce import Announcer
from kedge.agent.frames.asking import Askers
from kedge.agent.frames.migration_watches import FrameWatches
from kedge.agent.host.facts import FactsOfHost
from kedge.agent.on_disk.half_made import HalfMade
from kedge.agent.on_disk.highest_epochs import Epochs
from kedge.agent.repair_and_cleanup.broken_vifs import Mender
from kedge.agent.repair_and_cleanup.domains_to_discard import DomainsToDiscard
from kedge.agent.repair_and_cleanup.reconciler import Reconciler
from kedge.agent.repair_and_cleanup.unused_vifs import Collector
from kedge.agent.reporting.host_view import Observer
from kedge.agent.reporting.plan_answers import PlanAnswers
from kedge.agent.reporting.report import Reporter, Reports
from kedge.agent.vif import Pluggers
from kedge.agent.vif.orders import VifOrders
from kedge.agent.vm_changes.guest_macs import GuestMacs
from kedge.agent.vm_changes.places import Places
from kedge.model.errors import KedgeError
from kedge.trust.certificates import client_context
from kedge.wire.messages import (
    AnnounceOrder,
    HostDuties,
    RewireOrder,
    RewireResults,
    UnplugOrder,
    VifResults,
)
from kedge.wire.peer import AnyPeer, Peer

_IN_TIME_S = 2.0
"""As often as an agent that has something to do reports by itself."""


class Agent:
    """One host's agent; `start` before serving, `close` at the end."""

    def __init__(self, config: AgentConfig, pluggers: Pluggers) -> None:
        self._files = config.files
        self.events = Events()
        self.connection = Connection(config.libvirt_local_uri, self.events)
        self.epochs = Epochs(config.state_dir / "epochs.json")
        self.hypervisor = Hypervisor(self.connection, HalfMade(config.state_dir / "half-made.json"))
        self.facts = FactsOfHost(self.connection, self.hypervisor)
        self.transfers = Transfers(
            self.connection,
            self.hypervisor,
            self.epochs,
            config.state_dir / "transfers.json",
            self.events.touch,
        )
        self.events.listen_rounds(self.transfers.round_began)
        self.vifs = VifOrders(pluggers, self.epochs, self._changed, self._changed_as_ordered)
        self.frames = FrameWatches(pluggers)
        self.announcer = Announcer(pluggers)
        self.askers = Askers(pluggers, self.frames, self.transfers.ends_soon, self.events)
        self.observer = Observer(self.hypervisor, self.transfers, pluggers, self.askers, self.events)
        self.plans = PlanAnswers(self.observer, self.hypervisor, self.facts, config.consoles)
        self.reports = Reports(config, self.hypervisor, self.transfers, self.vifs)
        self.places = Places(pluggers, self.hypervisor, self.transfers, self.events)
        self.guest_macs = GuestMacs(pluggers, self.hypervisor, self.connection, self.events)
        self.reconciler = Reconciler(
            self.hypervisor,
            self.places,
            Mender(self.vifs),
            Collector(self.vifs),
            DomainsToDiscard(self.hypervisor, self.epochs),
        )
        tls = client_context(config.credentials)
        self._control = AnyPeer([Peer("the control plane", url, tls) for url in config.control])
        self._reporter = Reporter(self._control, config.host, self.reports, self._duties)
        self.events.listen(self._lifecycle)

    def start(self) -> None:
        """Connect to libvirtd and begin to report."""
        self.places.start()
        self.guest_macs.start()
        self.connection.start()
        self.reconciler.start()
        self._reporter.start()

    def stop_waiting(self) -> None:
        """Let the requests that wait for a change return."""
        self.events.close()

    def close(self) -> None:
        """Stop everything; a transfer that runs goes on in libvirtd."""
        self.stop_waiting()
        self._reporter.close()
        self.reconciler.close()
        self._control.close()
        self.announcer.close()
        self.askers.close()
        self.frames.close()
        self.guest_macs.close()
        self.connection.close()
        self.places.close()

    def create(self, uuid: str, xml: str) -> None:
        """Define and start a domain; see `Hypervisor.create`. Raises BadRequest for files that it may not have."""
        if self._files is not None:
            check_files(xml, self._files)
        self.hypervisor.create(uuid, xml)

    def announce(self, order: AnnounceOrder) -> None:
        """Announce a VM from this host, on each VIF that can be; see `Announcer.announce`. Raises the first failure."""
        failed: list[KedgeError] = []
        for vif in order.vifs:
            try:
                self.announcer.announce(vif, order.repeat, order.interval_ms)
            except KedgeError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def rewire(self, order: RewireOrder) -> RewireResults:
        """Take a step of moving taps between switches, and announce the VMs of those that were moved."""
        return self.vifs.rewire(order, self.announcer.announce)

    def unplug(self, order: UnplugOrder) -> VifResults:
        """Unplug VIFs, and say nothing more in their names."""
        for port_id in order.port_ids:
            self.announcer.cancel(port_id)
        return self.vifs.unplug(order)

    def _changed(self) -> None:
        self._reporter.nudge()

    def _changed_as_ordered(self) -> None:
        """What the control plane knows from whoever ordered it; a report says it once more, with what follows."""
        self._reporter.nudge(_IN_TIME_S)

    def _lifecycle(self, _uuid: str, event: int, detail: int) -> None:
        if is_step_of_migration(event, detail):
            self._changed_as_ordered()
        else:
            self._changed()

    def _duties(self, duties: HostDuties, asked_at: float) -> None:
        self.vifs.stage(duties.staged, asked_at)
        self.reconciler.take(duties, asked_at)
        self.frames.expire()
