"""Rewirings over a simulated host with two switches: done, taken back, taken over by another conductor, and refused."""

import threading
import time
from contextlib import suppress
from itertools import product
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from kedge.compute.api.rewirings import rewirings_router
from kedge.compute.records.claims import claims_in
from kedge.compute.rewirings import conductor as rewiring_conductor
from kedge.compute.rewirings.conductor import Drive
from kedge.compute.rewirings.records import RewiringRecords
from kedge.compute.rewirings.rewirings import Rewirings
from kedge.model.errors import CannotMigrate, Conflict, HostFailure, NotFound, StaleEpoch, Unreachable
from kedge.model.host import HostBackend
from kedge.model.network import BindingStatus, VifType
from kedge.model.rewiring import Rewiring
from kedge.model.server import Server
from kedge.network.api import install_error_handlers
from kedge.testing.simulated.fabric import SimulatedHost

from .compute_world import ComputeWorld, Killed, die

_ETH = {"physnet1": "eth1", "physnet2": "eth2"}
_OVS = {"physnet1": "br-physnet1", "physnet2": "br-physnet2"}
CALLS = ("sides", "rewire")
OTHER = {VifType.OVS: VifType.BRIDGE, VifType.BRIDGE: VifType.OVS}


class Both:
    """A host with a Linux bridge and Open vSwitch, a server on it, and rewirings that are driven by hand."""

    def __init__(self, world: ComputeWorld) -> None:
        self.world = world
        backends = [HostBackend("linuxbridge", _ETH), HostBackend("openvswitch", _OVS)]
        self.host: SimulatedHost = world.fabric.add("both", backends)
        self.server: Server = world.server("both")
        self.records = RewiringRecords(world.engine)
        self.rewirings = Rewirings(world.tools, self.records)

    def begin(self, backend: str = "openvswitch") -> Rewiring:
        return self.rewirings.begin(self.server, backend)

    def begin_other(self) -> tuple[Rewiring, VifType]:
        """Begin to rewire it to the switch that it is not in now; to which."""
        ((present, _),) = self.wired()
        side = OTHER[present]
        return self.begin("openvswitch" if side is VifType.OVS else "linuxbridge"), side

    def drive(self, rewiring: Rewiring) -> Rewiring:
        """As conductors do that are started just now, again and again."""
        for _ in range(30):
            try:
                if Drive(rewiring.id, self.world.tools, self.records).run(threading.Event()):
                    return self.records.find(rewiring.id)
            except (HostFailure, Unreachable):
                continue
            except StaleEpoch:
                return self.records.find(rewiring.id)
        raise AssertionError(f"it does not end: {self.records.find(rewiring.id)}")

    def wired(self) -> set[tuple[VifType, VifType]]:
        """How the ports' ACTIVE bindings say, and how the host has them."""
        found = set()
        for port in self.world.ports(self.server):
            (binding,) = self.world.network.bindings(port.id)
            assert (binding.host, binding.status) == ("both", BindingStatus.ACTIVE)
            found.add((binding.vif_type, self.host.plugged[port.id].vif_type))
        return found

    def check(self, vif_type: VifType) -> None:
        """All is on this side, and whatever the agent cares for leaves it so."""
        for _ in range(2):
            assert self.wired() == {(vif_type, vif_type)}
            self.host.agent.restart()
        assert self.world.fabric.violations == []
        assert self.records.unfinished() == []


@pytest.fixture
def both(world: ComputeWorld) -> Both:
    return Both(world)


def test_all_ports_go_over_and_back(both: Both) -> None:
    ended = both.drive(both.begin())
    assert (ended.state, ended.error) == ("completed", None)
    assert [port.blackout_ms for port in ended.ports] == [7.0, 7.0]
    both.check(VifType.OVS)
    assert both.drive(both.begin("linuxbridge")).state == "completed"
    both.check(VifType.BRIDGE)


def test_a_conductor_may_die_at_any_call(both: Both) -> None:
    for call, number, after in product(CALLS, range(5), (False, True)):
        rewiring, side = both.begin_other()
        both.host.agent.faults.on(call, die, after=after, skip=number)
        with suppress(Killed):
            both.drive(rewiring)
        both.host.agent.faults.clear()
        both.host.agent.restart()
        assert both.drive(rewiring).state == "completed"
        both.check(side)


