"""The network service over real HTTP: `python -m benchmarks.network [--quick]`.

`kedge serve` with 1 and 2 workers, on PostgreSQL and on SQLite, with 1,000 and 100,000 ports that each have a binding
and an address; 1 and 8 clients, each a process of its own on the same machine, which take their share of the same
processors. PostgreSQL runs with its own defaults (a commit is on the disk before it is answered), SQLite as Kedge
configures it (write-ahead log, `synchronous=NORMAL`: the last commits may be lost with the machine's power, but not
with the process).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine, insert

from kedge.store import open_database, upgrade
from kedge.store.columns import Base
from kedge.store.tables import AddressRow, AgentRow, BindingRow, HostRow, NetworkRow, PortRow, SubnetRow
from kedge.testing.postgres import running_postgres
from kedge.testing.started import Started, started

DATABASES = ("postgresql", "sqlite")
WORKERS = (1, 2)
CLIENTS = (1, 8)
PORTS = (1_000, 100_000)
PORTS_OF_A_NETWORK = 5_000

# What is measured, for how many seconds, and how often at most.
KINDS = {
    "show port": (1.5, 100_000),
    "list by device": (1.5, 100_000),
    "binding sequence": (2.5, 100_000),
    "create port": (30.0, 1_000),
}
NEUTRON = {
    "binding sequence": {"median_ms": 198, "per_s_8": 10},
    "list by device": {"median_ms": 15, "per_s_8": 110},
    "show port": {"median_ms": 15},
    "create port": {"median_ms": 96},
}
"""Neutron 29 with MariaDB, 2 workers and 1,000 ports, on a machine like this one, measured once."""


@dataclass(frozen=True)
class Site:
    """What is measured."""

    database: str
    workers: int
    ports: int


@dataclass(frozen=True)
class Figure(Site):
    """What was measured. `cpu_ms` is of Kedge's own processes, per item; a binding sequence is three requests."""

    clients: int
    kind: str
    median_ms: float
    p99_ms: float
    per_s: float
    cpu_ms: float


def run(*, quick: bool = False) -> dict[str, Any]:
    """All figures, and the memory of each worker at the end, in MiB."""
    figures: list[Figure] = []
    memory: list[dict[str, Any]] = []
    for database in DATABASES:
        for ports in PORTS[:1] if quick else PORTS:
            with _filled(database, ports) as url:
                for workers in WORKERS:
                    site = Site(database, workers, ports)
                    with TemporaryDirectory() as directory, started(Path(directory), url, workers) as served:
                        for figure in _measure(served, site, 0.3 if quick else 1.0):
                            figures.append(figure)
                            print(_row(figure), flush=True)
                        pids = served.workers() or [served.pid]
                        memory += [{**asdict(site), **_memory(pid)} for pid in pids]
    return {"figures": [asdict(each) for each in figures], "memory_mib": memory, "neutron": NEUTRON}


def _measure(served: Started, site: Site, share: float) -> Iterator[Figure]:
    for kind, (seconds, most) in KINDS.items():
        for clients in CLIENTS:
            pids = [served.pid, *served.workers()]
            before = sum(map(_cpu_ms, pids))
            told = _load(
                served.port, kind, _subjects(kind, site, clients), seconds * share, int(most * share)
            )
            cpu = sum(map(_cpu_ms, pids)) - before
            times = sorted(time for each in told for time in each["times_ms"])
            yield Figure(
                **asdict(site), clients=clients, kind=kind,
                median_ms=round(median(times), 2),
                p99_ms=round(times[int(len(times) * 0.99)], 2),
                per_s=round(sum(len(each["times_ms"]) / each["wall_s"] for each in told), 1),
                cpu_ms=round(cpu / len(times), 2),
            )  # fmt: skip


