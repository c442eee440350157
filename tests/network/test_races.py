"""What several clients ask of one port, or of one server's ports, at one instant.

The first four are races that left a real Neutron with two ACTIVE bindings, or with one that was not bound.
Whatever wins, a port must end with one ACTIVE binding that is a full one, and every loser must be told so.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from kedge.model.domain import VifState
from kedge.model.errors import Conflict, NotFound
from kedge.model.network import BindingStatus, Network, NetworkType, Port, Segment
from kedge.network.local import LocalNetworkService, networks, ports, subnets
from kedge.store import open_database
from kedge.testing.started import Answer, Ask, Started, started
from kedge.wire.messages import HostReport

from ..databases import POSTGRESQL, SQLITE, copy_of
from .network_world import BACKENDS, nothing, report_of

ROUNDS = 20
ACTIVE, INACTIVE = BindingStatus.ACTIVE, BindingStatus.INACTIVE
HELD_S = 0.1
PATIENCE_S = 20.0
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)

_servers = (f"5c4f0a52-0a3d-4a8e-9a3e-{number:012x}" for number in itertools.count())
_vlans = itertools.count(100)


@dataclass
class Site:
    """A control plane that runs, and the network service beside it on the same database."""

    control_plane: Started
    service: LocalNetworkService
    reported_at: float = 0.0

    def hosts_report(self) -> None:
        """All hosts live, for another 15 s."""
        if time.monotonic() - self.reported_at > 5:
            for host in BACKENDS:
                self.service.record_host(report_of(host))
            self.reported_at = time.monotonic()

    def network(self) -> Network:
        return self.service.create_network("", Segment(NetworkType.VLAN, "physnet1", next(_vlans)))

    def port(self, network: Network, *inactive: str, device: str | None = None) -> Port:
        """A port with an ACTIVE binding on h1 and INACTIVE ones on others."""
        self.hosts_report()
        port = self.service.create_port(network.id, device_id=device or next(_servers))
        for host in ("h1", *inactive):
            self.service.bind(port.id, host)
        return port

    def held(self, port: Port, *asked: Ask) -> list[Answer]:
        """Ask at one instant, while the port is held until all of them wait for it: nobody is first by luck."""
        with ThreadPoolExecutor(1) as aside:
            with self.service.write() as work:
                ports.port(work, port.id, lock=True)
                answers = aside.submit(self.control_plane.at_once, *asked)
                time.sleep(HELD_S)
                ends = time.monotonic() + PATIENCE_S
                while self.waiting() < len(asked):
                    assert time.monotonic() < ends
                    time.sleep(0.02)
            return answers.result()

    def waiting(self) -> int:
        """How many transactions of the control plane wait for another one to end."""
        if self.service.engine.dialect.name == "postgresql":
            with self.service.engine.connect() as connection:
                return int(connection.scalar(text(WAITING)) or 0)
        turn = Path(f"{self.service.engine.url.database}.turn").stat()
        place = f"{os.major(turn.st_dev):02x}:{os.minor(turn.st_dev):02x}:{turn.st_ino}"
        locks = Path("/proc/locks").read_text().splitlines()
        return sum(place in each and "->" in each for each in locks)

    def check(self, port: Port) -> str:
        """The host of the one ACTIVE binding, which is a full one."""
        (chosen,) = (each for each in self.service.bindings(port.id) if each.status is ACTIVE)
        assert chosen.vif_type in ("ovs", "macvtap", "bridge")
        assert chosen.vif_details
        return chosen.host


SITES = [
    pytest.param((SQLITE, 1), id="sqlite-1"),
    pytest.param((SQLITE, 2), id="sqlite-2"),
    pytest.param((POSTGRESQL, 1), id="postgresql-1", marks=pytest.mark.postgresql),
    pytest.param((POSTGRESQL, 2), id="postgresql-2", marks=pytest.mark.postgresql),
]


@pytest.fixture(scope="module", params=SITES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    kind, workers = request.param
    directory = tmp_path_factory.mktemp("site")
    with copy_of(kind, nothing, directory) as url:
        engine = open_database(url)
        with started(directory, url, workers) as control_plane:
            yield Site(control_plane, LocalNetworkService(engine))
        engine.dispose()
        assert "Traceback" not in (directory / "serve.log").read_text()


@pytest.fixture
def network(site: Site) -> Network:
    return site.network()


def delete(port: Port, host: str) -> Ask:
    return Ask("DELETE", f"/ports/{port.id}/bindings/{host}")


def activate(port: Port, host: str) -> Ask:
    return Ask("PUT", f"/ports/{port.id}/bindings/{host}/activate")


def test_four_clients_bind_on_one_host(site: Site, network: Network) -> None:
    for _ in range(ROUNDS):
        port = site.port(network)
        wanted = Ask("POST", f"/ports/{port.id}/bindings", {"binding": {"host": "h3"}})
        answers = site.control_plane.at_once(*[wanted] * 4)
        assert sorted(each.status for each in answers) == [201, 409, 409, 409]
        assert {each.error for each in answers} == {"", "PortBindingAlreadyExists"}
        assert site.check(port) == "h1"
        assert len(site.service.bindings(port.id)) == 2


def test_two_clients_activate_different_hosts(site: Site, network: Network) -> None:
    for _ in range(ROUNDS):
        port = site.port(network, "h3", "h5")
        answers = site.held(port, activate(port, "h3"), activate(port, "h5"))
        assert sorted(each.status for each in answers) == [200, 409]
        assert site.check(port) == ("h3" if answers[0].status == 200 else "h5")


def test_two_clients_activate_different_hosts_and_nothing_holds_them_up(site: Site, network: Network) -> None:
    """Here one can have finished before the other is looked at. Then both are done, one after the other."""
    for _ in range(ROUNDS):
        port = site.port(network, "h3", "h5")
        answers = site.control_plane.at_once(activate(port, "h3"), activate(port, "h5"))
        assert sorted(each.status for each in answers) in ([200, 409], [200, 200])
        won = [host for host, answer in zip(("h3", "h5"), answers, strict=True) if answer.status == 200]
        assert site.check(port) in won


def test_four_clients_activate_one_host(site: Site, network: Network) -> None:
    for _ in range(ROUNDS):
        port = site.port(network, "h3")
        answers = site.control_plane.at_once(*[activate(port, "h3")] * 4)
        assert sorted(each.status for each in answers) == [200, 409, 409, 409]
        assert site.check(port) == "h3"


def test_activation_against_deletion(site: Site, network: Network) -> None:
    for _ in range(ROUNDS):
        port = site.port(network, "h3")
        activated, deleted = site.held(port, activate(port, "h3"), delete(port, "h3"))
        assert (activated.status, deleted.status) in {(200, 409), (404, 204)}
        assert site.check(port) == ("h3" if activated.status == 200 else "h1")


def test_activation_against_deletion_and_nothing_holds_them_up(site: Site, network: Network) -> None:
    """Here the ACTIVE binding can be deleted, which is allowed: it is of no server that is known to run."""
    for _ in range(ROUNDS):
        port = site.port(network, "h3")
        activated, deleted = site.control_plane.at_once(activate(port, "h3"), delete(port, "h3"))
        left = {each.host: each.status for each in site.service.bindings(port.id)}
        assert (
            left
            == {
                (200, 409): {"h1": INACTIVE, "h3": ACTIVE},
                (404, 204): {"h1": ACTIVE},
                (200, 204): {"h1": INACTIVE},
            }[activated.status, deleted.status]
        )
        assert all(each.vif_type == "macvtap" for each in site.service.bindings(port.id) if each.host == "h1")


# Of all ports of a server at once, as Kedge's own conductor does it.


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Make calls at one instant; what they returned or why they were refused."""
    barrier = threading.Barrier(len(calls))

    def made(call: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return call()
        except (Conflict, NotFound) as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(made, calls))