def test_answers_may_get_lost(both: Both) -> None:
    for number in range(5):
        rewiring, side = both.begin_other()
        both.host.agent.faults.lose_reply("rewire", skip=number)
        assert both.drive(rewiring).state == "completed"
        both.host.agent.faults.clear()
        both.check(side)


@pytest.mark.parametrize("step", ["prepare one", "move one"])
@pytest.mark.parametrize("number", [0, 1])
def test_what_fails_is_taken_back(both: Both, step: str, number: int) -> None:
    both.host.agent.faults.fail(step, HostFailure("the switch is full"), skip=number)
    ended = both.drive(both.begin())
    assert ended.state == "failed"
    assert "the switch is full" in str(ended.error)
    both.check(VifType.BRIDGE)


def test_an_abort_at_any_moment(both: Both) -> None:
    outcomes = []
    for number in range(6):
        rewiring, side = both.begin_other()
        told: list[str] = []

        def abort(rewiring: Rewiring = rewiring, told: list[str] = told) -> None:
            try:
                both.records.request_abort(rewiring.id)
            except Conflict as error:
                told.append(str(error))

        both.host.agent.faults.on("sides", abort, skip=number)
        ended = both.drive(rewiring)
        both.host.agent.faults.clear()
        outcomes.append(ended.state)
        assert ended.state == ("completed" if told else "aborted")
        both.check(side if told else OTHER[side])
    assert outcomes == [*["aborted"] * 4, *["completed"] * 2]


def test_what_can_not_be_removed_is_left_to_the_agent(both: Both) -> None:
    both.host.agent.faults.fail("leave one", HostFailure("the kernel said no"), times=None)
    ended = both.drive(both.begin())
    assert ended.state == "completed"
    assert ended.error == "what is left of the other side could not be removed"
    both.check(VifType.OVS)


def test_the_agent_leaves_a_moved_tap_alone_until_the_commit(both: Both) -> None:
    rewiring = both.begin()
    both.host.agent.faults.on("rewire", die, after=True, skip=2)
    with pytest.raises(Killed):
        both.drive(rewiring)
    assert both.wired() == {(VifType.BRIDGE, VifType.OVS)}
    both.host.agent.restart()
    assert both.wired() == {(VifType.BRIDGE, VifType.OVS)}
    assert {port.status for port in both.world.ports(both.server)} == {"ACTIVE"}
    assert both.drive(rewiring).state == "completed"


def test_a_port_that_is_bound_anew_in_the_middle_ends_it(both: Both) -> None:
    rewiring = both.begin()
    port = both.world.ports(both.server)[0]

    def unbind() -> None:
        both.world.network.unbind(port.id, "both", even_active=True)

    both.host.agent.faults.on("rewire", unbind, after=True, skip=2)
    ended = both.drive(rewiring)
    assert ended.state == "failed"
    assert f"somebody has changed the binding of port {port.id}" in str(ended.error)


def test_a_host_that_is_off_ends_it(both: Both) -> None:
    rewiring = both.begin()
    both.host.agent.reachable = False
    assert not Drive(rewiring.id, both.world.tools, both.records).run(threading.Event())
    both.world.network.force_down("both", True)
    both.world.tools = both.world.new_tools()
    ended = both.drive(rewiring)
    assert (ended.state, ended.error) == ("failed", "the host is off; the host is off")


def test_an_agent_that_knows_no_rewiring_is_waited_for(both: Both) -> None:
    rewiring = both.begin()
    both.host.agent.faults.fail("sides", NotFound("Not Found"))
    assert not Drive(rewiring.id, both.world.tools, both.records).run(threading.Event())
    assert both.drive(rewiring).state == "completed"


def test_migrations_and_rewirings_exclude_each_other(both: Both) -> None:
    rewiring = both.begin()
    with pytest.raises(Conflict, match=rewiring.id):
        both.world.begin(both.server, "h5")
    with pytest.raises(Conflict, match=rewiring.id):
        both.world.tools.migrations.add_settling(both.server.id, "both", "h5")
    with pytest.raises(Conflict, match=rewiring.id):
        both.begin()
    with pytest.raises(Conflict, match=rewiring.id):
        both.world.servers.delete(both.server.id)
    assert both.drive(rewiring).state == "completed"
    migration = both.world.begin(both.server, "h5")
    with pytest.raises(Conflict, match=migration.id):
        both.begin("linuxbridge")
    both.world.drive(migration)
    with pytest.raises(Conflict, match="has left both"):
        both.records.add(both.server, "linuxbridge", ())


