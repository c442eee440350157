"""The parts of an agent, put together."""

from kedge.agent.allowed_files import check_files
from kedge.agent.announce import Announcer
from kedge.agent.care import Care
from kedge.agent.collect import Collector
from kedge.agent.config import AgentConfig
from kedge.agent.connection import Connection
from kedge.agent.epochs import Epochs
from kedge.agent.events import Events
from kedge.agent.frame_watches import FrameWatches
from kedge.agent.host_facts import FactsOfHost
from kedge.agent.hypervisor import Hypervisor
from kedge.agent.journal import Journal
from kedge.agent.left_domains import LeftDomains
from kedge.agent.mend import Mender
from kedge.agent.observe import Observer
from kedge.agent.report import Reporter, Reports
from kedge.agent.transfers import Transfers
from kedge.agent.vif import Pluggers
from kedge.agent.vif_orders import VifOrders
from kedge.trust.certificates import client_context
from kedge.wire.messages import AnnounceOrder, HostDuties
from kedge.wire.peer import AnyPeer, Peer


class Agent:
    """One host's agent; `start` before serving, `close` at the end."""

    def __init__(self, config: AgentConfig, pluggers: Pluggers) -> None:
        self._files = config.files
        self.events = Events()
        self.connection = Connection(config.libvirt_local_uri, self.events)
        self.epochs = Epochs(config.state_dir / "epochs.json")
        self.hypervisor = Hypervisor(self.connection, Journal(config.state_dir / "half-made.json"))
        self.facts = FactsOfHost(self.connection, self.hypervisor)
        self.transfers = Transfers(
            self.connection,
            self.hypervisor,
            self.epochs,
            config.state_dir / "transfers.json",
            self.events.touch,
        )
        self.vifs = VifOrders(pluggers, self.epochs, self._changed)
        self.frames = FrameWatches(pluggers)
        self.announcer = Announcer(pluggers)
        self.observer = Observer(self.hypervisor, self.transfers, pluggers, self.frames, self.events)
        self.reports = Reports(config, self.hypervisor, self.transfers, self.vifs)
        self.care = Care(
            self.hypervisor,
            Mender(self.vifs),
            Collector(self.vifs),
            LeftDomains(self.hypervisor, self.epochs),
        )
        tls = client_context(config.credentials)
        self._control = AnyPeer([Peer("the control plane", url, tls) for url in config.control])
        self._reporter = Reporter(self._control, config.host, self.reports, self._duties)
        self.events.listen(self._changed)

    def start(self) -> None:
        """Connect to libvirtd and begin to report."""
        self.connection.start()
        self.care.start()
        self._reporter.start()

    def stop_waiting(self) -> None:
        """Let the requests that wait for a change return."""
        self.events.close()

    def close(self) -> None:
        """Stop everything; a transfer that runs goes on in libvirtd."""
        self.stop_waiting()
        self._reporter.close()
        self.care.close()
        self._control.close()
        self.announcer.close()
        self.frames.close()
        self.connection.close()

    def create(self, uuid: str, xml: str) -> None:
        """Define and start a domain; see `Hypervisor.create`. Raises BadRequest for files that it may not have."""
        if self._files is not None:
            check_files(xml, self._files)
        self.hypervisor.create(uuid, xml)

    def announce(self, order: AnnounceOrder) -> None:
        """Announce a VM from this host; see `Announcer.announce`."""
        self.announcer.announce(order.vif, order.repeat, order.interval_ms)

    def unplug(self, port_id: str, epoch: int) -> None:
        """Unplug a VIF, and say nothing more in its name."""
        self.announcer.cancel(port_id)
        self.vifs.unplug(port_id, epoch)

    def _changed(self) -> None:
        self._reporter.nudge()

    def _duties(self, duties: HostDuties, asked_at: float) -> None:
        self.care.take(duties, asked_at)
        self.frames.expire()
