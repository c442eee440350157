"""A real Neutron on this machine: MariaDB, neutron-server under uWSGI, and agents as rows of its database.

    with Neutron.up() as neutron:
        httpx2.get(f"{neutron.url}/v2.0/ports")

`scripts/neutron.sh` installs it into a virtual environment of its own. There is no message bus, so Neutron's agents
are rows of its database alone, whose heartbeats never grow old; on the lab's hosts Kedge's own agents plug and wire.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Any, Self

import httpx2

from kedge.model.errors import HostFailure
from kedge.model.host import HostBackend

from .layout import HOSTS, Backend
from .node import Node

VENV = Path(__file__).parents[3] / ".venv-neutron"
CLOUD = "neutron-in-the-lab"
PORT = 9696
PATIENCE_S = 60.0
_PREFIX = "kedge-neutron-"

# mechanism driver: (agent_type, binary, topic), as Neutron's agents name themselves
_AGENTS = {
    "openvswitch": ("Open vSwitch agent", "neutron-openvswitch-agent", "N/A"),
    "macvtap": ("Macvtap agent", "neutron-macvtap-agent", "N/A"),
}

# Neutron lets only the role `service` make, activate and delete bindings (neutron.conf.policies.port_bindings).
# Without Keystone, a caller's roles are those of a header; one who names none is taken for Nova, as Kedge is.
_WSGI = """
from neutron.wsgi.api import application as neutron

def application(environ, start_response):
    environ.setdefault("HTTP_X_ROLES", "admin,service")
    return neutron(environ, start_response)
"""

_CONFIGURATION = """
[DEFAULT]
auth_strategy = noauth
core_plugin = ml2
service_plugins =
transport_url = fake://
state_path = {directory}/state
api_paste_config = {venv}/etc/neutron/api-paste.ini
log_file = {directory}/neutron.log
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
# A heartbeat in this Neutron is a row that nobody renews.
agent_down_time = 2000000
dhcp_agent_notification = false

[database]
connection = {database}

[oslo_concurrency]
lock_path = {directory}/state/lock

[ml2]
mechanism_drivers = openvswitch,macvtap
type_drivers = flat,vlan
project_network_types = vlan
extension_drivers =

[ml2_type_flat]
flat_networks = *

[ml2_type_vlan]
network_vlan_ranges = physnet1,physnet2
"""

_SQL = """
import sys
import pymysql
pymysql.connect(unix_socket=sys.argv[1], user="root", database="neutron", autocommit=True).cursor().execute(sys.argv[2])
"""

_ADD_AGENTS = """
import datetime, json, sys, uuid
import pymysql
asked = json.load(sys.stdin)
db = pymysql.connect(unix_socket=asked["socket"], user="root", database="neutron", autocommit=True)
now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
with db.cursor() as cursor:
    for agent in asked["agents"]:
        seen = now - datetime.timedelta(days=365 * 20 if agent["dead"] else 0)
        cursor.execute(
            "INSERT INTO agents (id, agent_type, `binary`, topic, host, admin_state_up, created_at, started_at,"
            " heartbeat_timestamp, configurations, `load`) VALUES (%s, %s, %s, %s, %s, 1, %s, %s, %s, %s, 0)"
            " ON DUPLICATE KEY UPDATE configurations = VALUES(configurations)",
            (str(uuid.uuid4()), agent["type"], agent["binary"], agent["topic"], agent["host"], now, now, seen,
             json.dumps(agent["configurations"])),
        )