def server(site: Site, network: Network, ports: int, *inactive: str) -> list[Port]:
    device = next(_servers)
    return [site.port(network, *inactive, device=device) for _ in range(ports)]


def together(site: Site, ports: Sequence[Port]) -> str:
    """The one host on which all ports of a server are."""
    (host,) = {site.check(port) for port in ports}
    return host


def switch(site: Site, ports: Sequence[Port], host: str) -> Callable[[], object]:
    return lambda: site.service.switch(ports[0].device_id, host)


def request(site: Site, method: str, path: str, body: Any = None) -> Callable[[], object]:
    return lambda: site.control_plane.ask(method, path, body).status


def test_two_switches_of_a_server(site: Site, network: Network) -> None:
    for _ in range(ROUNDS):
        ports = server(site, network, 4, "h3", "h5")
        answers = at_once(switch(site, ports, "h3"), switch(site, ports, "h5"))
        assert all(isinstance(answer, list) for answer in answers)
        assert together(site, ports) in ("h3", "h5")


def test_a_switch_against_moving_one_of_the_ports(site: Site, network: Network) -> None:
    for _ in range(ROUNDS):
        ports = server(site, network, 4, "h3")
        move = request(site, "PUT", f"/ports/{ports[2].id}", {"port": {"binding:host_id": "h5"}})
        assert at_once(switch(site, ports, "h3"), move)[1] == 200
        assert site.check(ports[2]) in ("h3", "h5")
        assert together(site, [port for port in ports if port is not ports[2]]) in ("h1", "h3")


def test_a_switch_against_deleting_one_of_the_ports(site: Site, network: Network) -> None:
    for _ in range(ROUNDS):
        ports = server(site, network, 4, "h3")
        delete = request(site, "DELETE", f"/ports/{ports[2].id}")
        assert at_once(switch(site, ports, "h3"), delete)[1] == 204
        assert together(site, [port for port in ports if port is not ports[2]]) == "h3"


