"""Agents keep their hosts as they should be: what is missing comes back, what nobody needs goes, the rest stays."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from kedge.lab import LabHost, tour
from kedge.lab.cloud import Cloud
from kedge.lab.hypervisor import start_vswitchd
from kedge.lab.processes import NamespaceProcess

pytestmark = pytest.mark.lab

ADDRESS = "198.51.100.24"
SOON_S = 14.0
"""Two heartbeats at rest, and what a busy machine takes; an answer that never comes takes a minute or more."""

LOOKS_S = 36.0
"""In so long an agent has removed what it would: it looks twice, at every third heartbeat of five seconds, and some."""

FOREIGN_DOMAIN = "0a0b0c0d-0000-4000-8000-00000000f0f0"
FOREIGN_TAP, FOREIGN_BRIDGE = "tapfffffff1-2a", "brqfffffff1-2a"

Damage = Callable[[LabHost, str], object]


@pytest.fixture(scope="module")
def foreign(cloud: Cloud) -> Iterator[None]:
    """On every host things that are not Kedge's, with names as it gives; at the end they are all there."""
    for host in cloud.lab.hosts.values():
        host.shell(
            f"ip tuntap add dev {FOREIGN_TAP} mode tap && ip link set {FOREIGN_TAP} alias kedge && "
            f"ip link add {FOREIGN_BRIDGE} type bridge"
        )
        define(host, FOREIGN_DOMAIN, "foreign")
        if host.backend.is_ovs:
            host.run(["ovs-vsctl", "--timeout=20", "add-port", "br-int", FOREIGN_TAP, "tag=4000"])
    yield
    for host in cloud.lab.hosts.values():
        assert {FOREIGN_TAP, FOREIGN_BRIDGE} <= set(host.devices()), host.name
        assert "foreign" in host.domains()
        if host.backend.is_ovs:
            assert FOREIGN_TAP in host.ovs_ports()
            host.run(["ovs-vsctl", "--timeout=20", "del-port", FOREIGN_TAP])
        host.shell(f"ip link del {FOREIGN_TAP}; ip link del {FOREIGN_BRIDGE}")
        host.virsh("undefine", FOREIGN_DOMAIN)


@pytest.fixture(scope="module")
def vm(cloud: Cloud, foreign: None) -> Iterator[dict[str, Any]]:
    port = tour.make_port(cloud, tour.make_networks(cloud)["blue"], ADDRESS)
    made = tour.make_server(cloud, "vm-care", "h1", [(port, ADDRESS)])
    yield made
    cloud.delete(f"/kedge/v1/servers/{made['id']}")


def move(cloud: Cloud, vm: dict[str, Any], host: str) -> LabHost:
    if cloud.get(f"/kedge/v1/servers/{vm['id']}")["host"] != host:
        ended = cloud.migrate(vm["id"], host)
        assert ended["status"] == "completed", ended["error"]
    return cloud.lab.hosts[host]


def define(host: LabHost, uuid: str, name: str) -> None:
    text = (
        f"<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>32</memory>"
        "<os><type arch='x86_64'>hvm</type></os></domain>"
    )
    host.virsh("define", "/dev/stdin", text_input=text)


def port_of(cloud: Cloud, vm: dict[str, Any]) -> str:
    port: str = cloud.get(f"/kedge/v1/servers/{vm['id']}")["ports"][0]["id"]
    return port[:11]


def kill_vswitchd(host: LabHost, _port: str) -> None:
    host.shell("kill -9 $(cat /run/openvswitch/ovs-vswitchd.pid)")
    time.sleep(0.5)
    start_vswitchd(host)


def kill_ovsdb(host: LabHost, _port: str) -> None:
    """The database comes back without Kedge's ports and patches."""
    names = json.loads(
        host.run(["ovs-vsctl", "--format=json", "--columns=name,external_ids", "list", "Port"]).stdout
    )["data"]
    for name, (_, ids) in names:
        if any(key.startswith("kedge") for key, _ in ids):
            host.run(["ovs-vsctl", "--timeout=20", "del-port", name])


