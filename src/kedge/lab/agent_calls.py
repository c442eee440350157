"""Orders to the agents of a lab, from where the control plane is and with its certificate."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from pyroute2 import netns

from kedge.trust.certificates import Credentials, client_context
from kedge.wire.agent_client import AgentClient

from .lab import Lab
from .layout import PKI

Answer = TypeVar("Answer")


class AgentCalls:
    """Calls agents by the names of their hosts."""

    def __init__(self, lab: Lab) -> None:
        tls = client_context(Credentials(PKI / "control.pem", PKI / "control.key", PKI / "ca.pem"))
        self._clients = {
            name: AgentClient(host.agent_url, tls, host=name) for name, host in lab.hosts.items()
        }
        # A namespace is entered by thread; this one stays in the control plane's.
        self._control = ThreadPoolExecutor(1, initializer=netns.setns, initargs=(lab.control.netns,))

    def close(self) -> None:
        """Close the connections."""
        self._control.shutdown()
        for client in self._clients.values():
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def call(self, host: str, act: Callable[[AgentClient], Answer]) -> Answer:
        """What the host's agent answers. Raises the KedgeError that it answered."""
        return self._control.submit(act, self._clients[host]).result()
