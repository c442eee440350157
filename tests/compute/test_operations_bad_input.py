"""What may be wrong with an operation from its beginning, or go wrong in its middle: what REST says, what is done."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from kedge.compute.api.migrations import compute_router
from kedge.compute.api.operations import operations_router
from kedge.compute.hosts.commands import Commands
from kedge.model.domain import DomainState
from kedge.model.host import HostBackend
from kedge.model.operation import Abort, OperationLimits
from kedge.model.placement import HostLimits
from kedge.model.server import Server
from kedge.model.transition import Stage
from kedge.network.api import install_error_handlers
from kedge.testing.simulated.fabric import Step

from .compute_world import ComputeWorld
from .transition_fleet import Hosts, of

PATH = "/kedge/v1/operations"
DRAIN = {"kind": "drain", "host": "h5", "to": ["h3"], "limits": {"retry_s": 0}}
NEVER_ZERO = ("per_source", "per_destination", "in_all", "attempts", "hosts_at_once", "rewired_at_once")
MAY_BE_ZERO = ("bandwidth_mib", "max_failures", "per_network", "retry_s", "priority", "troubled_hosts")


def transition(way: str = "moves", **wanted: Any) -> dict[str, Any]:
    whole = {"hosts": ["h5"], "to_backend": "openvswitch", "way": way, **wanted}
    return {"kind": "transition", "transition": whole}


class Api:
    """Simulated hosts, and REST."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts, self.world = hosts, hosts.world
        app = FastAPI()
        app.include_router(operations_router(hosts.conductor))
        app.include_router(compute_router(hosts.conductor, self.world.servers))
        install_error_handlers(app)
        self.client = TestClient(app)

    def begin(self, body: dict[str, Any]) -> Any:
        answer = self.client.post(PATH, json=body)
        assert answer.status_code == 202, answer.text
        return self.hosts.records.find(answer.json()["id"])

    def refused(self, body: dict[str, Any], status: int) -> str:
        """What is said. Nothing is begun, and no host is taken out of use; the simulation says the same."""
        before, settings = self.hosts.records.all(), self.hosts.tools.settings.all()
        answer = self.client.post(PATH, json=body)
        assert answer.status_code == status, answer.text
        assert (self.hosts.records.all(), self.hosts.tools.settings.all()) == (before, settings)
        return str(answer.json())

    def states(self, operation: Any) -> dict[str, tuple[str, str]]:
        shown = self.client.get(f"{PATH}/{operation.id}").json()
        return {each["name"]: (each["state"], "; ".join(each["why"])) for each in shown["items"]}


def shut_down(api: Api, server: Server) -> None:
    api.world["h5"].holds[server.id].state = DomainState.SHUTOFF


def stop_below(api: Api, server: Server) -> None:
    running = api.world.fabric.running(server.id)
    assert running is not None
    running.fail("domain is not running")
    shut_down(api, server)


@pytest.fixture
def api(world: ComputeWorld, tmp_path: Path) -> Api:
    return Api(Hosts(world, tmp_path))


@pytest.fixture
def server(world: ComputeWorld) -> Server:
    return world.server("h5", name="vm0")


@pytest.mark.parametrize(
    "begun", [DRAIN, transition(), transition("in-place"), {"kind": "restore", "host": "h5"}]
)
def test_hosts_that_are_unknown_or_dead(api: Api, begun: dict[str, Any]) -> None:
    named = {**begun, "host": "h9"} if "host" in begun else transition(hosts=["h9"])
    assert "h9" in api.refused(named, 404)
    api.world["h5"].agent.reachable = False
    api.world.pass_time(3600)
    assert "h5 has a dead agent" in api.refused(begun, 409)


def test_a_host_that_is_being_drained_or_changed(api: Api, server: Server) -> None:
    drain = api.begin(DRAIN)
    for each in (DRAIN, transition(), transition("in-place")):
        said = api.refused(each, 409)
        assert f"operation {drain.id}" in said
    api.hosts.records.abort(drain.id, Abort.FINISH_RUNNING)
    api.hosts.to_end(drain)


