"""A control plane with hosts that have no hypervisors, and the command line pointed at it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from structlog.testing import capture_logs
from typer.testing import CliRunner

import kedge
from kedge.cli.commands import app as command_line
from kedge.compute.hosts.agents import Agents
from kedge.compute.hosts.commands import Commands
from kedge.compute.migrations.actor import Tools
from kedge.compute.migrations.conductor import Conductor
from kedge.compute.migrations.planner import Planner
from kedge.compute.operations.conductor import OperationConductor
from kedge.compute.operations.records import OperationRecords
from kedge.compute.records.claims import claims_in
from kedge.compute.records.host_settings import HostSettingsRecords
from kedge.compute.records.migrations import MigrationRecords
from kedge.compute.records.rooms import Rooms
from kedge.compute.records.servers import ServerRecords
from kedge.compute.rewirings.conductor import RewiringConductor
from kedge.compute.rewirings.records import RewiringRecords
from kedge.compute.servers import Servers
from kedge.control_plane import build_app
from kedge.model.host import HostBackend
from kedge.network.local import LocalNetworkService
from kedge.serving.server import Listener, running
from kedge.store import open_database, upgrade

from .cli_fleet import BACKENDS, Fleet, report_of

SOURCES = Path(kedge.__file__).parents[1]
BOOT = ("--kernel", "/boot/vmlinuz", "--type", "qemu", "--memory", "128")


@dataclass(frozen=True)
class Said:
    """What a command said."""

    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Kedge:
    """The command line, and the fleet behind it."""

    url: str
    fleet: Fleet
    hosts: LocalNetworkService

    def __call__(self, *arguments: str, exits: int = 0) -> Said:
        """Run a command. It must end with `exits`, and never with a traceback."""
        return invoke("--url", self.url, *arguments, exits=exits)

    def json(self, *arguments: str, exits: int = 0) -> Any:
        """The JSON that a command prints."""
        return self(*arguments, "--json", exits=exits).json

    def start(
        self, *arguments: str, environment: Mapping[str, str] | None = None, **options: Any
    ) -> "subprocess.Popen[str]":
        """A command as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "kedge", *arguments],
            env={**base_environment(), "KEDGE_URL": self.url, **(environment or {})},
            text=True,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options),
        )

    def report(self, host: str, *backends: HostBackend) -> None:
        """A host's agent comes back with these backends."""
        self.hosts.record_host(replace(report_of(host), backends=backends))

    def network(self, name: str = "blue", *options: str) -> Any:
        """A network on physnet1."""
        return self.json("networks", "create", name, "--physical-network", "physnet1", *options)

    def server(self, name: str = "vm1", host: str = "h1") -> Any:
        """A server with a NIC on the network blue."""
        if not any(each["name"] == "blue" for each in self.json("networks", "list")):
            self.network()
        return self.json("server", "create", name, "--host", host, *BOOT, "--nic", "network=blue")


def base_environment() -> dict[str, str]:
    """The environment of a command that runs as a process of its own."""
    kept = {
        key: value for key, value in os.environ.items() if key not in {"KEDGE_URL", "NO_COLOR", "COLUMNS"}
    }
    return {**kept, "PYTHONPATH": str(SOURCES)}


def invoke(*arguments: str, exits: int = 0) -> Said:
    """Run a command in this process."""
    result = CliRunner().invoke(command_line, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == exits, (result.exit_code, result.stdout, result.stderr)
    assert "Traceback" not in result.output
    assert bool(result.stderr) or exits in {0, 1, 3, 4}, "bad usage and silence must be explained"
    return Said(result.stdout, result.stderr)


@cache
def empty_database() -> bytes:
    """The file of a database with the schema and nothing in it."""
    with TemporaryDirectory() as directory:
        path = Path(directory, "kedge.db")
        engine = open_database(f"sqlite:///{path}")
        upgrade(engine)
        engine.dispose()
        return path.read_bytes()


@contextmanager
def make_cli(directory: Path) -> Iterator[Kedge]:
    """The command line, with a control plane of its own on a Unix socket in `directory`."""
    (directory / "kedge.db").write_bytes(empty_database())
    engine = open_database(f"sqlite:///{directory / 'kedge.db'}")
    fleet = Fleet()
    network = LocalNetworkService(engine, dead_after_s=600)
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    LocalNetworkService(engine, clock=lambda: an_hour_ago).record_host(report_of("dead"))
    for host in BACKENDS.keys() - {"dead"}:
        network.record_host(report_of(host))
    agents = Agents(network, lambda _, url: fleet.agent(url.removeprefix("fake://")))
    records = ServerRecords(engine)
    rooms, settings = Rooms(engine), HostSettingsRecords(engine)
    planner = Planner(network, agents, rooms)
    commands = Commands({"convert": ["/bin/sh", "-c", "echo no bridge for {host}; exit 3"]})
    tools = Tools(records, MigrationRecords(engine), network, agents, planner, settings, rooms, commands)
    claims = claims_in(engine)
    conductor = Conductor(tools, claims, poll_s=0.05)
    operations = OperationConductor(conductor, OperationRecords(engine), claims, poll_s=0.05)
    rewirings = RewiringConductor(tools, RewiringRecords(engine), claims, poll_s=0.05)
    conductor.start()
    operations.start()
    rewirings.start()
    api = build_app(network, conductor, Servers(records, network, agents, settings))
    socket = directory / "k.sock"
    try:
        # The conductor's log would be printed between what commands say.
        with capture_logs(), running(api, [Listener.unix(socket)]):
            yield Kedge(f"unix://{socket}", fleet, network)
    finally:
        rewirings.stop()
        operations.stop()
        conductor.stop()
        engine.dispose()
