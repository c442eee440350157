"""A hypervisor host of the lab, as tests, the demo and the command line use it."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kedge.model.errors import HostFailure

from .hypervisor import datapath_type
from .layout import AGENT_PORT, CONTROL, CONTROL_PORT, PKI, Backend, HostSpec
from .node import Node
from .processes import ProcessId


class LabHost(Node):
    """One of h1 to h5: a node with its own libvirtd and network backend."""

    def __init__(self, spec: HostSpec, init: ProcessId) -> None:
        super().__init__(spec, init)
        self.host_spec = spec
        self.address = str(spec.address)
        self.backend: Backend = spec.backend
        self.backends: list[dict[str, Any]] = []
        """What its agent is configured with, the preferred one first; without any, what its specification says."""
        self.libvirt_uri = f"qemu+tcp://{spec.address}/system"
        self.migrate_uri = f"tcp://{spec.address}"
        self.agent_url = f"https://{spec.address}:{AGENT_PORT}"

    def virsh(
        self, *arguments: str, check: bool = True, timeout: float = 60, text_input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs virsh on the host against its own libvirtd."""
        argv = ["virsh", "-c", "qemu:///system", *arguments]
        return self.run(argv, check=check, timeout=timeout, text_input=text_input)

    def devices(self) -> list[str]:
        """The host's network devices that are not the lab's own, sorted: what VMs and agents made."""
        links: list[dict[str, Any]] = json.loads(self.run(["ip", "-json", "link", "show"]).stdout)
        return sorted({link["ifname"] for link in links} - self._own_devices())

    def _own_devices(self) -> set[str]:
        file = self.directory / "devices.json"
        return set(json.loads(file.read_text())) if file.exists() else set()

    def remember_own_devices(self) -> None:
        """Takes the devices that are there now for the lab's own."""
        (self.directory / "devices.json").write_text(json.dumps(self.devices()))

    def ovs_ports(self) -> list[str]:
        """The Open vSwitch ports that are neither the lab's own nor patches between bridges, sorted."""
        if not self.backend.is_ovs:
            return []
        argv = ["ovs-vsctl", "--timeout=20", "--format=json", "--columns=name,type", "list", "Interface"]
        rows = json.loads(self.run(argv).stdout)["data"]
        return sorted({name for name, kind in rows if kind != "patch"} - self._own_devices())

    def domains(self) -> list[str]:
        """The names of all domains that the host's libvirtd knows, running or not, sorted."""
        return sorted(self.virsh("list", "--all", "--name").stdout.split())

    def agent_config(
        self,
        *,
        certificate: Path | None = None,
        key: Path | None = None,
        ca: Path | None = None,
        control: Sequence[str] = (f"https://{CONTROL.address}:{CONTROL_PORT}",),
    ) -> Path:
        """Writes the configuration of the host's agent with the host's `backends`, and gives the file's path.

        The path is the same inside and outside of the host. Certificates are by default those that lie
        as `NAME.crt`, `NAME.key` and `ca.crt` in the lab's `pki` directory, which every host sees.
        """
        spec = self.host_spec
        settings = {
            "host": self.name,
            "listen": f"{self.address}:{AGENT_PORT}",
            "control": list(control),
            "certificate": str(certificate or PKI / f"{self.name}.crt"),
            "key": str(key or PKI / f"{self.name}.key"),
            "ca": str(ca or PKI / "ca.crt"),
            "state_dir": str(self.directory / "agent"),
            "libvirt_local_uri": "qemu:///system",
            "libvirt_uri": self.libvirt_uri,
            "migrate_uri": self.migrate_uri,
        }
        lines = [_toml(key, value) for key, value in settings.items()]
        for backend in self.backends or [backend_of(self, spec)]:
            own = {key: value for key, value in backend.items() if key != "mappings"}
            lines += ["", "[[backend]]", *(_toml(key, value) for key, value in own.items())]
            mappings = backend["mappings"].items()
            lines += ["", "[backend.mappings]", *(_toml(key, value) for key, value in mappings)]
        file = self.directory / "agent.toml"
        file.write_text("\n".join(lines) + "\n")
        return file

    def log_text(self, name: str) -> str:
        """The text of one of the host's logs, such as `libvirtd`; empty if there is none."""
        file = self.directory / "log" / f"{name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def require_alive(self) -> None:
        """Raises HostFailure if the host is gone."""
        if not self.alive:
            raise HostFailure(f"the lab's host {self.name} is gone; make the lab anew")


def backend_of(node: Node, spec: HostSpec) -> dict[str, Any]:
    """The agent's configuration of what a specification says that the node has."""
    backend: dict[str, Any] = {"driver": spec.backend.driver, "mappings": spec.mappings}
    if spec.backend.is_ovs:
        backend["integration_bridge"] = "br-int"
        backend["datapath_type"] = datapath_type(node)
        backend["hybrid_plug"] = spec.backend is Backend.OVS_HYBRID
    return backend


def _toml(key: str, value: object) -> str:
    # Basic strings, their lists, booleans and numbers are written the same in JSON and in TOML.
    return f"{key} = {json.dumps(value)}"
