"""A started Kedge with hosts that report, and the clients that people have, unmodified."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kedge.auth.users_file import put
from kedge.config import AuthConfig, ControlPlaneConfig, NetworkConfig
from kedge.network.local import LocalNetworkService
from kedge.store import open_database, upgrade

from ..network.network_world import BACKENDS, report_of
from ..processes import serving

PASSWORDS = {"root": "top:sécret", "nova": "plug", "alice": "mine", "audit": "look"}
_ROLES = {
    "root": ("admin", ""),
    "nova": ("service", ""),
    "alice": ("member", "demo"),
    "audit": ("reader", ""),
}


@dataclass(frozen=True)
class Openstack:
    """The `openstack` command as one user."""

    options: tuple[str, ...]
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str) -> Any:
        """Run a command that must succeed; its JSON."""
        said = self._run(*arguments, "-f", "json")
        assert said.returncode == 0, said.stderr
        return json.loads(said.stdout)

    def said(self, *arguments: str) -> str:
        """Run a command that must succeed; what it says."""
        said = self._run(*arguments)
        assert said.returncode == 0, said.stderr
        return said.stdout

    def silently(self, *arguments: str) -> None:
        """Run a command that must succeed and say nothing."""
        said = self._run(*arguments)
        assert (said.returncode, said.stdout, said.stderr) == (0, "", "")

    def fails(self, *arguments: str) -> str:
        """Run a command that must fail; what a person then reads."""
        said = self._run(*arguments)
        assert said.returncode == 1, said
        assert "Traceback" not in said.stderr
        return said.stderr

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        return subprocess.run(
            [str(Path(sys.executable).with_name("openstack")), *self.options, *arguments],
            env={**kept, **self.environment, "HOME": str(self.home)},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )


@dataclass(frozen=True)
class Started:
    """A control plane that runs."""

    url: str
    home: Path

    @property
    def endpoint(self) -> str:
        return f"{self.url}/network"

    def openstack(self, user: str | None = None, password: str | None = None) -> Openstack:
        """The command, as nobody or as a user."""
        if user is None:
            return Openstack(("--os-auth-type", "none", "--os-endpoint", self.endpoint), self.home)
        options = ("--os-auth-type", "http_basic", "--os-endpoint", self.endpoint, "--os-username", user)
        return Openstack(options, self.home, {"OS_PASSWORD": password or PASSWORDS[user]})


@contextmanager
def started(directory: Path, auth: AuthConfig) -> Iterator[Started]:
    config = ControlPlaneConfig(
        state_dir=directory, socket=None, auth=auth, network=NetworkConfig(vlan_ranges=("physnet1:101:109",))
    )
    engine = open_database(config.database_url)
    upgrade(engine)
    service = LocalNetworkService(engine)
    over = threading.Event()

    def report() -> None:
        while True:
            for host in BACKENDS:
                service.record_host(report_of(host))
            if over.wait(4):
                return

    agents = threading.Thread(target=report)
    agents.start()
    try:
        with serving(config, directory) as url:
            yield Started(url, directory)
    finally:
        over.set()
        agents.join()
        engine.dispose()


@pytest.fixture(scope="module")
def kedge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Kedge on loopback, asking nobody."""
    with started(tmp_path_factory.mktemp("open"), AuthConfig()) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Kedge with users."""
    directory = tmp_path_factory.mktemp("guarded")
    for name, (role, project) in _ROLES.items():
        put(directory / "users", name, PASSWORDS[name], role, project)
    with started(directory, AuthConfig(users=directory / "users")) as running:
        yield running
