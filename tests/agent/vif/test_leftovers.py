"""An agent that is killed between any two changes of the host leaves nothing that the next one does not find."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import pytest

from kedge.agent.vif import Pluggers, ovsdb
from kedge.agent.vif import ovs_client as ovs
from kedge.agent.vif.link import HALF_MADE
from kedge.model.domain import VifState
from kedge.model.network import Vif

from .vif_world import ALL, World, cases, run

pytestmark = pytest.mark.lab

# Whatever the plugger, so many rounds remove everything: a bridge goes before the VLAN device that is in it.
ROUNDS = 4


def one_of_each(case: object) -> bool:
    return getattr(case, "name", "") not in ("ovs-native-flat", "ovs-native-vlan")


@contextmanager
def agent_to_kill(host: World, vif: Vif) -> Iterator[Callable[[str], str]]:
    argv = [sys.executable, "-m", "tests.agent.vif.killed_agent"]
    argv += [json.dumps(asdict(host.case.backend)), json.dumps(asdict(vif))]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def tell(order: str) -> str:
            process.stdin.write(f"{order}\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            return process.stdout.readline().strip()  # type: ignore[union-attr]

        yield tell
        process.stdin.close()


def collect_everything(pluggers: Pluggers) -> None:
    """What the agent does with what nothing explains."""
    for _ in range(ROUNDS):
        for report in pluggers.plugged():
            pluggers.unplug(report.port_id)
        pluggers.remove_loose(pluggers.loose())


@cases(one_of_each)
def test_killed_at_any_point_of_plugging(host: World) -> None:
    before = host.devices()
    vif = host.vif()
    with agent_to_kill(host, vif) as tell:
        for number in itertools.count(1):
            answer = tell(f"plug {number}")
            collect_everything(host.pluggers)
            assert host.devices() == before, f"left by one that was killed before change {number}"
            if answer == "done":
                break
            assert answer == "killed"
    assert number > 1


@cases(one_of_each)
def test_killed_at_any_point_of_unplugging(host: World) -> None:
    before = host.devices()
    vif = host.vif()
    with agent_to_kill(host, vif) as tell:
        for number in itertools.count(1):
            host.pluggers.plug(vif)
            answer = tell(f"unplug {number}")
            collect_everything(host.pluggers)
            assert host.devices() == before, f"left by one that was killed before change {number}"
            if answer == "done":
                break
            assert answer == "killed"
    assert number > 1


@cases(one_of_each)
def test_what_a_killed_agent_left_is_no_obstacle(host: World) -> None:
    vif = host.vif()
    with agent_to_kill(host, vif) as tell:
        for number in itertools.count(1):
            if tell(f"plug {number}") == "done":
                break
            host.pluggers.plug(vif)
            assert host.pluggers.state(vif) is not VifState.ABSENT
            host.pluggers.unplug(vif.port_id)
    with host.vm_plugged() as vm:
        vm.send(ALL, "here I am")
        assert host.wire.heard(at_least=1) == [(host.case.vlan, "here I am")]


@cases()
def test_nothing_is_loose_while_vifs_use_it(host: World) -> None:
    with host.vm_plugged() as one, host.vm_plugged(host.network(host.case.vlan)):
        assert host.pluggers.loose() == frozenset()
        host.pluggers.unplug(one.vif.port_id)
        assert host.pluggers.loose() == frozenset()


@cases()
def test_what_kedge_did_not_make_is_never_loose(host: World) -> None:
    """Names like those that Kedge gives, marks that are almost Kedge's, and a group that is another."""
    taps = ("tap11111111-22", "qvo11111111-22")
    for name in taps:
        run("ip", "tuntap", "add", "dev", name, "mode", "tap")
        run("ip", "link", "set", name, "alias", "kedge:ports:11111111")
    run("ip", "link", "add", "brq11111111-22", "type", "bridge")
    run("ip", "link", "add", "qbr11111111-22", "type", "bridge")
    run("ip", "link", "set", "qbr11111111-22", "group", str(HALF_MADE - 1))
    run("ip", "link", "add", "qvb11111111-22", "type", "veth", "peer", "name", "far11111111-22")
    run("ip", "link", "property", "add", "dev", "qvb11111111-22", "altname", "kedge-macvtab-1")
    if host.case.is_ovs:
        run("ovs-vsctl", "add-port", "br-int", taps[0], "tag=7", "--",
            "set", "Port", taps[0], "external_ids:kedge-ports=11111111")  # fmt: skip
        for bridge, end, far in (
            ("br-int", "int-other", "phy-other"),
            ("br-physnet1", "phy-other", "int-other"),
        ):
            run("ovs-vsctl", "add-port", bridge, end, "--", "set", "Interface", end,
                "type=patch", f"options:peer={far}")  # fmt: skip
        run("ovs-ofctl", "add-flow", "br-int", "cookie=0x6b65,priority=9,in_port=99,actions=drop")
    before = host.devices()
    assert host.pluggers.loose() == frozenset()
    vif = host.vif()
    host.pluggers.plug(vif)
    collect_everything(host.pluggers)
    assert host.devices() == before
    if host.case.is_ovs:
        assert ovs.look().ports[taps[0]].tag == 7


@cases(lambda case: not case.is_ovs)
def test_a_host_without_open_vswitch_is_not_asked_for_it(
    host: World, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    monkeypatch.setattr(ovsdb, "_connected", lambda: pytest.fail("the database was asked"))
    host.pluggers.plug(host.vif())
    assert len(host.pluggers.plugged()) == 1
    assert host.pluggers.loose() == frozenset()
