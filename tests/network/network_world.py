"""A network service with a clock of its own and the hosts of the lab, for the tests beside this file."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from kedge.model.domain import VifState
from kedge.model.host import HostBackend
from kedge.model.network import Network, NetworkType, Segment
from kedge.network.local import LocalNetworkService
from kedge.store import open_database, transaction
from kedge.store.tables import ServerRow
from kedge.wire.messages import HostReport

from ..databases import SQLITE, copy_of

BACKENDS = {
    "h1": HostBackend("macvtap", {"physnet1": "eth1"}),
    "h2": HostBackend("macvtap", {"physnet1": "ens5"}),
    "h3": HostBackend("openvswitch", {"physnet1": "br-physnet1"}, datapath_type="netdev"),
    "h4": HostBackend("openvswitch", {"physnet1": "br-physnet1"}, hybrid_plug=True),
    "h5": HostBackend("linuxbridge", {"physnet1": "eth1"}),
    "h6": HostBackend("openvswitch", {"physnet2": "br-physnet2"}),
}


class World:
    """The service, its database and its time; `url` is where other processes find the database."""

    def __init__(self, engine: Engine, url: str = "") -> None:
        self.engine = engine
        self.url = url
        self.now = datetime(2026, 11, 23, 12, tzinfo=UTC)
        self.service = LocalNetworkService(engine, clock=lambda: self.now)

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def report(
        self, host: str, vifs: Mapping[str, VifState] | None = None, running: tuple[str, ...] = ()
    ) -> None:
        """Let a host's agent report."""
        self.service.record_host(report_of(host, vifs, running))

    def network(self, vlan: int | None = 100) -> Network:
        """Make a network on physnet1, flat without a VLAN id."""
        kind = NetworkType.FLAT if vlan is None else NetworkType.VLAN
        return self.service.create_network(f"net-{vlan}", Segment(kind, "physnet1", vlan))

    def server(self, server_id: str, status: str = "ACTIVE") -> None:
        """Make a server known."""
        with transaction(self.engine) as session:
            row = ServerRow(
                id=server_id, name="vm", host="h1", status=status, created_at=self.now, updated_at=self.now
            )
            session.merge(row)


def report_of(
    host: str, vifs: Mapping[str, VifState] | None = None, running: tuple[str, ...] = ()
) -> HostReport:
    """A host's report."""
    return HostReport(
        host=host,
        url=f"https://{host}:8774",
        backends=(BACKENDS[host],),
        libvirt_uri=f"qemu+tcp://{host}/system",
        migrate_uri=f"tcp://{host}",
        libvirt_version=9_000_000,
        vifs=vifs or {},
        running=running,
    )


def nothing(_engine: Engine) -> None:
    """For a database that has the tables, and nothing in them."""


def _fill(engine: Engine) -> None:
    world = World(engine)
    for host in BACKENDS:
        world.report(host)


@contextmanager
def make_world(directory: Path, database: str = SQLITE) -> Iterator[World]:
    """A world in which all hosts have just reported, on a database of this kind."""
    with copy_of(database, _fill, directory) as url:
        engine = open_database(url)
        yield World(engine, url)
        engine.dispose()