def test_limits_of_zero_with_which_nothing_would_ever_begin(api: Api, server: Server) -> None:
    for name in NEVER_ZERO:
        assert f"{name} is 0; give a number from 1 to" in api.refused({**DRAIN, "limits": {name: 0}}, 400)
    begun = api.begin(DRAIN)
    answer = api.client.put(f"{PATH}/{begun.id}/limits", json={"in_all": 0})
    assert (answer.status_code, "in_all is 0; give a number from 1 to" in answer.text) == (400, True)
    assert api.hosts.records.find(begun.id).limits == begun.limits


def test_limits_that_may_be_zero(api: Api, server: Server) -> None:
    assert {*NEVER_ZERO, *MAY_BE_ZERO} == asdict(OperationLimits()).keys() - {"order", "window"}
    begun = api.begin({**DRAIN, "limits": dict.fromkeys(MAY_BE_ZERO, 0)})
    assert api.hosts.to_end(begun).state == "completed"


def test_levelling_by_no_moves(api: Api) -> None:
    said = api.refused({"kind": "rebalance", "levelling": {"moves": 0}}, 400)
    assert "moves is 0; give a number from 1 to" in said


def test_a_transition_whose_spare_capacity_is_too_small(api: Api, server: Server) -> None:
    api.world.server("h5", name="vm9")
    api.hosts.tools.settings.limit("h1", HostLimits(vcpus=1))
    for name in ("h2", "h3", "h4"):
        api.hosts.tools.settings.disable(name, "new disks")
    said = api.refused(transition(), 409)
    assert (
        "vm9 fits nowhere else: h1: CPUs: " in said
        and "1 of the 1" in said
        and "h2: " in said
        and "new disks" in said
    )
    simulated = api.client.post(f"{PATH}/simulate", json={"operation": transition()}).json()
    assert "fits nowhere else" in str(simulated["unmoved"])


def test_two_operations_that_want_the_same_server(api: Api, server: Server) -> None:
    first = api.begin({"kind": "servers", "servers": ["vm0"], "to": ["h3"]})
    for each in (DRAIN, transition(), transition("in-place"), {"kind": "servers", "servers": ["vm0"]}):
        assert f"Server vm0 belongs to operation {first.id}, which has not ended" in api.refused(each, 409)
    assert api.hosts.to_end(first).state == "completed"
    api.world.check(server, "h3")


def test_affinity_in_a_circle(api: Api) -> None:
    """Groups can't be a circle: each server is in one of each kind, so only beside and apart at once is one."""
    for name in ("a", "b", "c"):
        api.world.server("h1", name=name)
    for name, labels in (
        ("a", {"affinity": "x", "soft-anti-affinity": "z"}),
        ("b", {"affinity": "x", "anti-affinity": "y"}),
        ("c", {"anti-affinity": "y", "soft-anti-affinity": "z"}),
    ):
        answer = api.client.patch(f"/kedge/v1/servers/{name}/labels", json={"labels": labels})
        assert answer.status_code == 200, answer.text
    answer = api.client.patch("/kedge/v1/servers/c/labels", json={"labels": {"affinity": "x"}})
    assert answer.status_code == 400
    assert "would be kept beside" in answer.text and "take one of these labels off" in answer.text


@pytest.mark.parametrize("way", ["moves", "in-place"])
def test_a_host_that_comes_back_with_yet_another_backend(api: Api, server: Server, way: str) -> None:
    operation = api.begin(transition(way))
    api.hosts.until_stage(operation, Stage.CONVERTING)
    api.hosts.report("h5", HostBackend("macvtap", {"physnet1": "eth1"}))
    stopped = api.hosts.until_trouble(operation)
    trouble = of(stopped).trouble or ""
    assert trouble.startswith("its agent reports macvtap (physnet1: eth1), and not openvswitch. So h5 ")
    assert f"`kedge operations resume {operation.id[:8]}`" in trouble
    api.world.check(server, api.hosts.tools.servers.find(server.id).host)


