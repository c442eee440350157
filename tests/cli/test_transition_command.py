"""`kedge transition`, over hosts without hypervisors."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kedge.model.host import HostBackend

from .cli_world import Kedge, make_cli

OVS = HostBackend("openvswitch", {"physnet1": "br-physnet1"})
BRIDGES = HostBackend("linuxbridge", {"physnet1": "eth1"})
IN_PLACE = ("transition", "--hosts", "h5", "--to-backend", "openvswitch")
TO_OVS = (*IN_PLACE, "--by-moves")


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Kedge]:
    with make_cli(tmp_path) as made:
        yield made


def test_a_host_is_changed_stopped_and_resumed(cli: Kedge) -> None:
    cli.server("vm1", "h5")
    simulated = cli(*TO_OVS, "--simulate").out
    assert "Its turn begins" in simulated and "vm1" in simulated
    assert "Nothing was stored or moved." in simulated

    stopped = cli(*TO_OVS, "--run", "convert", exits=1).out
    assert "transition of h5 waits for you: 1 hosts are in trouble." in stopped
    assert "`convert` exited with 3. So h5 is disabled, its agent reports linuxbridge" in stopped
    (found,) = cli.json("operations")
    assert (found["state"], found["hosts"][0]["command"]["output"]) == ("paused", "no bridge for h5")
    assert "converting, stopped" in cli("operations", "show", found["id"]).out
    assert "no: changed by operation" in cli("hosts").out.replace("\n", " ")

    cli.report("h5", OVS)
    cli("operations", "resume", found["id"])
    *lines, last = cli("operations", "watch", found["id"], "--json").out.splitlines()
    assert json.loads(last)["state"] == "completed"
    assert {json.loads(line)["host"] for line in lines if "stage" in json.loads(line)} == {"h5"}
    shown = cli("operations", "show", found["id"]).out
    assert "a port worked on network blue" in shown and "openvswitch" in shown
    assert cli.json("server", "show", "vm1")["host"] == "h5"
    assert {each["name"] for each in cli.json("ports", "list")} == {""}


def test_a_host_is_changed_in_place(cli: Kedge) -> None:
    cli.server("vm1", "h5")
    cli.server("vm2", "h1")
    simulated = cli("transition", "--hosts", "h5,h1", "--to-backend", "openvswitch", "--simulate").out
    assert "in place, 1 servers rewired" in simulated and "by moves" in simulated
    assert "h1 is changed by moves: vm2: port" in simulated.replace("\n", " ")
    refused = cli("transition", "--hosts", "h1", "--to-backend", "openvswitch", "--in-place", exits=3).err
    assert "can't be changed to openvswitch in place" in refused and "no tap in a switch" in refused
    assert "not both" in cli(*TO_OVS, "--in-place", exits=2).err

    begun = cli.json(*IN_PLACE, "--in-place", "--detach")
    cli.fleet.full = True
    cli.report("h5", OVS, BRIDGES)
    stopped = cli("operations", "watch", begun["id"], exits=1).out.replace("\n", " ")
    assert "h5 rewiring, stopped: vm1: its rewiring" in stopped and "the switch is full" in stopped
    assert "0 of 1 servers on h5 are in the new switch" in stopped

    cli.fleet.full = False
    cli("operations", "resume", begun["id"])
    *lines, last = cli("operations", "watch", begun["id"], "--json").out.splitlines()
    assert json.loads(last)["state"] == "completed"
    told = [json.loads(line) for line in lines]
    assert {each["in_place"] for each in told if "stage" in each} == {True}
    shown = cli("operations", "show", begun["id"]).out
    assert "in place" in shown and json.loads(last)["items"][0]["rewiring"][:8] in shown
    assert "its servers are in the new switch" in shown.replace("\n", " ")
    assert cli.json("server", "show", "vm1")["host"] == "h5"
    assert cli.json("migrations", "list") == []


def test_what_can_not_be_is_refused_before_anything_is_touched(cli: Kedge) -> None:
    cli.server("vm1", "h5")
    to = ("--to-backend", "openvswitch")
    assert "from host 'nowhere'" in cli("transition", "--hosts", "nowhere", *to, exits=4).err
    assert "dead agent" in cli("transition", "--hosts", "dead", *to, exits=3).err
    assert "already; leave it out" in cli("transition", "--hosts", "h3", *to, exits=2).err
    assert "Name each host once" in cli("transition", "--hosts", "h5,h5", *to, exits=2).err
    assert "Name the hosts" in cli("transition", "--hosts", ",", *to, exits=2).err
    assert "hosts_at_once is 0" in cli(*TO_OVS, "--at-once", "0", exits=2).err
    assert "write PHYSNET=DEVICE" in cli(*TO_OVS, "--map", "physnet1", exits=2).err
    assert "configured are: convert" in cli(*TO_OVS, "--run", "rm -rf /", exits=2).err
    for each in ("h1", "h2", "h3", "h4", "h6"):
        cli("hosts", "disable", each, "--reason", "new disks")
    assert "vm1 fits nowhere else: dead: " in cli(*TO_OVS, exits=3).err
    assert "vm1 fits nowhere else" in cli(*TO_OVS, "--simulate", exits=3).out.replace("\n", " ")
    assert cli.json("operations") == []
