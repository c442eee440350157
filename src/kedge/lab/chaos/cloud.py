"""A lab with three control planes over one PostgreSQL, each part of which can be killed and brought back."""

import os
import signal
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg

from kedge.model.errors import HostFailure
from kedge.testing.postgres import Postgres, cluster, started

from .. import hypervisor
from ..cloud import Cloud
from ..host import LabHost
from ..lab import Lab
from ..layout import CONTROL, CONTROL_PORT, PKI, ROOT
from ..processes import NamespaceProcess

CONTROLS = 3
APPLICATION = "kedge conductor"
"""What a conductor's connection is called in PostgreSQL's list of them, with its process id behind."""


class Database:
    """A PostgreSQL that can be killed and started again on the same data, of which it loses no commit."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running = ExitStack()
        self.instance: Postgres | None = None

    @property
    def url(self) -> str:
        """SQLAlchemy's URL."""
        return Postgres(self._directory, 0).url()

    def start(self) -> None:
        """Start it, again if it was killed: until what is left of the former one is gone, it refuses."""
        ends = time.monotonic() + 20
        while True:
            try:
                self.instance = self._running.enter_context(started(self._directory, durable=True))
                return
            except HostFailure:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.2)

    def kill(self) -> None:
        """End its first process; the others notice."""
        assert self.instance is not None
        os.kill(self.instance.pid, signal.SIGKILL)
        self._running.close()

    def stop(self) -> None:
        """Stop it."""
        self._running.close()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query gives, over a connection of its own."""
        with psycopg.connect(host=str(self._directory), user="kedge", dbname="postgres") as connection:
            return connection.execute(query, values).fetchall()


class ChaosCloud(Cloud):
    """`Cloud` with several control planes. `controls` has them by number; those that were killed are None."""

    def __init__(self, lab: Lab, database: Database) -> None:
        super().__init__(lab)
        self._http.close()
        self.database = database
        self.controls: list[NamespaceProcess | None] = [None] * CONTROLS
        self._https = [
            httpx2.Client(
                transport=httpx2.HTTPTransport(uds=str(_socket(number))), base_url="http://kedge", timeout=30
            )
            for number in range(CONTROLS)
        ]

    @classmethod
    @contextmanager
    def made(cls, say: Callable[[str], None]) -> Any:
        """The lab with everything on it, as long as the block runs."""
        say("PostgreSQL, five hosts in namespaces, three control planes, five agents")
        with cluster(durable=True) as directory:
            database = Database(directory)
            database.start()
            try:
                with cls(Lab.up(), database) as cloud:
                    cloud.start()
                    yield cloud
            finally:
                database.stop()

    def start_control(self) -> None:
        """Start those control planes that do not run."""
        for number, process in enumerate(self.controls):
            if process is None or process.poll() is not None:
                self.controls[number] = self._start_one(number)
        for number in range(CONTROLS):
            self.wait_for(lambda number=number: _listens(_socket(number)), f"control plane {number}")  # type: ignore[misc]

    def _start_one(self, number: int) -> NamespaceProcess:
        state = ROOT / f"control-{number}"
        state.mkdir(exist_ok=True)
        return self._kedge(
            self.lab.control,
            "serve",
            f"--state-dir={state}",
            f"--database={self.database.url}",
            f"--socket={_socket(number)}",
            "--listen=",
            f"--agents={CONTROL.address}:{CONTROL_PORT + number}",
            f"--pki={PKI}",
            log=ROOT / f"control-{number}.log",
        )

    def start_agent(self, host: LabHost) -> None:
        """Start a host's agent, which reports to any of the control planes."""
        urls = [f"https://{CONTROL.address}:{CONTROL_PORT + number}" for number in range(CONTROLS)]
        config = host.agent_config(
            certificate=PKI / f"{host.name}.pem",
            key=PKI / f"{host.name}.key",
            ca=PKI / "ca.pem",
            control=urls,
        )
        log = host.directory / "log" / "agent.log"
        self.agents[host.name] = self._kedge(host, "agent", f"--config={config}", log=log)

    def driver(self, migration_id: str) -> int | None:
        """The number of the control plane that drives a migration, as PostgreSQL's locks say."""
        rows = self.database.rows(
            "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory'"
            " AND ((l.classid::bigint << 32) | l.objid::bigint) = %s",
            int.from_bytes(bytes.fromhex(migration_id.replace("-", ""))[:8], signed=True),
        )
        inner = {name.removeprefix(f"{APPLICATION} ") for (name,) in rows}
        for number, process in enumerate(self.controls):
            if process is not None and _inner_pid(process) in inner:
                return number
        return None

    def kill_control(self, number: int) -> None:
        """kill -9 of one control plane."""
        process = self.controls[number]
        assert process is not None
        process.kill()
        process.wait(timeout=20)
        self.controls[number] = None

    def down(self) -> None:
        """Remove everything."""
        for client in self._https:
            client.close()
        Lab.down()
        for process in (*self.agents.values(), *self.controls):
            if process is not None:
                process.wait(timeout=20)

    def last_words(self, letters: int = 3000, hosts: Collection[str] | None = None) -> str:
        """The end of the log of each control plane, and of the agents of all hosts or of these."""
        logs = [ROOT / f"control-{number}.log" for number in range(CONTROLS)]
        logs += [
            host.directory / "log/agent.log"
            for name, host in self.lab.hosts.items()
            if hosts is None or name in hosts
        ]
        return "\n".join(f"--- {log}\n{log.read_text()[-letters:]}" for log in logs if log.exists())

    # The API is whichever control plane answers.

    def get(self, path: str, **params: str | int) -> Any:
        """GET from any control plane."""
        return self._any(lambda client: client.get(path, params=params))

    def post(self, path: str, body: Any) -> Any:
        """POST to any control plane."""
        return self._any(lambda client: client.post(path, json=body))

    def put(self, path: str, body: Any = None) -> Any:
        """PUT to any control plane."""
        return self._any(lambda client: client.put(path, json=body))

    def delete(self, path: str) -> None:
        """DELETE at any control plane."""
        self._any(lambda client: client.delete(path))

    def _any(self, call: Callable[[httpx2.Client], httpx2.Response]) -> Any:
        for number, client in enumerate(self._https):
            # A failed connection of the client's would leak its socket, so it is tried first.
            if self.controls[number] is None or not _listens(_socket(number)):
                continue
            try:
                return self._answer(call(client))
            except httpx2.HTTPError:
                continue
        raise HostFailure("no control plane answers")

    # What hosts lose and get back.

    def kill_on(self, host: str, pattern: str) -> None:
        """kill -9 of the processes on a host whose command line matches, as soon as there is one."""
        script = f"pids=$(pgrep -f '{pattern}') || exit 0\nkill -9 $pids && echo killed\n"
        self.wait_for(lambda: "killed" in self.lab.hosts[host].shell(script), f"{pattern} on {host}", 10)

    def power_off(self, host: str) -> None:
        """End a host with all that runs there; it is no part of the lab any more, and nothing of it answers."""
        node = self.lab.hosts.pop(host)
        os.kill(node.init.pid, signal.SIGKILL)
        self.agents.pop(host).wait(timeout=20)
        self.wait_for(lambda: not node.alive, f"the end of {host}")
        node.forget_network()

    def kill_agent(self, host: str) -> None:
        """kill -9 of a host's agent."""
        self.agents[host].kill()
        self.agents[host].wait(timeout=20)

    def restart_libvirtd(self, host: str) -> None:
        """Start libvirtd again and wait until it answers."""
        node = self.lab.hosts[host]
        hypervisor.start_libvirtd(node)
        hypervisor.wait_for_libvirtd(node, node.host_spec)

    def cut(self, one: str, other: str) -> None:
        """Let two nodes not reach each other over the management network."""
        for node, peer in ((one, other), (other, one)):
            self._route("replace", node, peer)

    def join(self, one: str, other: str) -> None:
        """Undo `cut`."""
        for node, peer in ((one, other), (other, one)):
            self._route("del", node, peer)

    def _route(self, what: str, node: str, peer: str) -> None:
        address = self.lab.nodes[peer].spec.address
        self.lab.nodes[node].run(["ip", "route", what, "blackhole", f"{address}/32"])

    def fabric_port(self, host: str, state: str) -> None:
        """Take both data ports of a host, on the fabric's side, `up` or `down`."""
        for network in ("phys1", "phys2"):
            self.lab.fabric.run(["ip", "link", "set", f"{host}-{network}", state])


def _socket(number: int) -> Path:
    return ROOT / f"kedge-{number}.sock"


def _listens(path: Path) -> bool:
    import socket  # noqa: PLC0415 - beside the function of that name

    with socket.socket(socket.AF_UNIX) as knock:
        return knock.connect_ex(str(path)) == 0


def _inner_pid(process: NamespaceProcess) -> str | None:
    """The process id of a command as it is inside its node."""
    from ..processes import child_of  # noqa: PLC0415

    pid = child_of(process.pid)
    if pid is None:
        return None
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("NSpid:"))
    return line.split()[-1]
