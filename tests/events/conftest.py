"""A network service whose ports come up and go down, on every database that Kedge knows."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kedge.model.domain import VifState
from kedge.model.network import Port
from kedge.store import outbox, reading
from kedge.store.outbox import Event

from ..databases import BOTH
from ..network.network_world import World, make_world

SERVER = "5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0001"
OTHER = "5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0002"


@dataclass
class Ports:
    """Ports of servers, and what is told of them."""

    world: World

    def make(self, server: str = SERVER, host: str = "h1", owner: str = "compute:nova") -> Port:
        service = self.world.service
        network = next(iter(service.networks()), None) or self.world.network(None)
        port = service.create_port(network.id, device_id=server, device_owner=owner)
        service.bind(port.id, host)
        return port

    def report(self, host: str, *ports: Port, state: VifState = VifState.UP) -> None:
        """Let a host say of these ports that they are up, and of all others that they are not there."""
        others = {vif.port_id: VifState.ABSENT for vif in self.world.service.duties(host).vifs}
        self.world.report(host, others | {port.id: state for port in ports})

    def told(self, after: int = 0) -> list[Event]:
        with reading(self.world.engine) as session:
            return outbox.between(session, after, 2**31 - 1, 1000)

    def short(self) -> list[tuple[str, str, str]]:
        """All that was told: name without its beginning, port, host."""
        return [(each.name.removeprefix("network-vif-"), each.port_id, each.host) for each in self.told()]


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ports(tmp_path: Path, database: str) -> Iterator[Ports]:
    with make_world(tmp_path, database) as world:
        yield Ports(world)


def eventually(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until it is so; long, as the machine may be busy."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.02)
