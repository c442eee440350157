"""Two real agents on lab hosts, driven through their HTTP APIs as the control plane drives them."""

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import Popen
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI, Request
from pyroute2 import netns

from kedge.lab import Lab, LabHost, image
from kedge.model.domain import DomainState, HostView, JobProgress, TransferOrder, TransferState, VifState
from kedge.model.errors import Conflict, Forbidden, HostFailure, NotFound, StaleEpoch, Unreachable
from kedge.model.network import NetworkType, Segment, Vif, VifType
from kedge.serving.server import Listener, running
from kedge.trust.certificates import CertificateAuthority, Credentials, Role, client_context, server_context
from kedge.wire.agent_client import AgentClient
from kedge.wire.encoding import seen
from kedge.wire.messages import (
    WIRE,
    AnnounceOrder,
    DiscardOrder,
    HostDuties,
    HostReport,
    ObserveRequest,
    PlugOrder,
    ResumeOrder,
    TransferTuning,
    UnplugOrder,
    VifResults,
)
from kedge.wire.version import kedge_version

pytestmark = pytest.mark.lab

PORT, CONTROL_PORT = 9897, 9898
_addresses = itertools.count(120)
INTERFACES = {"h1": "eth1", "h2": "ens5"}


class ControlPlane:
    """Takes reports, and answers with the duties that a test gave it."""

    def __init__(self) -> None:
        self.reports: dict[str, list[HostReport]] = {}
        self.peers: set[tuple[str, str]] = set()
        self.duties: dict[str, tuple[Vif, ...]] = {}

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/agent/v1/hosts/{host}/report")
        def report(host: str, report: HostReport, request: Request) -> HostDuties:
            self.peers.add((request.scope["kedge.peer"]["name"], host))
            self.reports.setdefault(host, []).append(report)
            return HostDuties(self.duties.get(host, ()), report_every_s=0.3)

        return app


@dataclass
class Site:
    """Agents on h1 and h2, clients of both, and a control plane of the test's own."""

    lab: Lab
    control: ControlPlane
    agents: dict[str, AgentClient]
    processes: dict[str, Popen[bytes]]
    configs: dict[str, Path]
    authority: CertificateAuthority
    directory: Path

    def start_agent(self, host: str) -> None:
        log = self.directory / f"{host}.log"
        self.processes[host] = self.lab.hosts[host].python(
            "kedge.agent", "--config", str(self.configs[host]), log=log
        )
        until(lambda: self.agents[host].host().libvirt_version > 0, 20)

    def stop_agent(self, host: str, *, kill: bool = False) -> None:
        process = self.processes.pop(host)
        process.kill() if kill else process.terminate()
        process.wait(20)


def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Waits until `condition` answers something true, and gives that; a failure to answer counts as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = condition()
        except (Unreachable, HostFailure):
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("agents")
    authority = CertificateAuthority.create(directory / "ca")
    control_address = lab.control.spec.address
    assert control_address is not None
    own = authority.issue("control", Role.CONTROL, [control_address], directory)
    configs = {host: write_config(lab, authority, directory, host) for host in INTERFACES}
    control = ControlPlane()
    netns.pushns(lab.control.netns)
    try:
        listener = Listener.tcp(control_address, CONTROL_PORT, tls=server_context(own))
        agents = {
            host: AgentClient(f"https://{lab.hosts[host].address}:{PORT}", client_context(own), host=host)
            for host in INTERFACES
        }
        with running(control.app(), [listener]):
            site = Site(lab, control, agents, {}, configs, authority, directory)
            for host in INTERFACES:
                site.start_agent(host)
            yield site
            for host in list(site.processes):
                site.stop_agent(host)
            for agent in agents.values():
                agent.close()
    finally:
        netns.popns()


