"""A port that nobody needs: bound, plugged, wired and removed, to see that a host's backend works."""

import uuid
from collections.abc import Iterable
from contextlib import suppress

from kedge.core.binding import bind_port
from kedge.model.errors import HostFailure, KedgeError
from kedge.model.host import Host
from kedge.model.network import Network, vif_of
from kedge.model.transition import Transition
from kedge.network.service import NetworkService
from kedge.wire.messages import PlugOrder

from ..hosts.agents import Agent, unplug_all

_NAMES = uuid.UUID("8f2f5c0e-6f0c-4c0b-9d53-0d8d6f1f8e1a")
OWNER = "kedge:probe"


class Probe:
    """The ports by which an operation tries a host. Whoever tries it removes first what a try before may have left."""

    def __init__(self, network: NetworkService, agent: Agent, operation_id: str, host: str) -> None:
        self._network = network
        self._agent = agent
        self._host = host
        self._device = str(uuid.uuid5(_NAMES, f"{operation_id} {host}"))

    def work(self, host: Host, wanted: Transition, networks: Iterable[Network]) -> None:
        """Try a port on each of these networks. Raises KedgeError, which says what does not work."""
        self.remove()
        only = [each for each in host.backends if each.driver == wanted.to_backend]
        try:
            for each in networks:
                port = self._network.create_port(
                    each.id, device_id=self._device, device_owner=OWNER, fixed_ips=(), name="kedge-probe"
                )
                expected = bind_port(port, each, Host(host.name, backends=tuple(only)))
                binding = self._network.bind(port.id, host.name)
                if binding.vif_type is not expected.vif_type:
                    raise HostFailure(
                        f"a port on network {each.name or each.id} is bound as {binding.vif_type}, which is not"
                        f" {wanted}: name that first in its agent's configuration, or take the others out of it"
                    )
                self._agent.plug(PlugOrder((vif_of(port, each, binding),))).complete()
        except KedgeError:
            with suppress(KedgeError):
                self.remove()
            raise
        self.remove()

    def remove(self) -> None:
        """Remove what is there of it; nothing happens if nothing is."""
        ports = self._network.ports_of(self._device)
        if not ports:
            return
        unplug_all(self._agent, [port.id for port in ports])
        for port in ports:
            self._network.unbind(port.id, self._host, even_active=True)
            self._network.delete_port(port.id)


def one_of_each(networks: Iterable[Network]) -> list[Network]:
    """One network for each physical network, the first."""
    found: dict[str, Network] = {}
    for each in networks:
        found.setdefault(each.segment.physical_network, each)
    return list(found.values())