def test_epochs_grow_over_rewirings_and_migrations(both: Both) -> None:
    rewiring = both.begin()
    first = both.records.take_over(rewiring.id)
    assert both.records.take_over(rewiring.id) == first + 1
    with pytest.raises(StaleEpoch):
        both.records.known(rewiring.id, first)
    both.drive(rewiring)
    migration = both.world.begin(both.server, "h5")
    assert both.world.tools.migrations.take_over(migration.id) > first + 1
    with pytest.raises(StaleEpoch, match="completed"):
        both.records.take_over(rewiring.id)


def test_what_is_in_the_way_is_said_before_anything_is_made(both: Both) -> None:
    for backend, why in {
        "macvtap": "reports no backend 'macvtap' (it has: linuxbridge, openvswitch)",
        "odd": "reports no backend 'odd'",
    }.items():
        with pytest.raises(CannotMigrate) as refused:
            both.begin(backend)
        assert why in str(refused.value)
    with pytest.raises(Conflict, match="wired as linuxbridge on both has it already"):
        both.begin("linuxbridge")
    port = both.world.ports(both.server)[0]
    both.host.plugged.pop(port.id)
    with pytest.raises(CannotMigrate, match="not wired as its binding says"):
        both.begin()
    both.host.agent.reachable = False
    with pytest.raises(CannotMigrate, match="can't be asked"):
        both.begin()
    assert both.records.all() == []


def test_a_macvtap_needs_a_move(both: Both) -> None:
    server = both.world.server("h1", "on-macvtap")
    host = both.world["h1"]
    host.backends = (*host.backends, HostBackend("openvswitch", _OVS))
    host.agent.report()
    plan = both.rewirings.plan(server, "openvswitch")
    assert not plan.possible
    assert "no tap in a switch: only a move changes that, `kedge migrate`" in plan.obstacles[0]


def test_an_old_backend_that_was_configured_away_is_in_the_way(both: Both) -> None:
    both.host.backends = (HostBackend("openvswitch", _OVS),)
    both.host.agent.report()
    plan = both.rewirings.plan(both.server, "openvswitch")
    assert "has no backend linuxbridge any more" in plan.obstacles[0]


def test_rest(both: Both) -> None:
    app = FastAPI()
    app.include_router(rewirings_router(both.world.tools))
    install_error_handlers(app)
    api = TestClient(app)
    wanted: dict[str, Any] = {"to_backend": "openvswitch"}
    plan = api.post("/kedge/v1/servers/vm/rewire/plan", json=wanted).json()
    assert [port["after"]["vif_type"] for port in plan["ports"]] == ["ovs", "ovs"]
    assert api.get("/kedge/v1/rewirings").json() == []
    begun = api.post("/kedge/v1/servers/vm/rewire", json=wanted)
    assert (begun.status_code, begun.json()["state"]) == (202, "running")
    path = f"/kedge/v1/rewirings/{begun.json()['id']}"
    assert api.delete(path).json()["state"] == "aborting"
    both.drive(both.records.find(begun.json()["id"]))
    assert api.get(path).json()["state"] == "aborted"
    assert api.delete(path).status_code == 409
    assert [each["state"] for each in api.get("/kedge/v1/rewirings", params={"server": "vm"}).json()] == [
        "aborted"
    ]
    assert api.get("/kedge/v1/rewirings/none").status_code == 404
    assert api.post("/kedge/v1/servers/vm/rewire", json={}).status_code == 400
    assert api.post("/kedge/v1/servers/none/rewire", json=wanted).status_code == 404


def test_an_unknown_one(both: Both) -> None:
    with pytest.raises(NotFound):
        both.records.find("none")
    with pytest.raises(StaleEpoch):
        both.records.take_over("none")


def test_one_that_is_begun_here_is_driven_at_once(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewiring_conductor, "REST", 1e6)
    looked = threading.Event()
    unfinished = both.records.unfinished

    def look() -> list[str]:
        looked.set()
        return unfinished()

    monkeypatch.setattr(both.records, "unfinished", look)
    claims = claims_in(both.world.engine)
    conductor = rewiring_conductor.RewiringConductor(both.world.tools, both.records, claims, poll_s=0.01)
    conductor.start()
    try:
        assert looked.wait(60)
        rewiring = both.begin()
        deadline = time.monotonic() + 60
        while both.records.find(rewiring.id).finished_at is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        conductor.stop()
        claims.close()
    assert both.records.find(rewiring.id).state == "completed"