@pytest.mark.parametrize(
    ("way", "script", "why"),
    [
        ("moves", "echo no bridge; exit 3", "exited with 3"),
        ("in-place", "echo no bridge; sleep 600", "took longer"),
    ],
)
def test_a_command_that_fails_or_hangs(api: Api, server: Server, way: str, script: str, why: str) -> None:
    commands = Commands(
        {"to-ovs": ["/bin/sh", "-c", script, "{host}", "{way}"]},
        timeout_s=0.5,
        directory=api.hosts.directory / "x",
    )
    api.hosts.use(commands)
    api = Api(api.hosts)
    operation = api.begin(transition(way, run="to-ovs"))
    stopped = api.hosts.until_trouble(operation)
    assert (of(stopped).trouble or "").startswith(f"`to-ovs` {why}")
    shown = api.client.get(f"{PATH}/{operation.id}").json()["hosts"][0]
    assert (shown["command"]["state"], shown["command"]["output"]) == ("failed", "no bridge")
    assert why in shown["log"][-2]["what"] and "no bridge" in shown["log"][-2]["what"]
    api.world.check(server, api.hosts.tools.servers.find(server.id).host)


def test_servers_that_are_shut_down_or_vanish_from_a_drained_host(api: Api, server: Server) -> None:
    off, gone = api.world.server("h5", name="off"), api.world.server("h5", name="gone")
    operation = api.begin({**DRAIN, "limits": {"retry_s": 0, "in_all": 1}})
    shut_down(api, off)
    api.world["h5"].holds.pop(gone.id)
    ended = api.hosts.to_end(operation)
    assert ended.state == "failed"
    states = api.states(operation)
    assert states["vm0"] == ("arrived", "")
    assert (
        states["off"][0] == "stuck"
        and "is shutoff on h5; only a running one can move live" in states["off"][1]
    )
    assert states["gone"][0] == "stuck" and "is absent on h5" in states["gone"][1]
    assert api.hosts.tools.migrations.all()[0].server_id == server.id


@pytest.mark.parametrize("how", ["shut down", "deleted", "moved"])
def test_servers_that_are_lost_while_they_are_copied(api: Api, server: Server, how: str) -> None:
    operation = api.begin(DRAIN)
    api.hosts.round(operation)
    body = {"host": "h2"}
    if how == "deleted":
        answer = api.client.delete(f"/kedge/v1/servers/{server.id}")
    else:
        answer = api.client.post(f"/kedge/v1/servers/{server.id}/migrate", json=body)
    assert (answer.status_code, "is under way; wait for it, or end it with" in answer.text) == (409, True)
    if how == "shut down":
        api.world.fabric.on_step(Step.COPYING, lambda: stop_below(api, server))
    ended = api.hosts.to_end(operation)
    if how == "shut down":
        assert ended.state == "failed"
        assert "is shutoff on h5" in api.states(operation)["vm0"][1]
    else:
        assert ended.state == "completed"
        api.world.check(server, "h3")


@pytest.mark.parametrize("how", ["shut down", "vanished"])
def test_servers_that_are_lost_during_a_transition(api: Api, server: Server, how: str) -> None:
    """By moves they keep a host from being changed below them; in place they are none of its business."""
    operation = api.begin(transition())
    if how == "shut down":
        shut_down(api, server)
    else:
        api.world["h5"].holds.pop(server.id)
    trouble = of(api.hosts.until_trouble(operation)).trouble or ""
    state = "shutoff" if how == "shut down" else "absent"
    assert "vm0 can't move: " in trouble and f"is {state} on h5" in trouble
    api.hosts.records.abort(operation.id, Abort.FINISH_RUNNING)
    assert api.hosts.to_end(operation).state == "aborted"