"""


@dataclass(frozen=True)
class NeutronAgent:
    """One of Neutron's own agents, as a row of its database. Neutron refuses to bind on a host where it is dead."""

    host: str
    backend: HostBackend
    dead: bool = False

    def row(self) -> Mapping[str, Any]:
        """What is put into the database."""
        kind, binary, topic = _AGENTS[self.backend.driver]
        if self.backend.driver == "openvswitch":
            configurations: dict[str, Any] = {
                "bridge_mappings": dict(self.backend.mappings),
                "integration_bridge": self.backend.integration_bridge,
                "datapath_type": self.backend.datapath_type,
                "ovs_hybrid_plug": self.backend.hybrid_plug,
            }
        else:
            configurations = {"interface_mappings": dict(self.backend.mappings)}
        return {
            "type": kind,
            "binary": binary,
            "topic": topic,
            "host": self.host,
            "configurations": configurations,
            "dead": self.dead,
        }


def lab_agents(datapath: str = "netdev") -> list[NeutronAgent]:
    """Neutron's agents for the lab's hosts; Neutron 29 has none for Linux bridge, so h5 is left out."""
    return [
        NeutronAgent(
            spec.name,
            HostBackend(
                spec.backend.driver,
                spec.mappings,
                datapath_type=datapath if spec.backend.is_ovs else "system",
                hybrid_plug=spec.backend is Backend.OVS_HYBRID,
            ),
        )
        for spec in HOSTS
        if spec.backend is not Backend.LINUXBRIDGE
    ]