def write_config(lab: Lab, authority: CertificateAuthority, directory: Path, name: str) -> Path:
    host = lab.hosts[name]
    made = authority.issue(name, Role.AGENT, [str(host.address)], directory)
    file = directory / f"{name}.toml"
    settings = {
        "host": name,
        "listen": f"{host.address}:{PORT}",
        "control": f"https://{lab.control.spec.address}:{CONTROL_PORT}",
        "certificate": str(made.certificate),
        "key": str(made.key),
        "ca": str(made.ca),
        "state_dir": str(directory / f"{name}-state"),
        "libvirt_uri": host.libvirt_uri,
        "migrate_uri": host.migrate_uri,
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    lines += ["[[backend]]", 'driver = "macvtap"', f'mappings = {{ physnet1 = "{INTERFACES[name]}" }}']
    file.write_text("\n".join(lines))
    return file


@dataclass
class Machine:
    """A VM with one NIC on physnet1, and its VIF on each host."""

    uuid: str
    vifs: dict[str, Vif]

    @property
    def address(self) -> str:
        return self.vifs["h1"].fixed_ips[0]

    def xml(self, host: str) -> str:
        vif = self.vifs[host]
        interface = (
            f"<interface type='ethernet'><mac address='{vif.mac_address}'/>"
            f"<target dev='{vif.tap_name}' managed='no'/><model type='virtio'/></interface>"
        )
        nics = [(vif.mac_address, f"{self.address}/24")]
        return image.domain_xml(f"agent-{self.uuid[:8]}", self.uuid, nics, [interface])


def new_machine() -> Machine:
    # Each has an address of its own, because the observer remembers whose the last one's was.
    address = f"198.51.100.{next(_addresses)}"
    mac = "fa:16:3e:" + ":".join(f"{byte:02x}" for byte in os.urandom(3))
    port_id = str(uuid4())
    vifs = {
        host: Vif(
            port_id=port_id,
            network_id=str(uuid4()),
            mac_address=mac,
            segment=Segment(NetworkType.FLAT, "physnet1"),
            vif_type=VifType.MACVTAP,
            vif_details={
                "physical_interface": interface,
                "macvtap_source": interface,
                "macvtap_mode": "bridge",
            },
            fixed_ips=(address,),
        )
        for host, interface in INTERFACES.items()
    }
    return Machine(str(uuid4()), vifs)


@pytest.fixture
def machine(site: Site) -> Iterator[Machine]:
    """Runs on h1, and answers pings."""
    machine = new_machine()
    vif = machine.vifs["h1"]
    site.control.duties = {host: (machine.vifs[host],) for host in INTERFACES}
    assert state_of(site.agents["h1"].plug(PlugOrder((vif,)))) is VifState.UP
    site.agents["h1"].create_domain(machine.uuid, machine.xml("h1"))
    site.agents["h1"].create_domain(machine.uuid, machine.xml("h1"))
    until(lambda: answers_ping(site.lab, machine), 60)
    yield machine
    for host, agent in site.agents.items():
        if host not in site.processes:
            site.start_agent(host)
        agent.delete_domain(machine.uuid)
        agent.unplug(UnplugOrder((vif.port_id,))).complete()
    site.control.duties = {}


def state_of(results: VifResults) -> VifState:
    (report,) = results.complete().done
    return report.state


def answers_ping(lab: Lab, machine: Machine) -> bool:
    ping = ["ping", "-c1", "-W1", machine.address]
    return lab.observer.run(ping, check=False).returncode == 0


def order_for(site: Site, machine: Machine, **changes: Any) -> TransferOrder:
    order = TransferOrder(
        migration_id=str(uuid4()),
        server_id=machine.uuid,
        epoch=1,
        libvirt_uri=site.lab.hosts["h2"].libvirt_uri,
        migrate_uri=site.lab.hosts["h2"].migrate_uri,
        destination_xml=machine.xml("h2"),
        downtime_limit_ms=30,
    )
    return replace(order, **changes)


def observe(site: Site, host: str, machine: Machine, **request: Any) -> HostView:
    return site.agents[host].observe(machine.uuid, ObserveRequest((machine.vifs[host],), **request))


def follow(site: Site, host: str, machine: Machine, migration_id: str, seconds: float = 60) -> list[HostView]:
    """Every different view of a host until the transfer is over there, by long-polls."""
    views: list[HostView] = []
    deadline = time.monotonic() + seconds
    while not views or views[-1].transfer is TransferState.RUNNING:
        assert time.monotonic() < deadline, views
        before = seen(views[-1]) if views else ""
        view = observe(site, host, machine, migration_id=migration_id, watch=True, wait_ms=1000, seen=before)
        if seen(view) != before:
            views.append(view)
    return views


def test_a_vm_moves_between_two_agents(site: Site, machine: Machine) -> None:
    source, destination = site.agents["h1"], site.agents["h2"]
    port_id = machine.vifs["h1"].port_id
    before = observe(site, "h1", machine)
    assert (before.domain, before.job, before.persistent) == (DomainState.RUNNING, False, True)
    assert before.vifs == {port_id: VifState.UP}

    assert state_of(destination.plug(PlugOrder((machine.vifs["h2"],), epoch=1))) is VifState.UP
    order = order_for(site, machine)
    ahead = observe(site, "h2", machine, migration_id=order.migration_id, watch=True)
    assert (ahead.domain, ahead.vifs) == (DomainState.ABSENT, {port_id: VifState.UP})

    source.start_transfer(order)
    source.start_transfer(order)
    views = follow(site, "h1", machine, order.migration_id)
    assert views[0].domain is DomainState.RUNNING
    assert views[-1].transfer is TransferState.SUCCEEDED
    # libvirt ends the source's domain first and forgets it then; a look may fall in between.
    assert views[-1].domain in (DomainState.SHUTOFF, DomainState.ABSENT)
    until(lambda: observe(site, "h1", machine).domain is DomainState.ABSENT)
    paused_at_ns = views[-1].paused_at_ns
    assert paused_at_ns is not None

    arrived = until(
        lambda: is_running(observe(site, "h2", machine, migration_id=order.migration_id, watch=True))
    )
    assert arrived.persistent
    assert not arrived.job
    assert arrived.vifs == {port_id: VifState.UP}
    assert arrived.completed is not None
    assert arrived.completed.downtime_ms is not None
    assert 0 < arrived.completed.downtime_ms < 5000
    assert arrived.resumed_at_ns is not None
    assert 0 < arrived.resumed_at_ns - paused_at_ns < 5e9

    destination.announce(AnnounceOrder((machine.vifs["h2"],), repeat=2, interval_ms=20))
    until(lambda: answers_ping(site.lab, machine))
    first = until(lambda: frames_of(site, "h2", machine, order.migration_id).first_ns)
    last = frames_of(site, "h1", machine, order.migration_id).last_ns
    assert last is None or last < first

    # Neither the same order again nor an abort of what is over does anything.
    source.start_transfer(order)
    source.abort_transfer(order.migration_id, order.epoch)
    assert observe(site, "h2", machine).domain is DomainState.RUNNING


def is_running(view: HostView) -> HostView | None:
    return view if view.domain is DomainState.RUNNING else None


def frames_of(site: Site, host: str, machine: Machine, migration_id: str) -> Any:
    view = observe(site, host, machine, migration_id=migration_id, watch=True)
    return view.frames[machine.vifs[host].port_id]


def test_the_pause_is_seen_while_it_lasts(site: Site, machine: Machine) -> None:
    source = site.agents["h1"]
    site.agents["h2"].plug(PlugOrder((machine.vifs["h2"],)))
    order = order_for(site, machine, bandwidth_mib=20)
    source.start_transfer(order)
    until(lambda: progress_of(site, machine, order).memory_total)
    # Without the destination's libvirtd the VM can't be handed over, and the source stays in its pause.
    with stopped_libvirtd(site.lab.hosts["h2"]):
        source.tune_transfer(order.migration_id, TransferTuning(epoch=1, bandwidth_mib=0))
        view = observe(site, "h1", machine, migration_id=order.migration_id)
        while view.domain is DomainState.RUNNING:
            view = observe(
                site, "h1", machine, migration_id=order.migration_id, wait_ms=5000, seen="running/1/running"
            )
        assert (view.domain, view.job, view.transfer) == (DomainState.SWITCHOVER, True, TransferState.RUNNING)
        # The state may be seen an instant before libvirt's event of it arrives.
        paused_at_ns = until(lambda: observe(site, "h1", machine).paused_at_ns)
        assert -1e9 < view.now_ns - paused_at_ns < 1e9
        with pytest.raises(Conflict, match="job: outgoing"):
            source.resume_domain(machine.uuid, ResumeOrder())
        with pytest.raises(Conflict, match="switchover"):
            source.discard_domain(machine.uuid, DiscardOrder((DomainState.INCOMING, DomainState.SHUTOFF)))
    assert follow(site, "h1", machine, order.migration_id)[-1].transfer is TransferState.SUCCEEDED
    until(lambda: is_running(observe(site, "h2", machine)))


def progress_of(site: Site, machine: Machine, order: TransferOrder) -> JobProgress:
    return observe(site, "h1", machine, migration_id=order.migration_id).progress or JobProgress()


@contextmanager
def stopped_libvirtd(host: LabHost) -> Iterator[None]:
    host.shell("kill -STOP $(cat /run/libvirtd.pid)")
    try:
        yield
    finally:
        host.shell("kill -CONT $(cat /run/libvirtd.pid)")


def test_an_aborted_transfer_leaves_the_vm_where_it_was(site: Site, machine: Machine) -> None:
    source, destination = site.agents["h1"], site.agents["h2"]
    destination.plug(PlugOrder((machine.vifs["h2"],)))
    order = order_for(site, machine, bandwidth_mib=2)
    source.start_transfer(order)
    until(lambda: observe(site, "h2", machine).domain is DomainState.INCOMING)
    incoming = observe(site, "h2", machine)
    assert (incoming.job, incoming.persistent) == (True, False)
    assert incoming.vifs[machine.vifs["h2"].port_id] is VifState.UP

    # The guard: what is decided on an old view can't hurt the running VM, nor a domain that still comes in.
    with pytest.raises(Conflict, match="running"):
        source.discard_domain(machine.uuid, DiscardOrder((DomainState.INCOMING, DomainState.SHUTOFF)))
    with pytest.raises(Conflict, match="incoming"):
        destination.resume_domain(machine.uuid, ResumeOrder())

    source.tune_transfer(order.migration_id, TransferTuning(epoch=1, downtime_limit_ms=1, bandwidth_mib=1))
    source.abort_transfer(order.migration_id, order.epoch)
    views = follow(site, "h1", machine, order.migration_id)
    assert (views[-1].transfer, views[-1].domain) == (TransferState.FAILED, DomainState.RUNNING)
    assert "cancel" in str(views[-1].transfer_error)
    until(lambda: observe(site, "h2", machine).domain is DomainState.ABSENT)
    assert observe(site, "h1", machine).paused_at_ns is None
    assert answers_ping(site.lab, machine)

    # The same order does not start a second attempt; an older one is refused; one for another host's domain too.
    source.start_transfer(order)
    assert not observe(site, "h1", machine).job
    source.abort_transfer(order.migration_id, 5)
    with pytest.raises(StaleEpoch):
        source.start_transfer(replace(order, epoch=4))
    with pytest.raises(NotFound):
        destination.start_transfer(order_for(site, machine))


def test_an_abort_that_comes_first_keeps_the_transfer_from_starting(site: Site, machine: Machine) -> None:
    order = order_for(site, machine)
    site.agents["h1"].abort_transfer(order.migration_id, order.epoch)
    with pytest.raises(Conflict, match="aborted"):
        site.agents["h1"].start_transfer(order)
    assert observe(site, "h1", machine, migration_id=order.migration_id).transfer is TransferState.NONE


def test_a_transfer_that_fails_says_why(site: Site, machine: Machine) -> None:
    order = order_for(site, machine, libvirt_uri="qemu+tcp://192.0.2.250:1/system")
    site.agents["h1"].start_transfer(order)
    view = follow(site, "h1", machine, order.migration_id, 30)[-1]
    assert (view.transfer, view.domain) == (TransferState.FAILED, DomainState.RUNNING)
    assert "192.0.2.250" in str(view.transfer_error)
    assert site.agents["h1"].host().libvirt_version > 0


def test_a_killed_agent_finds_its_transfer_again(site: Site, machine: Machine) -> None:
    site.agents["h2"].plug(PlugOrder((machine.vifs["h2"],)))
    order = order_for(site, machine, bandwidth_mib=8, epoch=3)
    site.agents["h1"].start_transfer(order)
    until(lambda: observe(site, "h1", machine, migration_id=order.migration_id).progress)
    site.stop_agent("h1", kill=True)
    site.start_agent("h1")
    view = observe(site, "h1", machine, migration_id=order.migration_id)
    assert (view.transfer, view.job) == (TransferState.RUNNING, True)
    with pytest.raises(StaleEpoch):
        site.agents["h1"].start_transfer(replace(order, epoch=2))
    site.agents["h1"].start_transfer(order)
    site.agents["h1"].tune_transfer(order.migration_id, TransferTuning(epoch=3, bandwidth_mib=0))
    assert follow(site, "h1", machine, order.migration_id)[-1].transfer is TransferState.SUCCEEDED
    until(lambda: is_running(observe(site, "h2", machine)))


def test_a_killed_agent_can_still_abort(site: Site, machine: Machine) -> None:
    site.agents["h2"].plug(PlugOrder((machine.vifs["h2"],)))
    order = order_for(site, machine, bandwidth_mib=2)
    site.agents["h1"].start_transfer(order)
    until(lambda: observe(site, "h1", machine, migration_id=order.migration_id).progress)
    site.stop_agent("h1", kill=True)
    site.start_agent("h1")
    site.agents["h1"].abort_transfer(order.migration_id, 2)
    view = follow(site, "h1", machine, order.migration_id)[-1]
    assert (view.transfer, view.domain, view.job) == (TransferState.FAILED, DomainState.RUNNING, False)
    assert "restarted" in str(view.transfer_error)


def test_what_nothing_explains_is_collected(site: Site, machine: Machine) -> None:
    left = new_machine().vifs["h1"]
    site.agents["h1"].plug(PlugOrder((left,)))
    until(lambda: left.port_id not in {vif.port_id for vif in site.agents["h1"].vifs()}, 5)
    # What a domain here uses stays, even if the control plane should forget its binding.
    site.control.duties = {}
    time.sleep(1.5)
    assert [vif.port_id for vif in site.agents["h1"].vifs()] == [machine.vifs["h1"].port_id]


def test_a_binding_keeps_a_vif_that_no_domain_uses_yet(site: Site) -> None:
    vif = new_machine().vifs["h1"]
    site.control.duties = {"h1": (vif,)}
    site.agents["h1"].plug(PlugOrder((vif,)))
    time.sleep(1.5)
    assert [each.port_id for each in site.agents["h1"].vifs()] == [vif.port_id]
    site.control.duties = {}
    until(lambda: not site.agents["h1"].vifs(), 5)


def test_reports_tell_of_the_host(site: Site, machine: Machine) -> None:
    report = until(
        lambda: machine.uuid in site.control.reports["h1"][-1].running and site.control.reports["h1"][-1]
    )
    asked = site.agents["h1"].host()
    assert report.id
    assert replace(report, id="", now_ns=0) == replace(asked, now_ns=0)
    assert 0 < asked.now_ns - report.now_ns < 60e9
    assert report.domains == {machine.uuid: DomainState.RUNNING}
    assert (report.version, report.wire, report.half_made) == (kedge_version(), WIRE, ())
    assert report.backends[0].mappings == {"physnet1": "eth1"}
    assert report.backends[0].mtus == {"physnet1": 1500}
    assert report.vifs == {machine.vifs["h1"].port_id: VifState.UP}
    assert site.control.peers == {("h1", "h1"), ("h2", "h2")}


def test_a_change_is_reported_at_once(site: Site, machine: Machine) -> None:
    count = len(site.control.reports["h1"])
    site.agents["h1"].delete_domain(machine.uuid)
    until(lambda: machine.uuid not in site.control.reports["h1"][-1].running, 0.6)
    assert len(site.control.reports["h1"]) > count


def test_only_the_control_plane_is_let_in(site: Site) -> None:
    url = f"https://{site.lab.hosts['h1'].address}:{PORT}"
    other = Credentials(site.directory / "h2.pem", site.directory / "h2.key", site.directory / "ca.pem")
    neighbour = AgentClient(url, client_context(other), host="h1")
    with pytest.raises(Forbidden):
        neighbour.host()
    neighbour.close()
    foreign = CertificateAuthority.create(site.directory / "foreign")
    mine = foreign.issue("control", Role.CONTROL, [], site.directory / "foreign")
    stranger = AgentClient(url, client_context(replace(mine, ca=site.directory / "ca.pem")), host="h1")
    with pytest.raises(Unreachable):
        stranger.host()
    stranger.close()


def test_a_restarted_libvirtd_is_found_again(site: Site, machine: Machine) -> None:
    host = site.lab.hosts["h1"]
    reports = len(site.control.reports["h1"])
    pid = host.shell("cat /run/libvirtd.pid").strip()
    host.shell(f"kill -9 {pid}")
    until(lambda: "does not answer" in str(refusal(lambda: observe(site, "h1", machine))))
    until(
        lambda: site.control.reports["h1"][reports:] and site.control.reports["h1"][-1].libvirt_version == 0
    )
    # A host whose libvirtd is away does not look as if its VMs were gone.
    assert machine.uuid in site.control.reports["h1"][-1].running
    restart_libvirtd(host)
    view = until(lambda: observe(site, "h1", machine), 20)
    assert view.domain is DomainState.RUNNING
    # The events come again too.
    count = len(site.control.reports["h1"])
    site.agents["h1"].delete_domain(machine.uuid)
    until(lambda: len(site.control.reports["h1"]) > count and not site.control.reports["h1"][-1].running, 2)


def test_a_transfer_ends_with_the_libvirtd_that_ran_it(site: Site, machine: Machine) -> None:
    site.agents["h2"].plug(PlugOrder((machine.vifs["h2"],)))
    order = order_for(site, machine, bandwidth_mib=2)
    site.agents["h1"].start_transfer(order)
    until(lambda: progress_of(site, machine, order).memory_total)
    host = site.lab.hosts["h1"]
    host.shell("kill -9 $(cat /run/libvirtd.pid)")
    until(lambda: refusal(lambda: observe(site, "h1", machine)))
    restart_libvirtd(host)
    view = until(lambda: observe(site, "h1", machine, migration_id=order.migration_id), 20)
    assert (view.domain, view.job, view.transfer) == (DomainState.RUNNING, False, TransferState.FAILED)
    assert "restarted" in str(view.transfer_error)
    until(lambda: observe(site, "h2", machine).domain is DomainState.ABSENT, 30)


def refusal(call: Callable[[], Any]) -> HostFailure | None:
    try:
        call()
    except HostFailure as error:
        return error
    return None


def restart_libvirtd(host: Any) -> None:
    from kedge.lab.hypervisor import start_libvirtd

    start_libvirtd(host)