def _subjects(kind: str, site: Site, clients: int) -> list[list[str]]:
    """Which ports, servers or networks each client asks about: spread over all there are."""
    if kind == "create port":
        return [[_id("network", number) for number in range(site.ports // PORTS_OF_A_NETWORK + 1)]] * clients
    what = "server" if kind == "list by device" else "port"
    # A binding sequence leaves its port elsewhere, so no two runs on one database have the same ports.
    runs = [(workers, clients) for workers in WORKERS for clients in CLIENTS]
    run = runs.index((site.workers, clients))
    spread = range(run, site.ports, max(1, site.ports // 4_000) * len(runs))
    return [[_id(what, number) for number in spread[client::clients]] for client in range(clients)]


def _load(port: int, kind: str, subjects: list[list[str]], seconds: float, most: int) -> list[dict[str, Any]]:
    clients = [
        subprocess.Popen(
            [sys.executable, "-S", "-m", "benchmarks.http_load"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent,
        )
        for _ in subjects
    ]  # fmt: skip
    for client, chosen in zip(clients, subjects, strict=True):
        order = {
            "port": port, "kind": kind, "subjects": chosen, "seconds": seconds,
            "most": most // len(clients), "warm_up": 2 * len(clients),
        }  # fmt: skip
        _tell(client, json.dumps(order))
    for client in clients:
        assert client.stdout is not None
        if client.stdout.readline() != "ready\n":
            raise RuntimeError(f"a client failed before {kind} was measured")
    for client in clients:
        _tell(client, "go")
    return [json.loads(client.communicate()[0]) for client in clients]


def _tell(client: "subprocess.Popen[str]", line: str) -> None:
    assert client.stdin is not None
    client.stdin.write(line + "\n")
    client.stdin.flush()


def _cpu_ms(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) * 1000 / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> dict[str, float]:
    """RSS counts all that a process can reach; PSS divides what it shares with others among them."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {name.rstrip(":"): int(value) for name, value, *_ in map(str.split, lines)}
    return {"rss": round(kib["Rss"] / 1024, 1), "pss": round(kib["Pss"] / 1024, 1)}


# The data: written by the database's own bulk inserts.


@contextmanager
def _filled(database: str, ports: int) -> Iterator[str]:
    with TemporaryDirectory() as directory:
        if database == "sqlite":
            yield _fill(f"sqlite:///{directory}/kedge.db", ports)
        else:
            with running_postgres(durable=True) as postgres:
                postgres.create("kedge")
                yield _fill(postgres.url("kedge"), ports)


def _fill(url: str, ports: int) -> str:
    engine = open_database(url)
    upgrade(engine)
    now = datetime.now(UTC)
    made = {"created_at": now, "updated_at": now}
    # So long do the hosts seem to live without a report.
    alive = {"created_at": now, "last_seen": now + timedelta(days=1)}
    _insert(engine, HostRow, [{"name": host, "running": [], **alive} for host in ("h1", "h3", "h5")])
    _insert(engine, AgentRow, [_agent(host, now) for host in ("h1", "h3", "h5")])
    networks = range(ports // PORTS_OF_A_NETWORK + 1)
    _insert(engine, NetworkRow, [{**_network(number), **made} for number in networks])
    _insert(engine, SubnetRow, [{**_subnet(number), **made} for number in networks])
    for start in range(0, ports, 10_000):
        numbers = range(start, min(ports, start + 10_000))
        _insert(engine, PortRow, [{**_port(number), **made} for number in numbers])
        _insert(engine, AddressRow, [_address(number) for number in numbers])
        _insert(engine, BindingRow, [{**_binding(number), **made} for number in numbers])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()
    return url


def _insert(engine: Engine, table: type[Base], rows: list[dict[str, Any]]) -> None:
    with engine.begin() as connection:
        connection.execute(insert(table), rows)


def _id(kind: str, number: int) -> str:
    first = {"port": 1, "server": 2, "network": 3, "subnet": 4, "agent": 5}[kind]
    return f"{first:08x}-0000-4000-8000-{number:012x}"


def _agent(host: str, now: datetime) -> dict[str, Any]:
    backend = {"driver": "openvswitch", "mappings": {"physnet1": "br-physnet1"}}
    return {
        "id": _id("agent", int(host[1:])), "host": host, "driver": "openvswitch", "position": 0, "backend": backend,
        "created_at": now, "started_at": now,
    }  # fmt: skip


def _network(number: int) -> dict[str, Any]:
    return {
        "id": _id("network", number), "network_type": "vlan", "physical_network": "physnet1",
        "segmentation_id": number + 1,
    }  # fmt: skip


def _subnet(number: int) -> dict[str, Any]:
    pools = [{"start": f"10.{number}.0.2", "end": f"10.{number}.255.254"}]
    return {
        "id": _id("subnet", number), "network_id": _id("network", number), "ip_version": 4,
        "cidr": f"10.{number}.0.0/16", "gateway_ip": f"10.{number}.0.1", "allocation_pools": pools,
    }  # fmt: skip


def _port(number: int) -> dict[str, Any]:
    return {
        "id": _id("port", number), "network_id": _id("network", number // PORTS_OF_A_NETWORK),
        "mac_address": "fa:16:3e:" + ":".join(f"{number:06x}"[place : place + 2] for place in (0, 2, 4)),
        "device_id": _id("server", number), "device_owner": "compute:nova",
    }  # fmt: skip


def _address(number: int) -> dict[str, Any]:
    network, place = divmod(number, PORTS_OF_A_NETWORK)
    place += 2
    return {
        "port_id": _id("port", number), "network_id": _id("network", network), "subnet_id": _id("subnet", network),
        "ip_address": f"10.{network}.{place >> 8}.{place & 255}",
    }  # fmt: skip


def _binding(number: int) -> dict[str, Any]:
    return {
        "port_id": _id("port", number), "host": "h1", "status": "ACTIVE", "vif_type": "ovs",
        "vif_details": {"connectivity": "l2", "port_filter": True, "bridge_name": "br-int"},
        "driver": "openvswitch",
    }  # fmt: skip


HEAD = (
    "| what | database | workers | ports | clients | median ms | p99 ms | per s | CPU ms |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|--:|"
)


def _row(each: Figure) -> str:
    cells = [each.kind, each.database, each.workers, each.ports, each.clients]
    figures = [f"{each.median_ms:.2f}", f"{each.p99_ms:.2f}", f"{each.per_s:.0f}", f"{each.cpu_ms:.2f}"]
    return f"| {' | '.join(map(str, [*cells, *figures]))} |"


def table(result: dict[str, Any]) -> str:
    """The figures and the memory as Markdown tables."""
    figures = sorted((Figure(**each) for each in result["figures"]), key=lambda each: each.kind)
    lines = [HEAD, *map(_row, figures), ""]
    lines += ["| memory of a worker | workers | ports | RSS MiB | PSS MiB |", "|---|--:|--:|--:|--:|"]
    lines += [
        f"| {each['database']} | {each['workers']} | {each['ports']} | {each['rss']} | {each['pss']} |"
        for each in result["memory_mib"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(HEAD)
    print("\n" + table(run(quick="--quick" in sys.argv)))
