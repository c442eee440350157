"""A lab with Kedge on it: a control plane in its own namespaces, and an agent on every host.

The control plane's Unix socket is on the machine itself, so that the `kedge` command works from any shell:

    KEDGE_URL=unix:///run/kedge-lab/kedge.sock kedge hosts
"""

import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx2

from kedge.model.errors import HostFailure
from kedge.trust.certificates import CertificateAuthority, Role
from kedge.wire.encoding import error_from

from .host import LabHost
from .lab import Lab
from .layout import CONTROL, CONTROL_PORT, PKI, ROOT
from .processes import NamespaceProcess

SOCKET = ROOT / "kedge.sock"
STATE = ROOT / "control"
URL = f"unix://{SOCKET}"
PATIENCE_S = 30.0


class Cloud:
    """A lab and the processes of Kedge on it.

    `control_options` and `control_environment` are what the control plane is started with on top.
    """

    control_options: tuple[str, ...] = ()
    control_environment: Mapping[str, str] | None = None

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.agents: dict[str, NamespaceProcess] = {}
        self.control: NamespaceProcess | None = None
        self._http = httpx2.Client(
            transport=httpx2.HTTPTransport(uds=str(SOCKET)), base_url="http://kedge", timeout=90
        )

    @classmethod
    def up(cls, say: Callable[[str], None] = lambda _text: None) -> Self:
        """Make the lab and start Kedge on it. What was made is removed when a step fails."""
        say("five hosts in namespaces: libvirtd, Open vSwitch, the fabric between them")
        cloud = cls(Lab.up())
        try:
            say("certificates, the control plane, five agents")
            cloud.start()
        except BaseException:
            cloud.down()
            raise
        return cloud

    def start(self) -> None:
        """Make certificates, start the control plane and all agents, and wait until every host is there."""
        authority = CertificateAuthority.create(PKI)
        authority.issue("control", Role.CONTROL, [str(CONTROL.address)], PKI)
        self.start_control()
        for host in self.lab.hosts.values():
            authority.issue(host.name, Role.AGENT, [host.address], PKI)
            self.start_agent(host)
        self.wait_for(self._all_alive, "every agent's report")

    def start_control(self) -> None:
        """Start the control plane in its own namespaces."""
        STATE.mkdir(exist_ok=True)
        self.control = self._kedge(
            self.lab.control,
            "serve",
            f"--state-dir={STATE}",
            f"--socket={SOCKET}",
            f"--agents={CONTROL.address}:{CONTROL_PORT}",
            f"--pki={PKI}",
            *self.control_options,
            log=ROOT / "control.log",
            env=self.control_environment,
        )
        self.wait_for(self._answers, "the control plane")

    def start_agent(self, host: LabHost) -> None:
        """Start a host's agent."""
        config = host.agent_config(
            certificate=PKI / f"{host.name}.pem", key=PKI / f"{host.name}.key", ca=PKI / "ca.pem"
        )
        log = host.directory / "log" / "agent.log"
        self.agents[host.name] = self._kedge(host, "agent", f"--config={config}", log=log)

    def _kedge(
        self, node: Any, *arguments: str, log: Path, env: Mapping[str, str] | None = None
    ) -> NamespaceProcess:
        process: NamespaceProcess = node.python("kedge", *arguments, log=log, env=env)
        return process

    def stop(self) -> None:
        """Stop the agents and the control plane."""
        for process in (*self.agents.values(), self.control):
            if process is not None and process.poll() is None:
                process.terminate()
        for process in (*self.agents.values(), self.control):
            if process is not None:
                process.wait(timeout=20)

    def down(self) -> None:
        """Remove everything."""
        self._http.close()
        Lab.down()
        for process in (*self.agents.values(), self.control):
            if process is not None:
                process.wait(timeout=20)  # the lab's end has killed it; this only takes note of that

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.down()

    # The API, for tests and the demo.

    def get(self, path: str, **params: str | int) -> Any:
        """GET, the answer's JSON. Raises the KedgeError that was answered."""
        return self._answer(self._http.get(path, params=params))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST, the answer's JSON."""
        return self._answer(self._http.post(path, json=body))

    def put(self, path: str, body: Any = None) -> Any:
        """PUT, the answer's JSON."""
        return self._answer(self._http.put(path, json=body))

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """PATCH, the answer's JSON."""
        return self._answer(self._http.patch(path, json=body))

    def delete(self, path: str) -> None:
        """DELETE."""
        self._answer(self._http.delete(path))

    def _answer(self, answer: httpx2.Response) -> Any:
        if answer.is_success:
            return answer.json() if answer.content else None
        body = answer.json()
        if "NeutronError" in body:
            body = {"error": body["NeutronError"]}
        raise error_from(body)

    def create_network(self, name: str, physical_network: str, cidr: str, *, vlan: int | None = None) -> str:
        """Make a network with a subnet; its id."""
        network: dict[str, Any] = {
            "name": name,
            "provider:network_type": "vlan" if vlan else "flat",
            "provider:physical_network": physical_network,
        }
        if vlan:
            network["provider:segmentation_id"] = vlan
        made: str = self.post("/network/v2.0/networks", {"network": network})["network"]["id"]
        subnet = {"network_id": made, "cidr": cidr, "ip_version": 4}
        self.post("/network/v2.0/subnets", {"subnet": subnet})
        return made

    def migrate(self, server: str, host: str, **options: Any) -> dict[str, Any]:
        """Migrate, and wait for the end; the migration. Raises CannotMigrate when it is refused."""
        migration = self.post(f"/kedge/v1/servers/{server}/migrate", {"host": host, "options": options})
        while migration["finished_at"] is None:
            migration = self.get(f"/kedge/v1/migrations/{migration['id']}", wait_ms=10_000)
        found: dict[str, Any] = migration
        return found

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
        """Wait until something is so. Raises HostFailure, with the last lines of the logs, when it does not come."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or (self.control is not None and self.control.poll() is not None):
                raise HostFailure(f"{what} did not come within {seconds:g} s\n{self.last_words()}")
            time.sleep(0.05)

    def last_words(self) -> str:
        """The end of each log of Kedge's processes."""
        logs = [ROOT / "control.log", *(host.directory / "log/agent.log" for host in self.lab.hosts.values())]
        texts = [f"--- {log}\n{log.read_text()[-2000:]}" for log in logs if log.exists()]
        return "\n".join(texts)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as knock:
            return knock.connect_ex(str(SOCKET)) == 0

    def _all_alive(self) -> bool:
        alive = {host["name"] for host in self.get("/kedge/v1/hosts") if host["alive"]}
        return alive >= set(self.lab.hosts)