class Neutron:
    """A Neutron that runs. Made by `Neutron.up()`; all of it ends with this process, even if that is killed."""

    def __init__(self, directory: Path, port: int = PORT) -> None:
        self.directory = directory
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._processes: list[subprocess.Popen[Any]] = []

    @classmethod
    def up(cls, port: int = PORT, agents: Sequence[NeutronAgent] = ()) -> Self:
        """Make a database and start Neutron on this machine's loopback, with these agents.

        Raises HostFailure when it is not installed or does not start.
        """
        if not (VENV / ".ready").exists() or not shutil.which("mariadbd"):
            raise HostFailure("Neutron is not installed here; run scripts/neutron.sh")
        _remove_leftovers()
        neutron = cls(Path(mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")), port)
        try:
            neutron._make_database()
            neutron.add_agents(agents)
            neutron.serve()
        except BaseException:
            neutron.down()
            raise
        return neutron

    def serve(self, node: Node | None = None) -> None:
        """Serve the API, on the loopback of this machine or of a node of the lab; both have one database."""
        argv = [
            str(VENV / "bin/uwsgi"),
            f"--http-socket=127.0.0.1:{self._port}",
            f"--wsgi-file={self.directory / 'wsgi.py'}",
            f"--env=OS_NEUTRON_CONFIG_DIR={self.directory}",
            "--env=OS_NEUTRON_CONFIG_FILES=neutron.conf",
            f"--env=TMPDIR={self.directory}",
            f"--virtualenv={VENV}",
            "--master",
            "--processes=2",
            "--lazy-apps",
            "--enable-threads",
            "--die-on-term",
            "--worker-reload-mercy=2",
            "--need-app",
            "--buffer-size=65535",
            # Without it, uWSGI closes the connection behind the back of a client that wants to use it again.
            "--add-header=Connection: close",
        ]
        name = node.name if node else "here"
        log = self.directory / f"uwsgi-{name}.log"
        if node is not None:
            process: subprocess.Popen[Any] = node.popen(argv, log=log)
        else:
            process = self._start(argv, log)
        self._processes.append(process)
        self._wait(process, lambda: self._answers(node), "neutron-server", log)

    def sql(self, statement: str) -> None:
        """Change something in Neutron's database that its API can't."""
        _run([VENV / "bin/python", "-c", _SQL, self._socket, statement])

    def add_agents(self, agents: Sequence[NeutronAgent]) -> None:
        """Put agents into the database; one that is there already gets its new configuration."""
        asked = {"socket": str(self._socket), "agents": [agent.row() for agent in agents]}
        _run([VENV / "bin/python", "-c", _ADD_AGENTS], text_input=json.dumps(asked))

    def down(self) -> None:
        """Stop and remove all of it."""
        for process in reversed(self._processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in reversed(self._processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.down()

    def clouds_yaml(self) -> Path:
        """The path of a clouds.yaml in which this Neutron is the cloud CLOUD."""
        path = self.directory / "clouds.yaml"
        path.write_text(
            f"clouds:\n  {CLOUD}:\n    auth_type: none\n    auth:\n      endpoint: {self.url}\n"
            f"    network_endpoint_override: {self.url}\n"
        )
        return path

    @property
    def _socket(self) -> Path:
        return self.directory / "mariadb.sock"

    def _make_database(self) -> None:
        data = self.directory / "data"
        user = "--user=root"
        _run(["mariadb-install-db", "--no-defaults", user, f"--datadir={data}",
              "--auth-root-authentication-method=normal", "--skip-test-db"])  # fmt: skip
        log = self.directory / "mariadb.log"
        # Nothing of it is needed after a crash, so it need not wait for the disk.
        process = self._start(
            ["mariadbd", "--no-defaults", user, f"--datadir={data}", f"--socket={self._socket}",
             "--skip-networking", f"--pid-file={self.directory}/mariadb.pid", "--innodb-flush-log-at-trx-commit=0",
             "--innodb-flush-method=nosync", "--skip-log-bin", "--innodb-doublewrite=0"],
            log,
        )  # fmt: skip
        self._processes.append(process)
        self._wait(process, self._database_answers, "MariaDB", log)
        (self.directory / "state").mkdir()
        database = f"mysql+pymysql://root@localhost/neutron?unix_socket={self._socket}&charset=utf8mb4"
        (self.directory / "neutron.conf").write_text(
            _CONFIGURATION.format(directory=self.directory, venv=VENV, database=database)
        )
        (self.directory / "wsgi.py").write_text(_WSGI)
        _run([VENV / "bin/python", "-c",
              "import pymysql, sys; pymysql.connect(unix_socket=sys.argv[1], user='root').cursor()"
              ".execute('CREATE DATABASE neutron CHARACTER SET utf8mb3')", self._socket])  # fmt: skip
        _run([VENV / "bin/neutron-db-manage", "--config-file", self.directory / "neutron.conf",
              "upgrade", "heads"], timeout=300)  # fmt: skip

    def _start(self, argv: Sequence[str], log: Path) -> "subprocess.Popen[Any]":
        with log.open("ab") as output:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig=TERM", *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,  # A Ctrl-C is ours; we end it when its users are done.
            )

    def _database_answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as knock:
            return knock.connect_ex(str(self._socket)) == 0

    def _answers(self, node: Node | None) -> bool:
        if node is not None:
            probe = f"import urllib.request as u; u.urlopen('{self.url}/v2.0/extensions', timeout=20)"
            return node.run([str(VENV / "bin/python"), "-c", probe], check=False).returncode == 0
        try:
            return httpx2.get(f"{self.url}/v2.0/extensions", timeout=20).is_success
        except httpx2.HTTPError:
            return False

    def _wait(
        self, process: "subprocess.Popen[Any]", condition: Callable[[], bool], what: str, log: Path
    ) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline or process.poll() is not None:
                logs = [log, self.directory / "neutron.log"]
                words = "\n".join(each.read_text()[-3000:] for each in logs if each.exists())
                raise HostFailure(f"{what} did not start within {PATIENCE_S:g} s\n{words}")
            time.sleep(0.1)


def _remove_leftovers() -> None:
    """Remove what processes that were killed have left; what they had started ended with them."""
    for directory in Path(gettempdir()).glob(f"{_PREFIX}*"):
        owner = directory.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(directory, ignore_errors=True)


def _run(argv: Sequence[object], *, text_input: str | None = None, timeout: float = 120) -> None:
    done = subprocess.run(
        [str(each) for each in argv],
        input=text_input,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        cwd="/",
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    if done.returncode:
        raise HostFailure(f"{Path(str(argv[0])).name} failed: {(done.stderr or done.stdout).strip()[-3000:]}")
