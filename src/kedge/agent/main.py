"""Runs an agent."""

from pathlib import Path

import structlog

from kedge.agent.agent import Agent
from kedge.agent.app import create_app
from kedge.agent.config import load
from kedge.agent.vif import Pluggers
from kedge.serving import fitted
from kedge.serving.logs import log_to_stderr
from kedge.serving.server import Listener, serve
from kedge.trust.certificates import server_context
from kedge.trust.private_files import private_directory

_STATE = ("epochs.json*", "half-made.json*", "transfers.json*", "*.toml", "*.pem", "*.key", "*.crt")
"""What people and Kedge keep in its state directory."""

log = structlog.get_logger(__name__)


def run(config_path: Path) -> None:
    """Serve until SIGTERM or SIGINT. Raises KedgeError when the agent can't start."""
    log_to_stderr()
    config = load(config_path)
    private_directory(config.state_dir, _STATE)
    tls = server_context(config.credentials)
    agent = Agent(config, Pluggers(config.backends()))
    (limits,) = fitted([config.limits])
    listener = Listener.tcp(config.address, config.port, tls=tls, name="control", limits=limits)
    agent.start()
    log.info("agent serves", host=config.host, listen=config.listen)
    try:
        serve(create_app(agent), [listener], on_stop=agent.stop_waiting)
    finally:
        agent.close()
