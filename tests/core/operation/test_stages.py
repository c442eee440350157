"""What is done with a host of a transition, and what is said of it."""

from dataclasses import replace

import pytest

from kedge.core.operation import Running, Seen, decide
from kedge.core.operation.host_seen import Act, Advance, HostSeen, ServerWired, Step, Wired
from kedge.core.operation.stages import advance, moves, outlooks, stands
from kedge.core.placement import Fleet, HostState, PlacedServer
from kedge.model.host import Host, HostBackend
from kedge.model.operation import OperationLimits
from kedge.model.transition import CommandRun, CommandState, Stage, Transition

from ..placement.fleets import fleet, host, server

OLD, NEW = HostBackend("linuxbridge", {"physnet1": "eth1"}), HostBackend("openvswitch", {"physnet1": "br-1"})
WANTED = Transition(("a", "d"), "openvswitch", run="convert")
HOMES = {"vm1": "a", "vm2": "a"}


def a_host(stage: Stage, *backends: HostBackend, name: str = "a", **more: object) -> HostSeen:
    reported = Host(name, backends=backends or (OLD,), libvirt_version=9_000_000)
    return HostSeen(reported, stage, before=(OLD,), **more)  # type: ignore[arg-type]


def ran(state: CommandState, why: str = "") -> CommandRun:
    return CommandRun("1", "node", state, why)


def following(
    *hosts: HostSeen,
    servers: tuple[PlacedServer, ...] = (),
    others: tuple[HostState, ...] = (host("c", gib=64),),
    wanted: Transition = WANTED,
    running: tuple[Running, ...] = (),
    window: str = "",
    **limits: int,
) -> Advance:
    of: Fleet = fleet(*(HostState(each.host) for each in hosts), *others, *servers)
    bounds = OperationLimits(window=window, **limits)  # type: ignore[arg-type]
    seen = Seen(of, moves(wanted, hosts, HOMES, of), running, bounds, now_s=NOON_S)
    return advance(wanted, hosts, HOMES, seen, decide(seen))


NOON_S = 12 * 3600.0
VMS = (server("vm1", "a", gib=4), server("vm2", "a", gib=8))


def step(*hosts: HostSeen, **more: object) -> Step:
    return following(*hosts, **more).steps[hosts[0].name]  # type: ignore[arg-type]


def test_a_host_begins_only_if_its_servers_fit_elsewhere() -> None:
    fits = step(a_host(Stage.QUEUED), servers=VMS)
    places = tuple((each.id, "c") for each in VMS)
    assert fits == Step(Act.ENTER, stage=Stage.EMPTYING, planned=places)

    too_small = step(a_host(Stage.QUEUED), servers=VMS, others=(host("c", gib=10),))
    assert too_small.act is Act.STOP
    assert "vm2 fits nowhere else: c: " in too_small.why
    assert "8 GiB" in too_small.why or "8192 MiB" in too_small.why

    waits = following(
        a_host(Stage.CONVERTING, command=ran(CommandState.RUNNING)),
        a_host(Stage.QUEUED, name="d"),
        servers=(server("vm3", "d", gib=8),),
        others=(host("c", gib=4),),
        hosts_at_once=2,
    ).steps["d"]
    assert (waits.act, "vm3 fits nowhere else" in waits.why) == (Act.WAIT, True)


def test_a_server_that_can_not_leave_stops_its_host() -> None:
    stopped = step(a_host(Stage.EMPTYING), servers=VMS, others=())
    assert stopped.act is Act.STOP
    assert "vm1 can't move: there is no host that it may go to" in stopped.why


def test_a_host_is_changed_only_when_nothing_is_on_its_way_there() -> None:
    coming = (Running("x", "c", "a", ours=False),)
    assert step(a_host(Stage.EMPTYING), running=coming).act is Act.WAIT
    assert step(a_host(Stage.CONVERTING), running=coming) == Step(Act.ENTER, stage=Stage.EMPTYING)
    assert step(a_host(Stage.EMPTYING)) == Step(Act.ENTER, stage=Stage.CONVERTING)


@pytest.mark.parametrize(
    ("seen", "act", "why"),
    [
        (a_host(Stage.CONVERTING), Act.RUN, ""),
        (a_host(Stage.CONVERTING, command=ran(CommandState.RUNNING)), Act.WAIT, "`convert` runs"),
        (
            a_host(Stage.CONVERTING, command=ran(CommandState.SUCCEEDED)),
            Act.WAIT,
            "reports linuxbridge (physnet1: eth1)",
        ),
        (
            a_host(Stage.CONVERTING, command=ran(CommandState.SUCCEEDED), since_command_s=999),
            Act.STOP,
            "`convert` succeeded 999 s ago, but its agent reports linuxbridge",
        ),
        (
            a_host(Stage.CONVERTING, command=ran(CommandState.FAILED, "exited with 3")),
            Act.STOP,
            "`convert` exited with 3",
        ),
        (
            a_host(Stage.CONVERTING, HostBackend("macvtap")),
            Act.STOP,
            "its agent reports macvtap, and not openvswitch",
        ),
        (a_host(Stage.CONVERTING, OLD, NEW, command=ran(CommandState.FAILED)), Act.ENTER, ""),
        (a_host(Stage.VERIFYING, NEW), Act.TRY, ""),
        (a_host(Stage.VERIFYING), Act.ENTER, ""),
        (
            a_host(Stage.RETURNING),
            Act.STOP,
            "its agent reports linuxbridge (physnet1: eth1), and not openvswitch",
        ),
        (a_host(Stage.RETURNING, NEW), Act.ENTER, ""),
    ],
)
def test_what_its_agent_reports_decides(seen: HostSeen, act: Act, why: str) -> None:
    found = step(seen)
    assert found.act is act
    assert why in found.why