def wipe_flows(host: LabHost, _port: str) -> None:
    bridges = host.run(["ovs-vsctl", "--timeout=20", "list-br"]).stdout.split()
    for bridge in bridges:
        host.run(["ovs-ofctl", "del-flows", bridge])


def vsctl(*arguments: str) -> Damage:
    return lambda host, port: host.run(
        ["ovs-vsctl", "--timeout=20", *(each.format(port=port) for each in arguments)]
    )


def ip(*arguments: str) -> Damage:
    return lambda host, port: host.run(["ip", *(each.format(port=port) for each in arguments)])


DAMAGES: dict[str, tuple[str, Damage]] = {
    "ovs-vswitchd dies, native": ("h3", kill_vswitchd),
    "ovs-vswitchd dies, hybrid": ("h4", kill_vswitchd),
    "the database has lost it, native": ("h3", kill_ovsdb),
    "the database has lost it, hybrid": ("h4", kill_ovsdb),
    "del-port, native": ("h3", vsctl("del-port", "tap{port}")),
    "del-port, hybrid": ("h4", vsctl("del-port", "qvo{port}")),
    "flows wiped, native": ("h3", wipe_flows),
    "flows wiped, hybrid": ("h4", wipe_flows),
    "tap out of its bridge, hybrid": ("h4", ip("link", "set", "tap{port}", "nomaster")),
    "bridge removed, hybrid": ("h4", ip("link", "del", "qbr{port}")),
    "veth removed, hybrid": ("h4", ip("link", "del", "qvb{port}")),
    "tap out of its bridge": ("h5", ip("link", "set", "tap{port}", "nomaster")),
    "tap down": ("h5", ip("link", "set", "tap{port}", "down")),
    "bridge removed": (
        "h5",
        lambda host, port: host.shell(f"ip link del $(basename $(readlink /sys/class/net/tap{port}/master))"),
    ),
}


