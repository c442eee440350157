"""What `make demo FLEET=1` says in the end, and that it fails when a VM lost its network."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

from rich.console import Console

from kedge.lab import fleet_table
from kedge.lab.connection import ConnectionResult
from kedge.lab.echo import AddressResult
from kedge.lab.fleet import Seen, Vm
from kedge.lab.fleet_table import Done, Result

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
VM = Vm("id1", "vm1", "198.51.100.50", "port1", 96)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def done(state: str = "completed", took_s: float = 8.0, misplaced: tuple[str, ...] = ()) -> Done:
    leg = {"server_id": "id1", "destination": "h2", "start_s": 1.0, "end_s": 6.0}
    prediction = {"total_s": 10.0, "legs": [leg], "basis": {"learned_from": 7}}
    operation = {"kind": "drain", "host": "h1", "state": state, "took_s": took_s, "prediction": prediction}
    migration = {
        "server_id": "id1",
        "source": "h1",
        "destination": "h2",
        "total_ms": 4200.0,
        "network_blackout_ms": 77.0,
        "created_at": at(0).isoformat(),
        "finished_at": at(5).isoformat(),
    }
    return Done(operation, (migration,), misplaced)


def result(*of: Done, connection: ConnectionResult | None = None) -> Result:
    gaps, losses = (
        [(int(at(second).timestamp() * 1e9), ms) for second, ms in those]
        for those in (((1, 40.0), (2, 90.0), (9, 500.0)), ((1, 30.0), (1, 70.0), (9, 400.0)))
    )
    whole = ConnectionResult(alive=True, lines=9)
    return Result(
        of, {VM.id: VM}, {"vm1": Seen(AddressResult(9, 9, gaps=gaps, losses=losses), connection or whole)}
    )


def shown(table: Any) -> str:
    written = StringIO()
    Console(file=written, width=150).print(table)
    return written.getvalue()


def test_a_move_is_shown_with_what_was_seen_of_its_vm_meanwhile() -> None:
    assert shown(fleet_table.moves(result(done()))).splitlines()[1].split() == [
        *("drain", "h1", "vm1", "96", "h1", "h2"),
        *("5.0", "4.2", "77", "70", "90"),
    ]


def test_an_operation_is_shown_with_how_good_its_prediction_was() -> None:
    said = shown(fleet_table.operations(result(done())))
    assert "learned of 7" in said
    assert "10.0" in said
    assert "+25%" in said
    assert "as promised" in said
    assert "1 of 1 predictions were within 25%" in fleet_table.verdict(result(done()))
    assert "0 of 1 predictions" in fleet_table.verdict(result(done(took_s=7.9)))


def test_the_verdict_says_how_well_transitions_were_predicted() -> None:
    good, bad = done(took_s=8), done(took_s=30)
    as_transition = {"kind": "transition", "host": "", "hosts": [{"host": "h5", "in_place": True}]}
    those = [replace(each, operation={**each.operation, **as_transition}) for each in (good, bad)]
    said = fleet_table.verdict(result(done(), *those))
    assert "2 of 3 predictions were within 25%" in said
    assert "Of the transitions 1 of 2: transition h5 in place [green]+25%[/], transition" in said


def test_a_vm_that_lost_its_network_is_no_success() -> None:
    broken = result(done(), connection=replace(ConnectionResult(), error="reset"))
    assert broken.shortcomings == ["vm1: its TCP connection broke: reset"]
    assert "kept their network" not in fleet_table.verdict(broken)


def test_an_operation_is_named_with_the_hosts_that_it_is_for() -> None:
    whole = done()
    assert whole.title == "drain h1"
    of_hosts = {"kind": "transition", "host": "", "hosts": [{"host": "h5"}, {"host": "h2"}]}
    assert replace(whole, operation={**whole.operation, **of_hosts}).title == "transition h5 h2"


def test_what_was_left_behind_and_what_did_not_complete_is_no_success() -> None:
    short = result(done("failed", misplaced=("h1 still has tap1 of vm1",)))
    assert short.shortcomings == ["drain h1 failed", "after drain h1: h1 still has tap1 of vm1"]
    assert "falls short" in shown(fleet_table.operations(short))


def test_where_the_time_of_a_transition_went_is_shown() -> None:
    lines = (
        (0, "emptying: its servers"),
        (2, "converting: it is"),
        (5.5, "verifying: its"),
        (6, "done: its"),
    )
    log = [{"at": at(second).isoformat(), "what": what} for second, what in lines]
    transition = replace(done(), operation={**done().operation, "hosts": [{"host": "h5", "log": log}]})
    said = shown(fleet_table.stages(result(transition))).splitlines()[1].split()
    assert said == ["drain", "h1", "h5", "2.0", "3.5", "0.5", "-", "-"]


def rewiring(state: str = "completed", error: str | None = None) -> dict[str, Any]:
    return {
        "id": "r1",
        "server_id": "id1",
        "host": "h5",
        "backend": "openvswitch",
        "state": state,
        "error": error,
        "ports": [{"blackout_ms": 3.25}, {"blackout_ms": None}],
        "created_at": at(1.5).isoformat(),
        "finished_at": at(3).isoformat(),
    }


def test_what_changed_its_switch_in_place_is_shown_with_its_blackout() -> None:
    whole = replace(result(done()), rewired=(rewiring(),))
    said = shown(fleet_table.rewirings(whole)).splitlines()[1].split()
    assert said == ["vm1", "h5", "openvswitch", "3.2", "0", "90"]
    assert whole.shortcomings == []

    broken = replace(whole, rewired=(rewiring("failed", "no bridge"),))
    assert broken.shortcomings == ["rewiring r1 failed: no bridge"]


def test_a_demo_that_ended_before_its_end_is_no_success() -> None:
    assert replace(result(done()), short="`kedge drain h1` began nothing").shortcomings == [
        "`kedge drain h1` began nothing"
    ]
