"""What the pure core says of a census: for each kind, when it is found, when not, and what is to be done."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from kedge.core.doctor import (
    BoundPort,
    Census,
    DomainSeen,
    Finding,
    HostSeen,
    Kind,
    Remedy,
    Repair,
    ServerSeen,
    Severity,
    Unfinished,
    examine,
    persisting,
)
from kedge.core.domain_xml import Attachment
from kedge.model.domain import DomainState, VifReport, VifState
from kedge.model.host import Host, HostBackend
from kedge.model.network import Binding, BindingStatus, Network, NetworkType, Port, Segment, VifType
from kedge.model.server import Server

ID, PORT, MAC = "11111111-aaaa", "22222222-bbbb-cccc", "fa:16:3e:00:00:01"
TAP = f"tap{PORT[:11]}"
NETWORK = Network("n1", "blue", Segment(NetworkType.FLAT, "physnet1"))
OVS = HostBackend("openvswitch", {"physnet1": "br-physnet1"})
DETAILS = {
    "bridge_name": "br-int",
    "ovs_hybrid_plug": False,
    "datapath_type": "system",
    "ovs_create_tap": True,
}
NIC = Attachment("ethernet", MAC, target_dev=TAP)

ACTIVE, INACTIVE = BindingStatus.ACTIVE, BindingStatus.INACTIVE
RUNNING, PAUSED, SHUTOFF = DomainState.RUNNING, DomainState.PAUSED, DomainState.SHUTOFF
INCOMING, SWITCHOVER, CRASHED = DomainState.INCOMING, DomainState.SWITCHOVER, DomainState.CRASHED
POSTCOPY = DomainState.POSTCOPY_SOURCE


def domain(state: DomainState = RUNNING, **changes: object) -> DomainSeen:
    live = state not in {SHUTOFF, CRASHED}
    seen = DomainSeen(ID, "vm", state, nics=(NIC,) if live else (), vifs={PORT: VifState.UP})
    return replace(seen, **changes)  # type: ignore[arg-type]


def host(name: str, *domains: DomainSeen, **changes: object) -> HostSeen:
    seen = HostSeen(
        Host(name, f"https://{name}:9797", backends=(OVS,), libvirt_version=9_000_000),
        domains=domains,
        explained=frozenset({PORT}),
    )
    return replace(seen, **changes)  # type: ignore[arg-type]


def silent(name: str, *, alive: bool = True) -> HostSeen:
    return HostSeen(
        Host(name, f"https://{name}:9797", alive=alive), answers=False, silence="no answer", explained=None
    )


def renamed(old: str, new: str) -> HostSeen:
    seen = silent(old, alive=False)
    return replace(seen, host=replace(seen.host, url=f"https://{new}:9797"))


def binding(on: str, status: BindingStatus = ACTIVE, **changes: object) -> Binding:
    return replace(Binding(PORT, on, status, VifType.OVS, DETAILS), **changes)  # type: ignore[arg-type]


def server(*bindings: Binding, on: str = "a", status: str = "ACTIVE", **changes: object) -> ServerSeen:
    port = BoundPort(Port(PORT, "n1", MAC, device_id=ID), NETWORK, bindings)
    return replace(ServerSeen(Server(ID, "vm", on, status), (port,)), **changes)  # type: ignore[arg-type]


def look(seen: ServerSeen, *hosts: HostSeen, **changes: object) -> Census:
    return replace(Census((seen,), hosts), **changes)  # type: ignore[arg-type]


def found(seen: ServerSeen, *hosts: HostSeen, **changes: object) -> Mapping[Kind, Finding]:
    findings = examine(look(seen, *hosts, **changes))
    assert len({each.identity for each in findings}) == len(findings)
    return {each.kind: each for each in findings}


def only(kind: Kind, seen: ServerSeen, *hosts: HostSeen, **changes: object) -> Finding:
    findings = found(seen, *hosts, **changes)
    assert list(findings) == [kind]
    return findings[kind]


WELL = server(binding("a"))


def settle(source: str, destination: str) -> Repair:
    return Repair(Remedy.SETTLE, ID, host=source, destination=destination)


def test_all_is_well() -> None:
    assert found(WELL, host("a", domain()), host("b")) == {}
    assert examine(Census()) == []


def test_the_worst_comes_first() -> None:
    findings = examine(look(WELL, host("a", domain()), host("b", domain()), silent("c")))
    assert [each.severity for each in findings] == [Severity.CRITICAL, Severity.ERROR]


# Where a server is.


def test_recorded_elsewhere_and_bound_where_it_runs() -> None:
    finding = only(Kind.SERVER_ELSEWHERE, server(binding("b")), host("a"), host("b", domain()))
    assert (finding.host, finding.repair) == ("a", settle("b", "a"))


def test_recorded_elsewhere_with_its_binding_there() -> None:
    findings = found(server(binding("a")), host("a"), host("b", domain()))
    assert findings.keys() == {Kind.SERVER_ELSEWHERE, Kind.BOUND_ELSEWHERE}
    assert {each.repair for each in findings.values()} == {settle("a", "b")}


def test_recorded_on_a_host_that_does_not_answer() -> None:
    findings = found(server(binding("b")), silent("a"), host("b", domain()))
    assert findings.keys() == {Kind.SERVER_ELSEWHERE, Kind.AGENT_SILENT}
    assert findings[Kind.SERVER_ELSEWHERE].repair is None


def test_recorded_on_a_host_that_is_dead() -> None:
    """A migration that arrived ends so, too."""
    findings = found(server(binding("b")), silent("a", alive=False), host("b", domain()))
    assert findings.keys() == {Kind.SERVER_ELSEWHERE, Kind.AGENT_DEAD}
    assert findings[Kind.SERVER_ELSEWHERE].repair == settle("b", "a")


def test_shut_off_elsewhere_while_it_may_run_where_it_is_recorded() -> None:
    seen = server(binding("b"), status="SHUTOFF")
    for recorded in (silent("a"), silent("a", alive=False)):
        assert found(seen, recorded, host("b", domain(SHUTOFF)))[Kind.SERVER_ELSEWHERE].repair is None
    answers = found(seen, host("a"), host("b", domain(SHUTOFF)))[Kind.SERVER_ELSEWHERE]
    assert answers.repair == settle("a", "b")
    for state in (CRASHED, PAUSED):
        seen = server(binding("b"), status="ERROR")
        assert found(seen, host("a"), host("b", domain(state)))[Kind.SERVER_ELSEWHERE].repair is None


def test_recorded_on_a_host_that_is_not_there_any_more() -> None:
    finding = only(Kind.SERVER_ELSEWHERE, server(binding("b")), host("b", domain()))
    assert finding.repair == Repair(Remedy.RECORD_HOST, ID, host="b")
    findings = found(server(binding("a")), renamed("a", "b"), host("b", domain()))
    assert findings[Kind.SERVER_ELSEWHERE].repair == Repair(Remedy.RECORD_HOST, ID, host="b")
    assert findings[Kind.BOUND_ELSEWHERE].repair == Repair(Remedy.BIND, ID, host="b")
    left = found(server(binding("b"), binding("a", INACTIVE), on="b"), renamed("a", "b"), host("b", domain()))
    assert left[Kind.BINDING_OF_NO_MIGRATION].repair == Repair(Remedy.UNBIND, ID, host="a")


def test_nothing_is_settled_with_a_host_that_answers_under_another_name() -> None:
    """Two live agents with one URL: whoever is asked for the one hears of the other."""
    b = host("b", domain())
    twin = replace(silent("a"), host=replace(silent("a").host, url=b.host.url))
    findings = found(server(binding("a")), twin, b)
    assert findings[Kind.SERVER_ELSEWHERE].repair is None
    assert findings[Kind.BOUND_ELSEWHERE].repair == Repair(Remedy.BIND, ID, host="b")


@pytest.mark.parametrize("other", [RUNNING, PAUSED, DomainState.POSTCOPY_DESTINATION])
def test_runs_twice(other: DomainState) -> None:
    finding = only(Kind.RUNS_TWICE, WELL, host("a", domain()), host("b", domain(other)))
    assert (finding.severity, finding.repair, finding.host) == (Severity.CRITICAL, None, "a, b")


def test_nowhere_is_said_only_when_all_answer() -> None:
    assert only(Kind.DOMAIN_NOWHERE, WELL, host("a"), host("b")).severity is Severity.CRITICAL
    assert found(WELL, host("a"), silent("b")).keys() == {Kind.WHEREABOUTS_UNKNOWN, Kind.AGENT_SILENT}
    assert only(Kind.WHEREABOUTS_UNKNOWN, WELL, host("b")).host == "a"


@pytest.mark.parametrize(
    ("state", "status"), [(SHUTOFF, "SHUTOFF"), (CRASHED, "ERROR"), (PAUSED, "PAUSED"), (RUNNING, "ACTIVE")]
)
@pytest.mark.parametrize("recorded", ["ACTIVE", "PAUSED", "SHUTOFF", "ERROR", "UNKNOWN", "MIGRATING"])
def test_status(state: DomainState, status: str, recorded: str) -> None:
    findings = found(server(binding("a"), status=recorded), host("a", domain(state)), host("b"))
    if recorded == status:
        assert findings == {}
        return
    kind = Kind.STUCK_MIGRATING if recorded == "MIGRATING" else Kind.STATUS_DIFFERS
    assert findings.keys() == {kind}
    assert findings[kind].repair == Repair(Remedy.RECORD_STATUS, ID, host="a", status=status)


def test_a_server_that_is_being_made_is_left_alone_for_a_while() -> None:
    made = server(status="BUILD", unchanged_s=30)
    assert found(made, host("a"), host("b")) == {}
    forgotten = replace(made, unchanged_s=3600)
    assert only(Kind.STUCK_BUILDING, forgotten, host("a"), host("b")).repair is None
    runs = only(Kind.STUCK_BUILDING, forgotten, host("a", domain()), host("b"))
    assert runs.repair == Repair(Remedy.RECORD_STATUS, ID, host="a", status="ACTIVE")


@pytest.mark.parametrize("state", [RUNNING, SWITCHOVER, POSTCOPY])
def test_libvirt_moves_it_without_kedge(state: DomainState) -> None:
    hosts = host("a", domain(state, job=True)), host("b", domain(INCOMING, job=True))
    assert only(Kind.MOVED_BY_OTHERS, WELL, *hosts).repair is None


# Migrations.


def test_a_migration_explains_everything() -> None:
    messy = host("a", domain(SWITCHOVER)), host("b", domain(INCOMING))
    under_way = Unfinished("m1", ID, "a", "b", driven=True)
    seen = server(binding("a"), binding("b", INACTIVE, migration_id="m1"), status="MIGRATING")
    assert found(seen, *messy) != {}
    assert found(seen, *messy, unfinished=(under_way,)) == {}
    assert found(seen, *messy, moving=frozenset({ID})) == {}
    alone = only(Kind.UNDRIVEN_MIGRATION, seen, *messy, unfinished=(replace(under_way, driven=False),))
    assert alone.repair == Repair(Remedy.DRIVE, ID, migration_id="m1")


def test_a_half_made_domain() -> None:
    hosts = host("a", domain()), host("b", domain(INCOMING))
    assert only(Kind.HALF_MADE_DOMAIN, WELL, *hosts).repair == settle("a", "b")
    unbound = found(server(), *hosts)[Kind.HALF_MADE_DOMAIN]
    assert unbound.repair == Repair(Remedy.BIND, ID, host="a")
    alone = found(WELL, host("a"), host("b", domain(INCOMING)))[Kind.HALF_MADE_DOMAIN]
    assert alone.repair is None


def test_left_paused() -> None:
    assert only(Kind.LEFT_PAUSED, WELL, host("a", domain(SWITCHOVER)), host("b")).repair == Repair(
        Remedy.RESUME, ID, host="a"
    )
    with_half = found(WELL, host("a", domain(SWITCHOVER)), host("b", domain(INCOMING)))
    assert with_half[Kind.LEFT_PAUSED].repair == settle("a", "b")
    left = found(server(binding("b"), on="b"), host("a", domain(SWITCHOVER)), host("b", domain()))
    assert left[Kind.LEFT_PAUSED].repair == settle("a", "b")


@pytest.mark.parametrize("state", [POSTCOPY, DomainState.POSTCOPY_BROKEN])
def test_the_memory_that_a_vm_still_needs_is_not_removed(state: DomainState) -> None:
    there = host("b", domain(DomainState.POSTCOPY_DESTINATION))
    findings = found(server(binding("b"), on="b"), host("a", domain(state)), there)
    assert findings[Kind.LEFT_PAUSED].repair is None
    assert "still needs the memory" in findings[Kind.LEFT_PAUSED].words


@pytest.mark.parametrize(
    ("state", "other", "why"),
    [
        (POSTCOPY, host("b"), "post-copy"),
        (SWITCHOVER, silent("b"), "can't be asked"),
        (SWITCHOVER, silent("b", alive=False), "can't be asked"),
        (SWITCHOVER, host("b", domain(SHUTOFF)), "is its past"),
    ],
)
def test_what_must_not_be_resumed(state: DomainState, other: HostSeen, why: str) -> None:
    finding = found(WELL, host("a", domain(state)), other)[Kind.LEFT_PAUSED]
    assert finding.severity is Severity.CRITICAL
    assert finding.repair is None
    assert why in finding.words


@pytest.mark.parametrize("state", [SHUTOFF, CRASHED])
def test_an_old_definition(state: DomainState) -> None:
    finding = only(Kind.LEFTOVER_DEFINITION, WELL, host("a", domain()), host("b", domain(state)))
    assert (finding.host, finding.repair) == ("b", settle("a", "b"))


def test_two_definitions_are_for_a_person() -> None:
    seen = server(binding("a"), status="SHUTOFF")
    finding = only(Kind.LEFTOVER_DEFINITION, seen, host("a", domain(SHUTOFF)), host("b", domain(SHUTOFF)))
    assert (finding.host, finding.repair) == ("b", None)


def test_a_person_paused_it_so_nothing_is_cleaned_around_it() -> None:
    seen = server(binding("a"), binding("b", INACTIVE), status="PAUSED")
    findings = found(seen, host("a", domain(PAUSED)), host("b", domain(SHUTOFF)))
    assert findings.keys() == {Kind.LEFTOVER_DEFINITION, Kind.BINDING_OF_NO_MIGRATION}
    assert {each.repair for each in findings.values()} == {None}


# Bindings.


def test_no_active_binding() -> None:
    bind = Repair(Remedy.BIND, ID, host="a")
    hosts = host("a", domain()), host("b")
    assert only(Kind.NO_ACTIVE_BINDING, server(), *hosts).repair == bind
    assert only(Kind.NO_ACTIVE_BINDING, server(binding("a", INACTIVE)), *hosts).repair == bind
    off = server(status="SHUTOFF")
    assert found(off, host("a", domain(SHUTOFF)), host("b")) == {}


def test_bound_elsewhere() -> None:
    hosts = host("a", domain()), host("b")
    assert only(Kind.BOUND_ELSEWHERE, server(binding("b")), *hosts).repair == settle("b", "a")
    gone = found(server(binding("b")), host("a", domain()), silent("b"))
    assert gone[Kind.BOUND_ELSEWHERE].repair == Repair(Remedy.BIND, ID, host="a")
    unknown = only(Kind.BINDING_ON_UNKNOWN_HOST, server(binding("x")), *hosts)
    assert unknown.repair == Repair(Remedy.BIND, ID, host="a")
    off = only(
        Kind.BOUND_ELSEWHERE, server(binding("b"), status="SHUTOFF"), host("a", domain(SHUTOFF)), host("b")
    )
    assert off.repair == Repair(Remedy.BIND, ID, host="a")


def test_the_inactive_binding_where_the_vm_is_is_no_leftover() -> None:
    seen = server(binding("a", INACTIVE, migration_id="m"), binding("b"))
    assert only(Kind.BOUND_ELSEWHERE, seen, host("a", domain()), host("b")).repair == settle("b", "a")


def test_nothing_is_said_of_bindings_while_it_is_not_known_where_the_vm_is() -> None:
    findings = found(server(binding("b")), silent("a"), host("b"))
    assert findings.keys() == {Kind.WHEREABOUTS_UNKNOWN, Kind.AGENT_SILENT}
    left = found(server(binding("a"), binding("b", INACTIVE)), silent("a"), host("b"))
    assert left[Kind.BINDING_OF_NO_MIGRATION].repair is None


@pytest.mark.parametrize("kind", [VifType.BINDING_FAILED, VifType.UNBOUND])
def test_binding_failed(kind: VifType) -> None:
    seen = server(binding("a", vif_type=kind, vif_details={}))
    assert only(Kind.BINDING_FAILED, seen, host("a", domain()), host("b")).repair == Repair(
        Remedy.BIND, ID, host="a"
    )


def test_leftover_bindings() -> None:
    hosts = host("a", domain()), host("b")
    nobody = only(Kind.BINDING_OF_NO_MIGRATION, server(binding("a"), binding("b", INACTIVE)), *hosts)
    assert nobody.repair == settle("a", "b")
    of_m = server(binding("a"), binding("b", INACTIVE, migration_id="m"))
    assert "nobody knows" in only(Kind.BINDING_OF_ENDED_MIGRATION, of_m, *hosts).words
    assert "has ended" in only(Kind.BINDING_OF_ENDED_MIGRATION, of_m, *hosts, finished=frozenset("m")).words
    unknown = only(Kind.BINDING_ON_UNKNOWN_HOST, server(binding("a"), binding("x", INACTIVE)), *hosts)
    assert unknown.repair == Repair(Remedy.UNBIND, ID, host="x")
    off = server(binding("a"), binding("b", INACTIVE), status="SHUTOFF")
    stopped = only(Kind.BINDING_OF_NO_MIGRATION, off, host("a", domain(SHUTOFF)), host("b"))
    assert stopped.repair == Repair(Remedy.UNBIND, ID, host="b")
    left = server(binding("a"), binding("b", INACTIVE))
    unseen = found(left, host("a", domain()), silent("b"))
    assert unseen[Kind.BINDING_OF_NO_MIGRATION].repair is None
    dead = found(left, host("a", domain()), silent("b", alive=False))
    assert dead[Kind.BINDING_OF_NO_MIGRATION].repair == settle("a", "b")


@pytest.mark.parametrize(
    ("backend", "kind"),
    [
        (OVS, None),
        (replace(OVS, integration_bridge="br-new"), Kind.BINDING_OUTDATED),
        (replace(OVS, hybrid_plug=True), Kind.BINDING_OUTDATED),
        (replace(OVS, mtus={"physnet1": 1400}), Kind.BINDING_OUTDATED),
        (HostBackend("macvtap", {"physnet1": "eth1"}), Kind.BINDING_OUTDATED),
        (replace(OVS, mappings={"physnet2": "br-physnet2"}), Kind.NETWORK_UNMAPPED),
    ],
)
def test_against_what_the_backend_would_say_now(backend: HostBackend, kind: Kind | None) -> None:
    a = host("a", domain())
    findings = found(WELL, replace(a, host=replace(a.host, backends=(backend,))), host("b"))
    assert list(findings) == ([kind] if kind else [])
    assert all(each.repair is None for each in findings.values())


def test_an_adopted_nic_is_as_it_was_found() -> None:
    details = {"bridge_name": "br-physnet1", "ovs_create_tap": False, "port_filter": False}
    assert found(server(binding("a", vif_details=details)), host("a", domain()), host("b")) == {}


@pytest.mark.parametrize("port_id", [PORT, "33333333-dddd"])
def test_a_port_of_an_unknown_server(port_id: str) -> None:
    stray = BoundPort(Port(port_id, "n1", MAC, device_id="gone"), NETWORK, (binding("a"),))

    def said(*hosts: HostSeen) -> Finding:
        return next(
            each
            for each in examine(Census(hosts=hosts, strays=(stray,)))
            if each.kind is Kind.PORT_OF_UNKNOWN_SERVER
        )

    assert said(host("a"), host("b")).repair == Repair(Remedy.FREE_PORT, "gone", port_id)
    assert said(host("a"), silent("b")).repair is None
    forgotten = said(host("a", DomainSeen("gone", "vm", RUNNING)), host("b"))
    assert forgotten.repair is None
    assert "adopt" in forgotten.words


# VIFs and NICs.


def vif(port_id: str = "44444444-eeee-ffff", *devices: str) -> VifReport:
    return VifReport(port_id, VifState.UP, devices or (f"tap{port_id[:11]}",))


def test_a_vif_that_nothing_explains() -> None:
    b = host("b", plugged=(vif(),))
    finding = only(Kind.VIF_UNEXPLAINED, WELL, host("a", domain()), b)
    assert finding.repair == Repair(Remedy.UNPLUG, port_id="44444444-eeee-ffff", host="b")


@pytest.mark.parametrize(
    "b",
    [
        host("b", plugged=(vif(PORT),)),
        host("b", plugged=(vif(),), explained=None),
        host("b", plugged=(vif(),), answers=False),
        host("b", DomainSeen("x", "x", RUNNING, nics=None), plugged=(vif(),)),
        host(
            "b",
            DomainSeen("x", "x", RUNNING, nics=(Attachment("direct", target_dev="mv0"),)),
            plugged=(vif("p", "mv0"),),
        ),
        host(
            "b",
            DomainSeen("x", "x", RUNNING, nics=(Attachment("direct", alias="ua-p"),)),
            plugged=(vif("p", "eth1.5"),),
        ),
        host(
            "b",
            DomainSeen("x", "x", RUNNING, nics=(Attachment("bridge", interfaceid="p"),)),
            plugged=(vif("p"),),
        ),
    ],
    ids=["bound", "not-known", "silent", "unread", "device", "alias", "interfaceid"],
)
def test_a_vif_that_something_explains_or_may_explain(b: HostSeen) -> None:
    findings = found(WELL, host("a", domain()), b)
    assert Kind.VIF_UNEXPLAINED not in findings


def test_a_vif_of_a_server_that_is_being_moved_is_explained() -> None:
    b = host("b", plugged=(vif(PORT),), explained=frozenset())
    assert found(WELL, host("a", domain()), b).keys() == {Kind.VIF_UNEXPLAINED}
    assert found(WELL, host("a", domain()), b, moving=frozenset({ID})) == {}


def test_a_vif_of_a_server_that_runs_there_is_never_unplugged() -> None:
    a = host("a", domain(nics=(Attachment("direct", MAC),)), plugged=(vif(PORT),), explained=frozenset())
    assert Kind.VIF_UNEXPLAINED not in found(server(), a, host("b"))


@pytest.mark.parametrize("state", list(VifState))
def test_a_vif_that_is_not_wired(state: VifState) -> None:
    hosts = host("a", domain(vifs={PORT: state})), host("b")
    if state is VifState.UP:
        assert found(WELL, *hosts) == {}
        return
    assert only(Kind.VIF_NOT_WIRED, WELL, *hosts).repair == Repair(Remedy.PLUG, ID, PORT, "a")
    foreign = host("a", domain(vifs={PORT: state}, nics=(replace(NIC, target_dev="vnet7"),))), host("b")
    assert only(Kind.VIF_NOT_WIRED, WELL, *foreign).repair is None


def test_vifs_of_a_stopped_server_need_not_be_wired() -> None:
    off = host("a", domain(SHUTOFF, vifs={PORT: VifState.ABSENT}))
    assert found(server(binding("a"), status="SHUTOFF"), off, host("b")) == {}


def test_nics_and_ports() -> None:
    b = host("b")
    more = Attachment("ethernet", "fa:16:3e:00:00:02", target_dev="vnet9")
    assert only(Kind.NIC_WITHOUT_PORT, WELL, host("a", domain(nics=(NIC, more))), b).repair is None
    assert only(Kind.PORT_WITHOUT_NIC, WELL, host("a", domain(nics=())), b).repair is None
    other = replace(NIC, mac="fa:16:3e:00:00:03")
    assert "fa:16:3e:00:00:03" in only(Kind.MAC_DIFFERS, WELL, host("a", domain(nics=(other,))), b).words
    unnamed = replace(other, target_dev="vnet1")
    both = found(WELL, host("a", domain(nics=(unnamed,))), b)
    assert both.keys() == {Kind.NIC_WITHOUT_PORT, Kind.PORT_WITHOUT_NIC}
    assert found(WELL, host("a", domain(nics=None)), b) == {}


@pytest.mark.parametrize("mac", ["FA:16:3E:00:00:01", "fa:16:3e:0:0:1"])
def test_a_ports_mac_is_its_nics_however_it_is_written(mac: str) -> None:
    written = server(binding("a"))
    port = replace(written.ports[0], port=Port(PORT, "n1", mac, device_id=ID))
    nic = replace(NIC, target_dev="vnet0")
    assert found(replace(written, ports=(port,)), host("a", domain(nics=(nic,))), host("b")) == {}


def test_two_nics_of_one_mac_are_told_apart_by_name() -> None:
    twin = BoundPort(
        Port("55555555-ffff", "n2", MAC, device_id=ID),
        NETWORK,
        (replace(binding("a"), port_id="55555555-ffff"),),
    )
    seen = replace(WELL, ports=(*WELL.ports, twin))
    nics = (Attachment("ethernet", MAC, target_dev="tap55555555-ff"), NIC)
    vifs = {PORT: VifState.ABSENT, twin.port.id: VifState.UP}
    finding = only(Kind.VIF_NOT_WIRED, seen, host("a", domain(nics=nics, vifs=vifs)), host("b"))
    assert finding.repair == Repair(Remedy.PLUG, ID, PORT, "a")


# Hosts and events.


def test_agents() -> None:
    a = host("a", domain())
    assert only(Kind.AGENT_DEAD, WELL, a, silent("b", alive=False)).host == "b"
    assert "no answer" in only(Kind.AGENT_SILENT, WELL, a, silent("b")).words
    late = host("b")
    still = only(Kind.AGENT_DEAD, WELL, a, replace(late, host=replace(late.host, alive=False)))
    assert "still answers" in still.words


def test_a_host_that_is_said_to_be_off_counts_as_empty() -> None:
    off = host("b")
    off = replace(off, host=replace(off.host, alive=False, forced_down=True))
    note = only(Kind.HOST_FORCED_DOWN, WELL, host("a", domain()), off)
    assert (note.severity, note.host) == (Severity.NOTE, "b")
    assert "kedge hosts up b" in note.words
    its_own = host("a")
    its_own = replace(its_own, host=replace(its_own.host, alive=False, forced_down=True))
    assert found(WELL, its_own, host("b")).keys() == {Kind.HOST_FORCED_DOWN, Kind.DOMAIN_NOWHERE}


@pytest.mark.parametrize(
    ("ahead", "error", "says"),
    [(None, 0, None), (1.9, 0, None), (-3.0, 0, "3.0 s behind"), (180, 1, "ahead"), (5.0, 4.0, None)],
)
def test_clocks(ahead: float | None, error: float, says: str | None) -> None:
    findings = found(WELL, host("a", domain()), host("b", clock_ahead_s=ahead, clock_error_s=error))
    assert (Kind.CLOCK_DIFFERS in findings) is (says is not None)
    assert says is None or says in findings[Kind.CLOCK_DIFFERS].words


def test_versions() -> None:
    hosts = host("a", domain(), version="1.0"), host("b", version="0.9")
    assert only(Kind.VERSION_DIFFERS, WELL, *hosts, version="1.0").host == "b"
    assert found(WELL, *hosts, version="") == {}
    b = host("b")
    older = replace(b, host=replace(b.host, libvirt_version=8_005_000))
    note = only(Kind.LIBVIRT_DIFFERS, WELL, host("a", domain()), older)
    assert (note.severity, note.host) == (Severity.NOTE, "b")
    patched = replace(b, host=replace(b.host, libvirt_version=9_000_001))
    assert found(WELL, host("a", domain()), patched) == {}


def test_a_renamed_host() -> None:
    hosts = host("a", domain()), renamed("old", "a")
    assert found(WELL, *hosts).keys() == {Kind.HOST_RENAMED, Kind.AGENT_DEAD}
    both = examine(look(WELL, *hosts))
    assert {each.host for each in both if each.kind is Kind.HOST_RENAMED} == {"a", "old"}


@pytest.mark.parametrize(
    ("unsent", "age", "kinds"), [(3, 301, {Kind.EVENTS_UNSENT}), (3, 20, set()), (0, 900, set())]
)
def test_events(unsent: int, age: float, kinds: set[Kind]) -> None:
    assert found(WELL, host("a", domain()), host("b"), unsent=unsent, unsent_s=age).keys() == kinds


# Two looks.


def test_only_what_persists_is_wrong() -> None:
    first = examine(look(WELL, host("a", domain(vifs={PORT: VifState.BUILD})), silent("b")))
    second = examine(look(WELL, host("a", domain(vifs={PORT: VifState.ABSENT})), host("b")))
    (left,) = persisting(first, second)
    assert left.kind is Kind.VIF_NOT_WIRED
    assert "is not there" in left.words


def test_every_kind_is_known_to_these_tests() -> None:
    text = Path(__file__).read_text()
    assert [kind.name for kind in Kind if f"Kind.{kind.name}" not in text] == []