@contextmanager
def standing_still(process: NamespaceProcess) -> Iterator[None]:
    """nsenter stops when what it runs is stopped, and has to go on as well."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
        os.kill(process.pid, signal.SIGCONT)


@pytest.mark.parametrize("what", DAMAGES)
def test_a_vm_is_heard_again(cloud: Cloud, vm: dict[str, Any], what: str) -> None:
    name, damage = DAMAGES[what]
    host = move(cloud, vm, name)
    assert tour.answers(cloud, ADDRESS)
    with standing_still(cloud.agents[name]):  # or it may have mended that before anybody looked
        damage(host, port_of(cloud, vm))
        assert not tour.answers(cloud, ADDRESS), "nothing was broken"
    began = time.monotonic()
    cloud.wait_for(lambda: tour.answers(cloud, ADDRESS), "an answer of the VM", SOON_S)
    print(f"{what}: silent for {time.monotonic() - began:.1f} s")


def test_also_while_the_control_plane_is_away(cloud: Cloud, vm: dict[str, Any]) -> None:
    host = move(cloud, vm, "h3")
    with control_plane_away(cloud):
        time.sleep(3)
        wipe_flows(host, "")
        began = time.monotonic()
        while not tour.answers(cloud, ADDRESS):
            assert time.monotonic() - began < SOON_S


@contextmanager
def control_plane_away(cloud: Cloud) -> Iterator[None]:
    assert cloud.control is not None
    cloud.control.kill()
    cloud.control.wait(10)
    try:
        yield
    finally:
        cloud.start_control()
        # An agent knocks less and less often while nobody is there.
        cloud.wait_for(lambda: all(is_alive(cloud, host) for host in cloud.lab.hosts), "every agent's report")


@pytest.mark.parametrize("name", ["h1", "h4", "h5"])
def test_an_agent_that_starts_while_the_control_plane_is_away_keeps_everything(
    cloud: Cloud, vm: dict[str, Any], name: str
) -> None:
    host = move(cloud, vm, name)
    before = host.devices(), host.ovs_ports(), host.domains()
    with control_plane_away(cloud):
        restart_agent(cloud, host)
        time.sleep(5)
        assert (host.devices(), host.ovs_ports(), host.domains()) == before
        assert tour.answers(cloud, ADDRESS)
    time.sleep(5)
    assert (host.devices(), host.ovs_ports(), host.domains()) == before
    assert tour.answers(cloud, ADDRESS)


def is_alive(cloud: Cloud, host: str) -> bool:
    return any(each["name"] == host and each["alive"] for each in cloud.get("/kedge/v1/hosts"))


def restart_agent(cloud: Cloud, host: LabHost) -> None:
    agent = cloud.agents[host.name]
    agent.kill()
    agent.wait(10)
    cloud.start_agent(host)


def test_a_definition_of_a_vm_that_is_elsewhere_goes(cloud: Cloud, vm: dict[str, Any]) -> None:
    move(cloud, vm, "h5")
    host = cloud.lab.hosts["h2"]
    define(host, vm["id"], "vm-care")
    cloud.wait_for(lambda: "vm-care" not in host.domains(), "the definition's end", 30)
    assert "foreign" in host.domains()
    assert tour.answers(cloud, ADDRESS)


def test_a_second_vm_with_the_same_uuid_is_never_destroyed(cloud: Cloud, vm: dict[str, Any]) -> None:
    """Somebody has started it with virsh, and on another host has paused it: that is for a person to decide."""
    move(cloud, vm, "h5")
    paused, running = cloud.lab.hosts["h2"], cloud.lab.hosts["h1"]
    for host in (paused, running):
        define(host, vm["id"], "vm-care")
    paused.virsh("start", "--paused", vm["id"])
    running.virsh("start", vm["id"])
    time.sleep(LOOKS_S)
    assert paused.virsh("domstate", vm["id"]).stdout.strip() == "paused"
    assert running.virsh("domstate", vm["id"]).stdout.strip() == "running"
    for host in (paused, running):
        host.virsh("destroy", vm["id"])
    for host in (paused, running):
        cloud.wait_for(lambda host=host: "vm-care" not in host.domains(), "the definition's end", 30)  # type: ignore[misc]


def test_a_migration_with_virsh_is_left_alone(cloud: Cloud, vm: dict[str, Any], tmp_path: Path) -> None:
    """Kedge knows of none, and yet the domain that comes in is no leftover: somebody feeds it."""
    source, destination = move(cloud, vm, "h1"), cloud.lab.hosts["h2"]
    device = f"tap{port_of(cloud, vm)}"
    # All that the VM needs there: its XML is the same on every host.
    destination.run(["ip", "link", "add", "link", "ens5", "name", device, "up", "type", "macvtap"])
    source.virsh("migrate-setspeed", vm["id"], "1")
    argv = ["virsh", "-c", "qemu:///system", "migrate", "--live", "--p2p", vm["id"]]
    argv += [destination.libvirt_uri, destination.migrate_uri]
    with source.popen(argv, log=tmp_path / "virsh.log") as virsh:
        cloud.wait_for(lambda: "vm-care" in destination.domains(), "the domain that comes in")
        time.sleep(LOOKS_S)
        assert virsh.poll() is None, "the migration was over too soon to show anything"
        assert destination.virsh("domstate", vm["id"]).stdout.strip() == "paused"
        source.virsh("domjobabort", vm["id"])
    cloud.wait_for(lambda: "vm-care" not in destination.domains(), "the end of the aborted migration")
    assert source.virsh("domstate", vm["id"]).stdout.strip() == "running"
    assert tour.answers(cloud, ADDRESS)
    destination.run(["ip", "link", "del", device])


def test_a_domain_whose_making_was_cut_short_goes(cloud: Cloud, foreign: None) -> None:
    host, uuid = cloud.lab.hosts["h2"], str(uuid4())
    agent = cloud.agents["h2"]
    agent.kill()
    agent.wait(10)
    define(host, uuid, "half-made")
    journal = host.directory / "agent" / "half-made.json"
    journal.write_text(json.dumps({uuid: True}))
    cloud.start_agent(host)
    cloud.wait_for(lambda: "half-made" not in host.domains(), "the end of a half-made domain", 30)
    assert "foreign" in host.domains()
    cloud.wait_for(lambda: json.loads(journal.read_text()) == {}, "the end of its entry")
