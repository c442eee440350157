"""The lab that the tests share: what it makes, and that it measures what it says."""

import subprocess
import sys
import time
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from kedge.lab import Lab, image
from kedge.lab.connection import Connection
from kedge.lab.layout import HOSTS
from kedge.lab.probe import Probe
from kedge.lab.sniff import Sniffer
from kedge.model.errors import HostFailure

pytestmark = pytest.mark.lab

MAC = "52:54:00:4b:00:01"
ADDRESS = "198.51.100.77"


@pytest.fixture(scope="module")
def guest(lab: Lab) -> Iterator[str]:
    """A guest with one NIC on h1, booted and answering; gives its name."""
    host = lab.hosts["h1"]
    interface = (
        f"<interface type='direct'><mac address='{MAC}'/><source dev='eth1' mode='bridge'/>"
        "<model type='virtio'/></interface>"
    )
    file = host.directory / "guest.xml"
    file.write_text(image.domain_xml("guest", str(uuid.uuid4()), [(MAC, f"{ADDRESS}/24")], [interface]))
    host.virsh("create", str(file))
    deadline = time.monotonic() + 60
    while lab.observer.run(["ping", "-c1", "-W1", ADDRESS], check=False).returncode != 0:
        assert time.monotonic() < deadline, "the guest does not answer"
    yield "guest"
    host.virsh("destroy", "guest")


def test_every_host_has_a_libvirtd_of_its_own_that_the_others_reach(lab: Lab) -> None:
    uuids = set()
    for host in lab.hosts.values():
        capabilities = lab.control.run(["virsh", "-c", host.libvirt_uri, "capabilities"]).stdout
        uuids.add(capabilities.partition("<uuid>")[2].partition("</uuid>")[0])
        assert lab.control.run(["virsh", "-c", host.libvirt_uri, "hostname"]).stdout.strip() == host.name
        assert host.domains() == []
        assert host.devices() == []
        assert host.ovs_ports() == []
    assert len(uuids) == len(HOSTS)


def test_libvirtd_listens_on_the_management_address_only(lab: Lab) -> None:
    for host in lab.hosts.values():
        listening = host.run(["ss", "-Hltn", "sport", "=", "16509"]).stdout.split()
        assert [word for word in listening if word.endswith(":16509")] == [f"{host.address}:16509"]


def test_every_host_is_on_both_physical_networks(lab: Lab) -> None:
    for number, host in enumerate(lab.hosts.values(), start=1):
        for physical_network, interface in host.spec.interfaces.items():
            # On h3 and h4 the interface is Open vSwitch's, and the bridge's own device has the address.
            device = host.host_spec.mappings[physical_network] if host.backend.is_ovs else interface
            network = "198.51.100" if physical_network == "physnet1" else "203.0.113"
            host.run(["ip", "addr", "add", f"{network}.{number}/24", "dev", device])
            host.run(["ping", "-c1", "-W5", f"{network}.254"])
            host.run(["ip", "addr", "del", f"{network}.{number}/24", "dev", device])


def test_the_fabric_passes_vlan_tags(lab: Lab) -> None:
    sniffer = Sniffer(lab.observer, "eth1", source="02:00:00:00:00:99")
    frame = "ffffffffffff0200000000998100006488b5" + "00" * 46
    send = (
        "import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('eth1', 0)); "
        f"s.send(bytes.fromhex('{frame}'))"
    )
    lab.hosts["h1"].run([sys.executable, "-c", send])
    time.sleep(0.2)
    [seen] = sniffer.stop()
    assert (seen.vlan, seen.kind, seen.destination) == (100, "0x88b5", "ff:ff:ff:ff:ff:ff")
    assert abs(seen.at_ns - time.time_ns()) < 5e9


def test_hosts_that_make_macvtap_have_their_own_range_of_device_numbers(lab: Lab) -> None:
    numbers = [
        int(host.run(["cat", f"/sys/class/net/{host.spec.interfaces['physnet1']}/ifindex"]).stdout)
        for host in (lab.hosts["h1"], lab.hosts["h2"])
    ]
    assert numbers[0] > 600
    assert numbers[1] - numbers[0] > 1000


def test_hosts_do_not_see_each_other(lab: Lab) -> None:
    mark = "/run/mark-of-h1"
    lab.hosts["h1"].run(["touch", mark])
    assert lab.hosts["h2"].run(["test", "-e", mark], check=False).returncode == 1
    assert not Path(mark).exists()
    assert "h2" not in lab.hosts["h1"].run(["ps", "-eo", "args"]).stdout