def test_a_person_is_told_what_to_change_and_waited_for() -> None:
    by_hand = Transition(("a",), "macvtap", {"physnet1": "eth3"})
    found = step(a_host(Stage.CONVERTING), wanted=by_hand)
    assert found.act is Act.WAIT
    assert found.why.startswith(
        "waits for macvtap (physnet1: eth3): stop its agent, put it into the configuration"
    )

    other_parent = a_host(Stage.CONVERTING, HostBackend("macvtap", {"physnet1": "eth2"}))
    assert step(replace(other_parent, before=other_parent.host.backends), wanted=by_hand).act is Act.WAIT
    done = a_host(Stage.CONVERTING, HostBackend("macvtap", {"physnet1": "eth3", "physnet2": "eth4"}))
    assert step(done, wanted=by_hand) == Step(Act.ENTER, stage=Stage.VERIFYING)


def test_what_is_in_trouble_halts_the_rest_or_not() -> None:
    bad, queued = a_host(Stage.CONVERTING, trouble="it broke"), a_host(Stage.QUEUED, name="d")
    halted = following(bad, queued)
    assert halted.halt
    assert halted.steps["d"] == Step(Act.WAIT)
    goes_on = following(bad, queued, troubled_hosts=1)
    assert not goes_on.halt
    assert goes_on.steps["d"] == Step(Act.ENTER, stage=Stage.EMPTYING)


def test_the_state_of_a_host_is_said_in_words() -> None:
    away = fleet(server("vm1", "c", gib=4), server("vm2", "a", gib=8))
    assert stands(a_host(Stage.QUEUED), HOMES, away) == "a is as it was"
    assert stands(a_host(Stage.EMPTYING), HOMES, away) == (
        "a is disabled, its agent reports linuxbridge (physnet1: eth1), and 1 of 2 servers are elsewhere"
    )
    assert "a takes servers again" in stands(a_host(Stage.RETURNING, NEW), HOMES, away)


def test_a_host_in_place_needs_no_room_and_is_not_emptied() -> None:
    begins = step(a_host(Stage.QUEUED, in_place=True), servers=VMS, others=(host("c", gib=1),))
    assert begins == Step(Act.ENTER, stage=Stage.CONVERTING)
    assert step(a_host(Stage.CONVERTING, in_place=True), servers=VMS).act is Act.RUN
    assert step(a_host(Stage.CONVERTING, NEW, OLD, in_place=True), servers=VMS).stage is Stage.VERIFYING
    assert step(a_host(Stage.VERIFYING, NEW, OLD, in_place=True), servers=VMS).act is Act.TRY


def test_how_the_servers_of_a_host_in_place_stand() -> None:
    wired = {"vm1": ServerWired(Wired.NEW), "vm2": ServerWired(Wired.FAILED, "its rewiring r failed: full")}
    seen = a_host(Stage.REWIRING, NEW, OLD, in_place=True, servers=wired)
    stopped = step(seen, servers=VMS)
    assert (stopped.act, stopped.why) == (Act.STOP, "vm2: its rewiring r failed: full")
    where = fleet(*VMS)
    assert stands(seen, HOMES, where) == (
        "its agent reports openvswitch (physnet1: br-1) and linuxbridge (physnet1: eth1), and 1 of 2 servers on a are"
        " in the new switch"
    )
    found = outlooks((seen,), HOMES, where, decide(Seen(where, ())))
    assert {name: (each.state.value, each.why) for name, each in found.items()} == {
        "vm1": ("arrived", ()),
        "vm2": ("stuck", ("its rewiring r failed: full",)),
    }
    away = fleet(server("vm1", "c", gib=4), VMS[1])
    assert outlooks((seen,), HOMES, away, decide(Seen(away, ())))["vm1"].why == ("it was moved to c",)


def test_a_host_in_place_waits_for_the_window_to_rewire() -> None:
    old = {"vm1": ServerWired(Wired.OLD)}
    seen = a_host(Stage.REWIRING, NEW, OLD, in_place=True, servers=old)
    found = following(seen, servers=VMS[:1], window="22:00-05:00")
    assert found.steps["a"].act is Act.WAIT
    assert "the window is 22:00-05:00" in found.steps["a"].why
    assert found.wake_s is not None
    assert step(seen, servers=VMS[:1]) == Step(Act.REWIRE, servers=("vm1",))
