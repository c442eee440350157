"""A real VM's port goes over to another switch of its host and back, under continuous pings and a TCP connection."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from kedge.cli.commands import app as command_line
from kedge.lab import LabHost, tour
from kedge.lab.cloud import URL, Cloud
from kedge.lab.connection import Connection
from kedge.lab.probe import Probe
from kedge.lab.processes import NamespaceProcess

pytestmark = pytest.mark.lab

ADDRESS = "198.51.100.77"
NOTICED_MS = 500.0
"""A VM that has lost its network for longer is noticed: emulated, on a busy machine, it may be slow to answer."""

_BRIDGES = """
[[backend]]
driver = "linuxbridge"
[backend.mappings]
physnet1 = "lb-phys1"

[[backend]]
"""


@pytest.fixture
def both(cloud: Cloud) -> Iterator[LabHost]:
    """h3, whose Open vSwitch also carries an interface for Linux bridges; those come first."""
    host = cloud.lab.hosts["h3"]
    host.shell(
        "ip link add lb-phys1 type veth peer name ovs-phys1 && ip link set lb-phys1 up && ip link set ovs-phys1 up"
    )
    host.run(["ovs-vsctl", "--timeout=20", "add-port", "br-physnet1", "ovs-phys1"])
    with two_backends(cloud, host):
        yield host
    host.run(["ovs-vsctl", "--timeout=20", "del-port", "ovs-phys1"])
    host.run(["ip", "link", "del", "lb-phys1"])


@contextmanager
def two_backends(cloud: Cloud, host: LabHost) -> Iterator[None]:
    end(cloud.agents[host.name])
    cloud.start_agent(host)
    end(cloud.agents[host.name])
    config = host.directory / "agent.toml"
    config.write_text(config.read_text().replace("\n[[backend]]\n", _BRIDGES, 1))
    log = host.directory / "log" / "agent.log"
    cloud.agents[host.name] = host.python("kedge", "agent", f"--config={config}", log=log)
    cloud.wait_for(lambda: backends(cloud, host) == ["linuxbridge", "openvswitch"], "both backends")
    try:
        yield
    finally:
        end(cloud.agents[host.name])
        cloud.start_agent(host)
        cloud.wait_for(lambda: backends(cloud, host) == ["openvswitch"], "the one backend")


def end(process: NamespaceProcess) -> None:
    process.terminate()
    process.wait(timeout=60)


def backends(cloud: Cloud, host: LabHost) -> list[str]:
    found = {each["name"]: each for each in cloud.get("/kedge/v1/hosts")}
    return [backend["driver"] for backend in found[host.name]["backends"]]


def test_a_vm_is_rewired_and_back_and_goes_on(cloud: Cloud, both: LabHost) -> None:
    before = both.devices(), both.ovs_ports()
    port = tour.make_port(cloud, tour.make_networks(cloud)["blue"], ADDRESS)
    server = tour.make_server(cloud, "vm-rewired", both.name, [(port, ADDRESS)])
    bridged = both.devices(), both.ovs_ports()
    for backend, vif_type in (("openvswitch", "ovs"), ("linuxbridge", "bridge")):
        connection = Connection(cloud.lab.observer, ADDRESS)
        probe = Probe(cloud.lab.observer, [ADDRESS], 2.0)
        try:
            said = CliRunner().invoke(
                command_line,
                ["--url", URL, "server", "rewire", server["id"], "--to-backend", backend, "--json"],
            )
        finally:
            seen, talked = probe.stop()[ADDRESS], connection.stop()
        assert said.exit_code == 0, said.output
        rewiring = json.loads(said.stdout)
        print(backend, "blackout", rewiring["ports"][0]["blackout_ms"], "outside", seen.blackout_ms)
        assert rewiring["state"] == "completed"
        assert rewiring["ports"][0]["blackout_ms"] > 0
        assert talked.alive and talked.same_boot and talked.continuous
        assert seen.answered > 0
        assert seen.blackout_ms < NOTICED_MS
        (found,) = cloud.get(f"/kedge/v1/servers/{server['id']}")["ports"]
        (binding,) = found["bindings"]
        assert (binding["vif_type"], binding["status"], found["status"]) == (vif_type, "ACTIVE", "ACTIVE")
    assert (both.devices(), both.ovs_ports()) == bridged
    cloud.delete(f"/kedge/v1/servers/{server['id']}")
    cloud.wait_for(lambda: (both.devices(), both.ovs_ports()) == before, "the host as it was")
