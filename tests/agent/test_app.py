"""The agent's API through its client and over mutual TLS, on libvirt's test driver."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest

from kedge.agent.agent import Agent
from kedge.agent.config import AgentConfig
from kedge.agent.vif import Pluggers
from kedge.model.domain import DomainState, TransferOrder, TransferState, VifReport, VifState
from kedge.model.errors import BadRequest, Conflict, Forbidden, HostFailure, NotFound, StaleEpoch, Unreachable
from kedge.model.host_facts import FactsRequest, FileKind
from kedge.model.network import NetworkType, Segment, Vif, VifType
from kedge.trust.certificates import CertificateAuthority, Role, client_context
from kedge.wire.agent_client import AgentClient
from kedge.wire.messages import (
    MOST_VIFS,
    AnnounceOrder,
    DiscardOrder,
    ObserveRequest,
    PlugOrder,
    ResumeOrder,
    TransferTuning,
    UnplugOrder,
    VifResults,
)
from kedge.wire.plans import DepartureRequest

from .agent_stand_ins import NotedVifs, Running

MAC = "fa:16:3e:00:00:01"


def xml_of(uuid: str) -> str:
    return (
        f"<domain type='test'><name>vm-{uuid}</name><uuid>{uuid}</uuid><memory>65536</memory><os><type>hvm</type></os>"
        f"<devices><interface type='ethernet'><mac address='{MAC}'/><target dev='tap-odd'/></interface></devices>"
        "</domain>"
    )


@pytest.fixture
def uuid() -> str:
    return str(uuid4())


@pytest.fixture
def vif() -> Vif:
    segment = Segment(NetworkType.FLAT, "physnet1")
    return Vif(str(uuid4()), str(uuid4()), MAC, segment, VifType.MACVTAP, fixed_ips=("198.51.100.7",))


def test_a_domain_from_its_start_to_its_end(running_agent: Running, uuid: str) -> None:
    client = running_agent.client
    assert client.observe(uuid, ObserveRequest()).domain is DomainState.ABSENT
    client.create_domain(uuid, xml_of(uuid))
    client.create_domain(uuid, xml_of(uuid))
    view = client.observe(uuid, ObserveRequest())
    assert (view.domain, view.persistent, view.job) == (DomainState.RUNNING, True, False)
    assert abs(view.now_ns - time.time_ns()) < 5e9
    assert MAC in client.domain_xml(uuid)
    found = {summary.uuid: summary for summary in client.domains()}
    assert (found[uuid].name, found[uuid].state) == (f"vm-{uuid}", DomainState.RUNNING)
    assert uuid in client.host().running
    client.delete_domain(uuid)
    client.delete_domain(uuid)
    assert client.observe(uuid, ObserveRequest()).domain is DomainState.ABSENT
    with pytest.raises(NotFound, match=uuid):
        client.domain_xml(uuid)


def test_a_domain_that_can_not_be_is_refused(running_agent: Running, uuid: str) -> None:
    client = running_agent.client
    with pytest.raises(BadRequest, match="can't be read"):
        client.create_domain(uuid, "<domain>")
    with pytest.raises(BadRequest, match="has the UUID"):
        client.create_domain(uuid, xml_of(str(uuid4())))
    with pytest.raises(HostFailure, match="could not start"):
        client.create_domain(uuid, f"<domain type='test'><uuid>{uuid}</uuid></domain>")
    assert client.observe(uuid, ObserveRequest()).domain is DomainState.ABSENT


def test_a_domain_has_files_only_from_where_the_host_allows(
    config: AgentConfig, vifs: NotedVifs, tmp_path: Path, uuid: str
) -> None:
    limited = config.model_copy(update={"files": (tmp_path / "images",)})
    agent = Agent(limited, cast(Pluggers, vifs))
    agent.connection.start()
    disk = "<disk type='file'><source file='{}'/><target dev='vda'/></disk>"
    try:
        with pytest.raises(BadRequest, match="names '/etc/shadow'"):
            agent.create(uuid, xml_of(uuid).replace("<devices>", "<devices>" + disk.format("/etc/shadow")))
        assert agent.hypervisor.look(uuid).state is DomainState.ABSENT
        image = tmp_path / "images" / "a.img"
        agent.create(uuid, xml_of(uuid).replace("<devices>", "<devices>" + disk.format(image)))
        assert agent.hypervisor.look(uuid).state is DomainState.RUNNING
    finally:
        agent.hypervisor.delete(uuid)
        agent.close()


def test_a_domain_is_discarded_only_in_the_states_that_were_said(running_agent: Running, uuid: str) -> None:
    client = running_agent.client
    client.create_domain(uuid, xml_of(uuid))
    order = DiscardOrder((DomainState.SHUTOFF, DomainState.INCOMING), epoch=2)
    with pytest.raises(Conflict, match="is running on this host"):
        client.discard_domain(uuid, order)
    running_agent.agent.hypervisor.domain(uuid).destroy()
    with pytest.raises(StaleEpoch):
        client.discard_domain(uuid, DiscardOrder((DomainState.SHUTOFF,), epoch=1))
    assert client.observe(uuid, ObserveRequest()).domain is DomainState.SHUTOFF
    client.discard_domain(uuid, order)
    client.discard_domain(uuid, order)
    assert client.observe(uuid, ObserveRequest()).domain is DomainState.ABSENT


def test_only_a_vm_that_a_migration_left_paused_is_resumed(running_agent: Running, uuid: str) -> None:
    client = running_agent.client
    with pytest.raises(Conflict, match="absent"):
        client.resume_domain(uuid, ResumeOrder())
    client.create_domain(uuid, xml_of(uuid))
    client.resume_domain(uuid, ResumeOrder())
    running_agent.agent.hypervisor.domain(uuid).suspend()
    with pytest.raises(Conflict, match="paused"):
        client.resume_domain(uuid, ResumeOrder())
    assert client.observe(uuid, ObserveRequest()).domain is DomainState.PAUSED
    client.delete_domain(uuid)


def test_observing_waits_for_a_change(running_agent: Running, uuid: str) -> None:
    client = running_agent.client
    began = time.monotonic()
    assert (
        client.observe(uuid, ObserveRequest(wait_ms=300, seen="absent/0/none")).domain is DomainState.ABSENT
    )
    assert 0.25 < time.monotonic() - began < 10
    began = time.monotonic()
    client.observe(uuid, ObserveRequest(wait_ms=20_000, seen="running/0/none"))
    assert time.monotonic() - began < 10
    creating = threading.Timer(0.3, client.create_domain, (uuid, xml_of(uuid)))
    creating.start()
    view = client.observe(uuid, ObserveRequest(wait_ms=20_000, seen="absent/0/none"))
    assert view.domain is not DomainState.ABSENT
    assert time.monotonic() - began < 15
    creating.join()  # The domain is seen as soon as it is defined, which is before it has started.
    client.delete_domain(uuid)


def test_waiting_requests_do_not_keep_others_out(running_agent: Running, uuid: str) -> None:
    client = running_agent.client
    request = ObserveRequest(wait_ms=30_000, seen="absent/0/none")
    waiting = [threading.Thread(target=client.observe, args=(uuid, request)) for _ in range(50)]
    for thread in waiting:
        thread.start()
    time.sleep(0.5)
    began = time.monotonic()
    client.domains()
    assert time.monotonic() - began < 15
    running_agent.agent.stop_waiting()
    for thread in waiting:
        thread.join()


def test_a_strange_vif_is_known_by_the_name_in_the_domain(
    running_agent: Running, uuid: str, vif: Vif
) -> None:
    client = running_agent.client
    request = ObserveRequest(vifs=(vif,))
    assert client.observe(uuid, request).vifs == {vif.port_id: VifState.ABSENT}
    client.create_domain(uuid, xml_of(uuid))
    assert client.observe(uuid, request).vifs == {vif.port_id: VifState.UP}
    client.delete_domain(uuid)


def test_vifs_are_plugged_and_unplugged(running_agent: Running, vif: Vif) -> None:
    client = running_agent.client
    other = replace(vif, port_id=str(uuid4()))
    order = PlugOrder((vif, other), epoch=2, queues={other.port_id: 4})
    results = client.plug(order)
    assert results == client.plug(order) == VifResults(tuple(client.vifs()))
    assert running_agent.vifs.queues == {vif.port_id: 1, other.port_id: 4}
    assert client.host().vifs == dict.fromkeys((vif.port_id, other.port_id), VifState.BUILD)
    client.unplug(UnplugOrder((vif.port_id, other.port_id), epoch=2)).complete()
    assert client.unplug(UnplugOrder((vif.port_id,))).done == (VifReport(vif.port_id, VifState.ABSENT, ()),)
    assert client.vifs() == []


def test_an_order_says_of_each_vif_what_became_of_it(running_agent: Running, vif: Vif) -> None:
    client, bad, last = running_agent.client, replace(vif, port_id="bad"), replace(vif, port_id="last")
    running_agent.vifs.refused = {"bad"}
    results = client.plug(PlugOrder((vif, bad, last)))
    assert [report.port_id for report in results.done] == [vif.port_id, "last"]
    assert results.failed == {"bad": "the kernel said no"}
    with pytest.raises(HostFailure, match=r"^1 of 3 VIFs failed: port bad: the kernel said no$"):
        results.complete()
    running_agent.vifs.refused = set()
    assert [report.port_id for report in client.plug(PlugOrder((vif, bad, last))).complete().done][1] == "bad"
    running_agent.vifs.stuck = {"bad"}
    results = client.unplug(UnplugOrder((vif.port_id, "bad", "last")))
    assert [report.port_id for report in results.done] == [vif.port_id, "last"]
    assert "is there still" in results.failed["bad"]
    running_agent.vifs.stuck = set()
    client.unplug(UnplugOrder(("bad",))).complete()


def test_an_order_is_let_in_for_all_of_its_ports_or_for_none(running_agent: Running, vif: Vif) -> None:
    client, other = running_agent.client, replace(vif, port_id=str(uuid4()))
    client.plug(PlugOrder((vif,), epoch=3))
    with pytest.raises(StaleEpoch, match=vif.port_id):
        client.plug(PlugOrder((other, vif), epoch=2))
    with pytest.raises(StaleEpoch, match=vif.port_id):
        client.unplug(UnplugOrder((other.port_id, vif.port_id), epoch=2))
    assert [report.port_id for report in client.vifs()] == [vif.port_id]
    client.plug(PlugOrder((other,), epoch=1)).complete()  # epoch 2 was not noted for it
    client.unplug(UnplugOrder((vif.port_id, other.port_id))).complete()


def test_two_orders_for_the_same_ports_do_not_wait_for_each_other(running_agent: Running, vif: Vif) -> None:
    vifs = [replace(vif, port_id=f"port{number}") for number in range(4)]
    orders = [PlugOrder(tuple(vifs)), PlugOrder(tuple(reversed(vifs)))] * 10
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(running_agent.client.plug, orders))
    assert {len(each.complete().done) for each in results} == {4}
    running_agent.client.unplug(UnplugOrder(tuple(vif.port_id for vif in vifs))).complete()


def test_an_order_is_for_so_many_vifs_and_names_each_once(running_agent: Running, vif: Vif) -> None:
    many = [str(number) for number in range(MOST_VIFS + 1)]
    for body, said in (
        ({"port_ids": many}, rf"at most {MOST_VIFS} VIFs, and this one is for {MOST_VIFS + 1}"),
        ({"port_ids": ["a", "b", "a"]}, "names each port once, and this one names a more often"),
    ):
        with pytest.raises(BadRequest, match=said):
            running_agent.client._peer.call("POST", "/v1/vifs/unplug", body=body)
        with pytest.raises(BadRequest, match=said):
            UnplugOrder(tuple(body["port_ids"]))
    with pytest.raises(BadRequest, match=f"at most {MOST_VIFS} VIFs"):
        PlugOrder(tuple(replace(vif, port_id=port_id) for port_id in many))


def test_a_vm_is_announced_and_not_after_it_was_unplugged(running_agent: Running, vif: Vif) -> None:
    client = running_agent.client
    client.announce(AnnounceOrder((vif,), repeat=1))
    assert running_agent.vifs.injected == [(vif.port_id, 2)]
    client.announce(AnnounceOrder((vif,), repeat=1000, interval_ms=10))
    client.unplug(UnplugOrder((vif.port_id,)))
    count = len(running_agent.vifs.injected)
    time.sleep(0.1)
    assert len(running_agent.vifs.injected) == count


def test_a_transfer_needs_a_running_domain(running_agent: Running, uuid: str) -> None:
    client = running_agent.client
    order = TransferOrder("m1", uuid, 1, "test:///default", "tcp://127.0.0.1", "<domain/>")
    with pytest.raises(NotFound, match=uuid):
        client.start_transfer(order)
    with pytest.raises(NotFound, match="has no transfer"):
        client.tune_transfer("m1", TransferTuning(epoch=1))
    client.create_domain(uuid, xml_of(uuid))
    running_agent.agent.hypervisor.domain(uuid).suspend()
    with pytest.raises(Conflict, match="paused"):
        client.start_transfer(order)
    client.abort_transfer("m1", 1)
    client.delete_domain(uuid)


def test_a_plan_is_answered_at_once(running_agent: Running, uuid: str, vif: Vif) -> None:
    client = running_agent.client
    assert client.departure(uuid, DepartureRequest((vif,))).domain is DomainState.ABSENT
    client.create_domain(uuid, xml_of(uuid))
    here = client.departure(uuid, DepartureRequest((vif,), "qemu+ext://h2/system?command=/tmp/run-as-root"))
    assert (here.domain, here.job, here.trouble) == (DomainState.RUNNING, False, "")
    assert f"<uuid>{uuid}</uuid>" in here.xml and f"<uuid>{uuid}</uuid>" in here.live_xml
    assert "no URI to migrate to" in here.facts.hypervisor.connect_problem
    assert set(here.macs) == {vif.port_id}
    there = client.arrival(uuid, FactsRequest(paths=("/nowhere",)))
    assert there.domain is DomainState.RUNNING
    assert there.facts.files["/nowhere"].kind is FileKind.MISSING
    assert there.graphics_address == here.graphics_address
    client.delete_domain(uuid)


@pytest.mark.parametrize(
    ("libvirt_uri", "migrate_uri"),
    [
        ("qemu+ext://h2/system?command=/tmp/run-as-root", "tcp://127.0.0.1"),
        ("qemu+ssh://h2/system?command=/tmp/run-as-root", "tcp://127.0.0.1"),
        ("test:///default", "unix:///run/somebodys.sock"),
    ],
)
def test_another_hosts_uri_runs_nothing_here(
    running_agent: Running, uuid: str, libvirt_uri: str, migrate_uri: str
) -> None:
    client = running_agent.client
    client.create_domain(uuid, xml_of(uuid))
    with pytest.raises(
        BadRequest, match=r"no URI to migrate to|the parameter 'command'|no address of a migration"
    ):
        client.start_transfer(TransferOrder("m1", uuid, 1, libvirt_uri, migrate_uri, "<domain/>"))
    assert client.observe(uuid, ObserveRequest()).transfer is TransferState.NONE
    if migrate_uri.startswith("tcp"):
        said = client.facts(FactsRequest(connect_to=libvirt_uri)).hypervisor.connect_problem
        assert "no URI to migrate to" in said or "the parameter 'command'" in said
    client.delete_domain(uuid)


def test_a_transfer_that_libvirt_refuses_has_failed(running_agent: Running, uuid: str) -> None:
    client = running_agent.client
    client.create_domain(uuid, xml_of(uuid))
    # libvirt's test driver can't migrate.
    client.start_transfer(TransferOrder("m1", uuid, 1, "test:///default", "tcp://127.0.0.1", "<domain/>"))
    request = ObserveRequest(migration_id="m1", wait_ms=5000, seen="running/1/running")
    view = client.observe(uuid, request)
    while view.transfer is TransferState.RUNNING:
        view = client.observe(uuid, request)
    assert view.transfer is TransferState.FAILED
    assert "not support" in str(view.transfer_error)
    assert client.observe(uuid, ObserveRequest(migration_id="m2")).transfer is TransferState.NONE
    client.delete_domain(uuid)


def test_addresses_and_bodies_have_to_agree(running_agent: Running, uuid: str, vif: Vif) -> None:
    peer = running_agent.client._peer
    order = TransferOrder("m1", uuid, 1, "test:///default", "tcp://127.0.0.1", "<domain/>")
    for method, path, body in (
        ("PUT", "/v1/transfers/m2", order),
        ("PUT", f"/v1/domains/{uuid}", {"text": "<domain/>"}),
        ("PUT", "/v1/transfers/m1", {"migration_id": "m1"}),
        ("DELETE", "/v1/transfers/m1?epoch=one", None),
    ):
        with pytest.raises(BadRequest):
            peer.call(method, path, body=body)


def test_only_the_control_planes_certificate_is_obeyed(running_agent: Running, tmp_path: Path) -> None:
    url = str(running_agent.client._peer._url)
    other = CertificateAuthority.open(tmp_path / "ca").issue("h2", Role.AGENT, [], tmp_path)
    neighbour = AgentClient(url, client_context(other), host="h1")
    with pytest.raises(Forbidden, match="only the control plane"):
        neighbour.vifs()
    neighbour.close()
    foreign = CertificateAuthority.create(tmp_path / "foreign")
    mine = foreign.issue("control", Role.CONTROL, ["127.0.0.1"], tmp_path / "foreign")
    stranger = AgentClient(url, client_context(mine), host="h1")
    with pytest.raises(Unreachable):
        stranger.vifs()
    stranger.close()


def test_orders_go_to_the_host_that_is_meant_and_to_no_other(running_agent: Running, tmp_path: Path) -> None:
    """h2 has reported the address of h1's agent: an order for h2 must not be carried out on h1."""
    url = str(running_agent.client._peer._url)
    own = CertificateAuthority.open(tmp_path / "ca").issue("control", Role.CONTROL, [], tmp_path)
    misled = AgentClient(url, client_context(own), host="h2")
    with pytest.raises(Unreachable, match=r"the agent of h2.*not valid for 'h2'"):
        misled.vifs()
    misled.close()
    right = AgentClient(url, client_context(own), host="h1")
    assert right.vifs() == []
    right.close()
