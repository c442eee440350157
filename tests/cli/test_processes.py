"""kedge hosts, serve, agent, pki and lab."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography import x509

import kedge.lab
from kedge.model.errors import Conflict

from .cli_world import Kedge, base_environment, invoke, make_cli


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Kedge]:
    with make_cli(tmp_path) as made:
        yield made


def test_hosts(cli: Kedge) -> None:
    lines = {line.split()[0]: line for line in cli("hosts").out.splitlines() if line}
    assert "alive" in lines["h1"] and "macvtap physnet1:eth1" in lines["h1"]
    assert "openvswitch (hybrid plug) physnet1:br-physnet1" in lines["h4"]
    assert "dead" in lines["dead"].split()[1]
    assert [each["name"] for each in cli.json("hosts")] == ["dead", "h1", "h2", "h3", "h4", "h5", "h6"]


def test_a_host_is_said_to_be_off_and_back(cli: Kedge) -> None:
    said = cli("hosts", "down", "dead", "--yes").out
    assert "nothing waits for it" in said and "kedge hosts up dead" in said
    lines = {line.split()[0]: line for line in cli("hosts").out.splitlines() if line}
    assert "forced down" in lines["dead"] and "alive" in lines["h1"]
    assert cli.json("hosts", "up", "dead")["forced_down"] is False
    assert "is as alive as its agent: dead" in cli("hosts", "up", "dead").out
    assert "answers, so h1 is not off" in cli("hosts", "down", "h1", "--yes", exits=3).err
    cli("hosts", "down", "nowhere", "--yes", exits=4)
    cli("hosts", "down", "dead", exits=1)  # Nobody answers the question.
    assert not any(each["forced_down"] for each in cli.json("hosts"))


def test_a_control_plane_that_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    unix = tmp_path / "k.sock"
    arguments = [
        "--state-dir",
        str(tmp_path / "state"),
        "--socket",
        str(unix),
        "--listen",
        f"127.0.0.1:{port}",
    ]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "kedge", "serve", *arguments],
            env=base_environment(),
            stdout=log,
            stderr=log,
        )
        try:
            _wait_for(unix, process)
            assert "No agent has reported" in invoke("--url", f"unix://{unix}", "hosts").out
            invoke("--url", f"unix://{unix}", "networks", "create", "blue", "--physical-network", "physnet1")
            over_tcp = invoke("--url", f"http://127.0.0.1:{port}", "networks", "list", "--json").json
            assert [each["name"] for each in over_tcp] == ["blue"]
            assert "127.0.0.1" in invoke("serve", *arguments, exits=1).err.replace(str(unix), "127.0.0.1")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert not unix.exists()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_control_plane_that_cannot_start(tmp_path: Path) -> None:
    base = ("serve", "--state-dir", str(tmp_path), "--socket", "")
    assert "loopback" in invoke(*base, "--listen", "192.0.2.1:9696", exits=2).err
    assert "ADDRESS:PORT" in invoke(*base, "--listen", "9696", exits=2).err
    assert (
        "nowhere"
        in invoke("serve", "--state-dir", str(tmp_path), "--socket", "", "--listen", "", exits=2).err
    )
    (tmp_path / "file").write_text("")
    invoke("serve", "--state-dir", str(tmp_path / "file"), exits=2)
    invoke("serve", "--state-dir", str(tmp_path / "file" / "below"), exits=1)


@pytest.mark.skipif(find_spec("libvirt") is None, reason="needs what only a hypervisor host has")
def test_an_agent_without_its_configuration(tmp_path: Path) -> None:
    assert "none.toml" in invoke("agent", "--config", str(tmp_path / "none.toml"), exits=2).err
    wrong = tmp_path / "agent.toml"
    wrong.write_text("host = ")
    assert "agent.toml" in invoke("agent", "--config", str(wrong), exits=2).err
    invoke("agent", exits=2)


def test_an_agent_where_libvirt_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("kedge.agent.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "libvirt", None)
    error = invoke("agent", "--config", str(tmp_path / "agent.toml"), exits=1).err
    assert "libvirt" in error and "kedge[agent]" in error


def test_certificates(tmp_path: Path) -> None:
    authority, out = tmp_path / "pki", tmp_path / "out"
    assert invoke("pki", "issue", str(authority), "h1", "--role", "agent", exits=4).err
    assert str(authority / "ca.key") in invoke("pki", "init", str(authority)).out
    assert "exists" in invoke("pki", "init", str(authority), exits=3).err
    made = invoke(
        *("pki", "issue", str(authority), "h1", "--role", "agent", "--address", "192.0.2.11"),
        *("--address", "h1.example", "--out", str(out), "--json"),
    ).json
    assert made["certificate"] == str(out / "h1.pem")
    certificate = x509.load_pem_x509_certificate((out / "h1.pem").read_bytes())
    assert "OU=agent" in certificate.subject.rfc4514_string()
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.11"]
    assert "control.pem" in invoke("pki", "issue", str(authority), "control", "--role", "control").out
    assert invoke("pki", "init", str(tmp_path / "other"), "--json").json["ca"].endswith("ca.pem")


def test_certificates_that_cannot_be(tmp_path: Path) -> None:
    invoke("pki", "init", str(tmp_path))
    issue = ("pki", "issue", str(tmp_path))
    assert "king" in invoke(*issue, "h1", "--role", "king", exits=2).err
    assert "../h1" in invoke(*issue, "../h1", "--role", "agent", exits=2).err
    invoke(*issue, "h1", exits=2)
    assert "ä" in invoke(*issue, "h1", "--role", "agent", "--address", "ä", exits=2).err
    (tmp_path / "file").write_text("")
    invoke("pki", "init", str(tmp_path / "file"), exits=2)


@dataclass(frozen=True)
class _Status:
    healthy: bool
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    found: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Host:
    address: str = "192.0.2.11"
    backend: str = "macvtap"
    libvirt_uri: str = "qemu+tcp://192.0.2.11/system"


class _Lab:
    """A lab that is only said to be there: the machine's one lab is other tests' business."""

    state: ClassVar[_Status] = _Status(False)
    stays: ClassVar[tuple[str, ...]] = ()
    hosts: ClassVar[Mapping[str, _Host]] = {"h1": _Host()}

    @classmethod
    def up(cls) -> "_Lab":
        if cls.state.healthy:
            raise Conflict("process 1 has the lab up and still runs")
        cls.state = _Status(True, {"h1": ("vm1",), "h2": ()}, ("namespace kedge-h1",))
        return cls()

    @classmethod
    def status(cls) -> _Status:
        return cls.state

    @classmethod
    def down(cls) -> None:
        cls.state = _Status(False, found=cls.stays)


def test_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kedge.lab, "Lab", _Lab)
    monkeypatch.setattr(_Lab, "state", _Status(False))
    assert "No lab is up" in invoke("lab", "status", exits=4).out
    assert invoke("lab", "status", "--json", exits=4).json == {"healthy": False, "hosts": {}, "found": []}
    assert "qemu+tcp://192.0.2.11/system" in invoke("lab", "up", "--bare").out
    assert "process 1" in invoke("lab", "up", "--bare", exits=3).err
    assert "vm1" in invoke("lab", "status").out
    assert invoke("lab", "status", "--json").json["hosts"] == {"h1": ["vm1"], "h2": []}
    assert "no lab any more" in invoke("lab", "down").out
    assert invoke("lab", "down", "--json").json == {"left": []}
    assert invoke("lab", "up", "--bare", "--json").json["h1"]["backend"] == "macvtap"
    monkeypatch.setattr(_Lab, "stays", ("namespace kedge-h1",))
    assert "namespace kedge-h1" in invoke("lab", "down", exits=1).err
    said = invoke("lab", "status", exits=1)
    assert "half there" in said.err and "namespace kedge-h1" in said.out
    assert json.loads(invoke("lab", "down", "--json", exits=1).out) == {"left": ["namespace kedge-h1"]}


def _wait_for(path: Path, process: "subprocess.Popen[bytes]") -> None:
    ends = time.monotonic() + 30
    while not path.exists():
        assert process.poll() is None and time.monotonic() < ends
        time.sleep(0.05)
