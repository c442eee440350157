"""`kedge drain`, `restore` and `operations`, over hosts without hypervisors."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cli_world import Kedge, make_cli


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Kedge]:
    with make_cli(tmp_path) as made:
        yield made


def test_a_host_is_drained_and_restored_as_simulated(cli: Kedge) -> None:
    cli.server("vm1")
    cli.server("vm2")
    simulated = cli.json("drain", "h1", "--to", "h3", "--simulate")
    assert {leg["destination"] for leg in simulated["legs"]} == {"h3"}
    said = cli("drain", "h1", "--to", "h3", "--simulate").out
    assert "Nothing was stored or moved." in said
    assert "Assumed, as too few have been seen: each takes 2.0 s" in said
    assert "Writes" not in said
    cli.fleet.writes_mib = 7
    assert re.search(r"Writes.*7 MiB/s", cli("drain", "h1", "--simulate", "--measure", "1").out, re.DOTALL)
    assert "--measure is for --simulate" in cli("drain", "h1", "--measure", "1", exits=2).err
    assert "There is no operation yet" in cli("operations").out
    assert "no: " not in cli("hosts").out

    said = cli("drain", "h1", "--to", "h3", "--limit", "in_all=1").out
    assert re.search(r"drain h1 completed: 2 servers in \d+ s, \d+ s were predicted\.", said)
    assert "(2 of 2 done)" in said
    assert {each["host"] for each in cli.json("server", "list")} == {"h3"}
    assert "drained by operation" in cli("hosts").out

    *_, last = cli("restore", "h1", "--json").out.splitlines()
    restored = json.loads(last)
    assert (restored["state"], {item["state"] for item in restored["items"]}) == ("completed", {"arrived"})
    assert {each["host"] for each in cli.json("server", "list")} == {"h1"}
    listed = cli("operations").out
    assert "restore h1" in listed and "drain h1" in listed
    assert "vm1" in cli("operations", "show", restored["id"][:8]).out
    assert "completed" in cli("operations", "watch", restored["id"]).out
    assert "has ended already" in cli("operations", "abort", restored["id"], exits=3).err


def test_an_operation_is_paused_limited_resumed_and_aborted(cli: Kedge) -> None:
    cli.server("vm1")
    cli.fleet.lasts_s = 600
    begun = cli.json("operations", "move", "vm1", "--to", "h3", "--detach")["id"]
    assert "begins no migration until `kedge operations resume" in cli("operations", "pause", begun).out
    assert cli.json("operations", "show", begun)["state"] == "paused"
    rival = cli("drain", "h1", exits=3).err.replace("\n", " ")
    assert f"Server vm1 belongs to operation {begun}" in rival
    assert "in_all 3" in cli("operations", "limits", begun, "in_all=3", "order=biggest-first").out
    assert "order biggest-first" in cli("operations", "limits", begun).out
    assert "goes on" in cli("operations", "resume", begun).out
    assert (
        "of its migrations is under way"
        in cli("operations", "abort", begun, "--running", "abort-running").out
    )
    said = cli("operations", "watch", begun, exits=1).out
    assert "aborted: 1 of 1 servers stay" in said
    assert cli.json("server", "show", "vm1")["host"] == "h1"


def test_ctrl_c_leaves_it_running(cli: Kedge) -> None:
    cli.server("vm1")
    cli.fleet.lasts_s = 600
    command = cli.start("drain", "h1", "--to", "h3")
    assert command.stdout is not None
    assert "drain h1 (operation" in command.stdout.readline()
    command.send_signal(signal.SIGINT)
    _, complaint = command.communicate(timeout=60)
    assert command.returncode == 130
    assert "goes on. `kedge operations watch" in complaint
    (found,) = cli.json("operations")
    assert found["finished_at"] is None
    again = cli("drain", "h1", exits=3).err.replace("\n", " ")
    assert f"Host h1 has a drain under way, operation {found['id']}" in again


def test_what_can_not_be_is_refused_before_anything_is_touched(cli: Kedge) -> None:
    cli.server("vm1")
    assert "from host 'nowhere'" in cli("drain", "nowhere", exits=4).err
    assert "dead agent" in cli("drain", "dead", exits=3).err
    assert "never drained" in cli("restore", "h1", exits=3).err
    assert "in_all is 0" in cli("drain", "h1", "--limit", "in_all=0", exits=2).err
    assert "is no limit; write NAME=VALUE" in cli("drain", "h1", "--limit", "in_all", exits=2).err
    cli("drain", "h1", "--limit", "speed=9", exits=2)
    assert "can't bring servers to h1" in cli("drain", "h1", "--to", "h1", exits=2).err
    assert "is neither a name nor an id" in cli("operations", "show", "..", exits=2).err
    cli("operations", "show", "0000", exits=4)
    assert cli.json("operations") == []
    assert "no: " not in cli("hosts").out


def test_hosts_are_levelled_as_simulated(cli: Kedge) -> None:
    for name in ("vm1", "vm2", "vm3"):
        cli.server(name)
    which = ("rebalance", "--hosts", "h1,h3,dead", "--by", "servers")
    simulated = cli(*which, "--simulate").out
    assert "Nothing was stored or moved." in simulated
    assert "the agent of dead is dead" in " ".join(simulated.split())
    assert "rebalance completed: 1 servers" in cli(*which).out
    assert sorted(each["host"] for each in cli.json("server", "list")) == ["h1", "h1", "h3"]
    shown = cli("operations", "show", cli.json("operations")[0]["id"]).out
    assert "Takes no part" in shown and "vm1" in shown
    assert "Nothing would be moved." in cli(*which, "--simulate").out
    assert "rebalance completed: 0 servers" in cli(*which).out
    assert "threshold is -1; give a number" in cli("rebalance", "--threshold", "-1", exits=2).err
    cli("rebalance", "--hosts", "nowhere", exits=4)
