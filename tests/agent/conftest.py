"""A whole agent in this process, on libvirt's test driver and with VIFs that are only noted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from kedge.agent.agent import Agent
from kedge.agent.app import create_app
from kedge.agent.config import AgentConfig, read
from kedge.agent.vif import Pluggers
from kedge.serving.server import Listener, running
from kedge.trust.certificates import CertificateAuthority, Role, client_context, server_context
from kedge.wire.agent_client import AgentClient

from .agent_stand_ins import NotedVifs, Running


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    authority = CertificateAuthority.create(tmp_path / "ca")
    made = authority.issue("h1", Role.AGENT, ["127.0.0.1"], tmp_path)
    content: dict[str, Any] = {
        "host": "h1",
        "listen": "127.0.0.1:9",
        "control": "https://127.0.0.1:9",
        "certificate": made.certificate,
        "key": made.key,
        "ca": made.ca,
        "state_dir": tmp_path / "state",
        "libvirt_local_uri": "test:///default",
        "libvirt_uri": "test:///default",
        "migrate_uri": "tcp://127.0.0.1",
        "migration_network": "fast",
        "backend": [{"driver": "macvtap", "mappings": {"physnet1": "lo"}}],
    }
    return read(content, "agent.toml")


@pytest.fixture
def vifs() -> NotedVifs:
    return NotedVifs()


@pytest.fixture
def running_agent(config: AgentConfig, vifs: NotedVifs, tmp_path: Path) -> Iterator[Running]:
    agent = Agent(config, cast(Pluggers, vifs))
    agent.connection.start()
    own = CertificateAuthority.open(tmp_path / "ca").issue("control", Role.CONTROL, ["127.0.0.1"], tmp_path)
    listener = Listener.tcp("127.0.0.1", 0, tls=server_context(config.credentials))
    client = AgentClient(f"https://127.0.0.1:{listener.port}", client_context(own), host="h1")
    with running(create_app(agent), [listener], on_stop=agent.stop_waiting):
        yield Running(agent, client, vifs, config)
        client.close()
    agent.close()