def test_many_at_once_make_no_more_than_their_project_may_have(site: Site, network: Network) -> None:
    new = {"port": {"network_id": network.id, "project_id": "p"}}
    for limit in range(1, 6):
        site.control_plane.ask("PUT", "/quotas/p", {"quota": {"port": limit}})
        answers = at_once(*[request(site, "POST", "/ports", new)] * 6)
        assert sorted(map(str, answers)) == ["201", *["409"] * 5]


def test_everybody_at_once_and_nobody_waits_for_ever(site: Site, network: Network) -> None:
    """Switches to and fro, agents' reports and deletions, over the same rows: no deadlock, no error of the server."""
    ports = server(site, network, 6, "h3", "h5")
    states = itertools.cycle([VifState.UP, VifState.BUILD])

    def report(host: str) -> HostReport:
        state = next(states)
        return report_of(host, {port.id: state for port in reversed(ports)})

    def again(call: Callable[[], object]) -> Callable[[], object]:
        return lambda: [call() for _ in range(ROUNDS)][-1]

    answers = at_once(
        again(switch(site, ports, "h3")),
        again(switch(site, ports, "h5")),
        again(lambda: site.service.record_host(report("h3"))),
        again(lambda: site.service.record_host(report("h5"))),
        again(request(site, "PUT", f"/ports/{ports[5].id}", {"port": {"name": "x"}})),
        again(request(site, "GET", f"/ports?device_id={ports[0].device_id}")),
    )
    assert not [each for each in answers if isinstance(each, Exception)]
    assert answers[4:] == [200, 200]
    assert together(site, ports) in ("h3", "h5")


def test_many_clients_get_addresses_of_one_subnet(site: Site, network: Network) -> None:
    subnet = {"subnet": {"network_id": network.id, "cidr": "10.9.0.0/24"}}
    assert site.control_plane.ask("POST", "/subnets", subnet).status == 201
    wanted = Ask("POST", "/ports", {"port": {"network_id": network.id}})
    given = []
    for _ in range(5):
        answers = site.control_plane.at_once(*[wanted] * 8)
        assert {each.status for each in answers} == {201}
        given += [each.body["port"]["fixed_ips"][0]["ip_address"] for each in answers]
    assert len(set(given)) == 40


def test_many_clients_take_blocks_of_one_pool(site: Site) -> None:
    pool = {"subnetpool": {"name": "p", "prefixes": ["10.0.0.0/22"], "default_prefixlen": 25}}
    made = site.control_plane.ask("POST", "/subnetpools", pool).body["subnetpool"]
    asked = [
        request(
            site,
            "POST",
            "/subnets",
            {"subnet": {"network_id": site.network().id, "subnetpool_id": made["id"]}},
        )
        for _ in range(10)
    ]
    gone = request(site, "DELETE", f"/subnetpools/{made['id']}")
    # Eight blocks are there; and the pool is deleted before any is taken, or not at all.
    answers = at_once(*asked, gone)
    assert answers[-1] in (204, 400)
    assert sorted(map(str, answers[:-1])) == (
        [*["201"] * 8, *["409"] * 2] if answers[-1] == 400 else ["404"] * 10
    )
    listed = site.control_plane.ask("GET", f"/subnets?subnetpool_id={made['id']}").body["subnets"]
    assert len({each["cidr"] for each in listed}) == (8 if answers[-1] == 400 else 0)


def test_two_make_a_default_pool(site: Site) -> None:
    new = {"subnetpool": {"name": "d", "prefixes": ["10.0.0.0/8"], "is_default": True}}
    answers = site.control_plane.at_once(*[Ask("POST", "/subnetpools", new)] * 4)
    assert sorted(each.status for each in answers)[0] == 201
    assert {each.status for each in answers} <= {201, 400, 409}
    (only,) = site.control_plane.ask("GET", "/subnetpools?is_default=true").body["subnetpools"]
    assert site.control_plane.ask("DELETE", f"/subnetpools/{only['id']}").status == 204


def test_a_port_and_a_subnet_of_addresses_that_guests_make_are_made_at_once(
    site: Site, network: Network
) -> None:
    """Whichever comes first, the port has its address of the subnet."""

    def subnet(cidr: str) -> None:
        with site.service.write() as work:
            subnets.create_subnet(work, network.id, cidr, ipv6_ra_mode="slaac")

    with ThreadPoolExecutor(1) as aside:
        with site.service.write() as work:
            subnets.create_subnet(work, network.id, "2001:db8:0:1::/64", ipv6_ra_mode="slaac")
            later = aside.submit(site.service.create_port, network.id, device_id=next(_servers))
            time.sleep(HELD_S)
        port = later.result()
        assert [each.rpartition(":f816:")[0] for each in port.fixed_ips] == ["2001:db8:0:1"]
        with site.service.write() as work:
            held = networks.network(work, network.id, hold=True)
            made = ports.create_port(work, held, device_id=next(_servers)).id
            done = aside.submit(subnet, "2001:db8:0:2::/64")
            time.sleep(HELD_S)
        done.result()
    assert len(site.service.port(made).fixed_ips) == 2