def test_what_others_make_on_a_host_is_counted(lab: Lab) -> None:
    host = lab.hosts["h3"]
    host.run(["ip", "tuntap", "add", "tapmade", "mode", "tap"])
    host.run(["ovs-vsctl", "add-port", "br-int", "tapmade"])
    assert host.devices() == ["tapmade"]
    assert host.ovs_ports() == ["tapmade"]
    host.run(["ovs-vsctl", "del-port", "br-int", "tapmade"])
    host.run(["ip", "link", "del", "tapmade"])
    assert host.devices() == []


def test_a_failing_command_says_so(lab: Lab) -> None:
    with pytest.raises(HostFailure, match="No such file"):
        lab.hosts["h1"].run(["cat", "/nonexistent"])
    with pytest.raises(HostFailure, match="did not end within"):
        lab.hosts["h1"].run(["sleep", "60"], timeout=0.3)
    assert "sleep 60" not in lab.hosts["h1"].run(["ps", "-eo", "args"]).stdout


def test_ending_a_started_command_ends_it_on_the_host(lab: Lab) -> None:
    process = lab.hosts["h1"].popen(["sleep", "61"])
    deadline = time.monotonic() + 5
    while "sleep 61" not in lab.hosts["h1"].run(["ps", "-eo", "args"]).stdout:
        assert time.monotonic() < deadline
    process.terminate()
    assert process.wait(5) != 0
    assert "sleep 61" not in lab.hosts["h1"].run(["ps", "-eo", "args"]).stdout


def test_agent_config_is_what_the_host_is(lab: Lab) -> None:
    config = tomllib.loads(lab.hosts["h4"].agent_config().read_text())
    assert config["listen"] == "192.0.2.14:9797"
    assert config["migrate_uri"] == "tcp://192.0.2.14"
    [backend] = config["backend"]
    assert backend["driver"] == "openvswitch"
    assert backend["hybrid_plug"] is True
    assert backend["mappings"] == {"physnet1": "br-physnet1", "physnet2": "br-physnet2"}
    assert lab.hosts["h4"].run(["cat", str(lab.hosts["h4"].directory / "agent.toml")]).stdout


def test_probe_measures_how_long_a_guest_is_dark(lab: Lab, guest: str) -> None:
    host = lab.hosts["h1"]
    probe = Probe(lab.observer, [ADDRESS], interval_ms=5)
    time.sleep(0.5)
    began_ns = time.time_ns()
    host.virsh("suspend", guest)
    time.sleep(0.5)
    host.virsh("resume", guest)
    ended_ns = time.time_ns()
    time.sleep(0.5)
    seen = probe.stop()[ADDRESS]
    assert 450 < seen.blackout_ms <= (ended_ns - began_ns) / 1e6 + 100
    assert seen.blackout_began_ns is not None
    assert began_ns - 100e6 < seen.blackout_began_ns < ended_ns
    assert seen.answered > 50
    assert seen.gaps


def test_probe_sees_a_guest_that_never_answers_again(lab: Lab) -> None:
    probe = Probe(lab.observer, ["198.51.100.78"], interval_ms=5)
    time.sleep(0.3)
    seen = probe.stop()["198.51.100.78"]
    assert seen.sent > 30
    assert seen.answered == 0


def test_connection_lives_through_a_pause(lab: Lab, guest: str) -> None:
    connection = Connection(lab.observer, ADDRESS)
    time.sleep(0.3)
    lab.hosts["h1"].virsh("suspend", guest)
    time.sleep(0.3)
    lab.hosts["h1"].virsh("resume", guest)
    time.sleep(0.5)
    seen = connection.stop()
    assert seen.error is None
    assert seen.alive
    assert seen.same_boot
    assert seen.continuous
    assert seen.longest_stall_ms > 250
    assert seen.lines > 10
    assert seen.last_count is not None
    assert seen.first_count is not None
    assert seen.last_count > seen.first_count


def test_connection_notices_a_reset_guest(lab: Lab, guest: str) -> None:
    connection = Connection(lab.observer, ADDRESS)
    time.sleep(0.2)
    lab.hosts["h1"].virsh("reset", guest)
    deadline = time.monotonic() + 60
    while lab.observer.run(["ping", "-c1", "-W1", ADDRESS], check=False).returncode != 0:
        assert time.monotonic() < deadline
    time.sleep(1)
    seen = connection.stop()
    assert not seen.alive
    assert seen.error is not None


def test_status_and_attach_know_the_lab_that_is_up(lab: Lab) -> None:
    status = Lab.status()
    assert status.healthy
    assert set(status.hosts) == {"h1", "h2", "h3", "h4", "h5"}
    attached = Lab.attach()
    assert attached.hosts["h5"].run(["hostname"]).stdout == "h5\n"


def test_up_is_refused_while_the_process_that_made_the_lab_runs(lab: Lab) -> None:
    other = subprocess.run(
        [sys.executable, "-c", "from kedge.lab import Lab; Lab.up()"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert other.returncode == 1
    assert "Conflict" in other.stderr
    assert Lab.status().healthy
