"""A VM moves over the lab's hosts while a real Neutron holds its ports' bindings, in both strategies.

Linux bridge (h5) is not among them: Neutron 29 has no such mechanism driver.
"""

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from kedge.lab import tour
from kedge.lab.hypervisor import refusing_arrivals
from kedge.lab.neutron import Neutron
from kedge.lab.neutron_cloud import NeutronCloud
from kedge.model.errors import CannotMigrate, KedgeError

from .settings import STRATEGIES, Strategy

pytestmark = pytest.mark.lab

WAY = list(pairwise(["h1", "h2", "h3", "h4", "h1"]))
VIF_TYPES = {"h1": "macvtap", "h2": "macvtap", "h3": "ovs", "h4": "ovs"}


@pytest.fixture(scope="module")
def cloud(real_neutron: Neutron) -> Iterator[NeutronCloud]:
    with NeutronCloud.on(real_neutron) as made:
        yield made


@pytest.fixture(scope="module", params=STRATEGIES)
def vm(request: pytest.FixtureRequest, cloud: NeutronCloud) -> Iterator[dict[str, Any]]:
    """The tour's VM on h1, in a control plane that works by one of the strategies."""
    strategy: Strategy = request.param
    cloud.use(strategy)
    made = tour.make_vm(cloud, f"vm-{strategy}", "h1")
    yield cloud.get(f"/kedge/v1/servers/{made['id']}")
    cloud.delete(f"/kedge/v1/servers/{made['id']}")


@pytest.fixture(autouse=True)
def last_words(request: pytest.FixtureRequest, cloud: NeutronCloud) -> Iterator[None]:
    """Shows the ends of the processes' logs with a test that fails."""
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed > failed_before:
        print(cloud.last_words())


def bound(neutron: Neutron, server: str) -> list[tuple[str, str, str, dict[str, Any]]]:
    """All binding rows of a server's ports, as Neutron itself has them: host, status, vif_type, profile."""
    ports = httpx2.get(f"{neutron.url}/v2.0/ports", params={"device_id": server}).json()["ports"]
    rows = [
        row
        for port in ports
        for row in httpx2.get(f"{neutron.url}/v2.0/ports/{port['id']}/bindings").json()["bindings"]
        if row["host"]
    ]
    return [(row["host"], row["status"], row["vif_type"], row["profile"]) for row in rows]


def check_at_rest(neutron: Neutron, server: str, host: str) -> None:
    rows = bound(neutron, server)
    assert [row[:3] for row in rows] == 2 * [(host, "ACTIVE", VIF_TYPES[host])]
    assert all("migrating_to" not in row[3] for row in rows)


@pytest.mark.parametrize(("source", "destination"), WAY)
def test_hop(
    cloud: NeutronCloud, real_neutron: Neutron, vm: dict[str, Any], source: str, destination: str
) -> None:
    here = cloud.get(f"/kedge/v1/servers/{vm['id']}")["host"]
    if here != source:  # a hop before this one failed
        assert cloud.migrate(vm["id"], source)["status"] == "completed"
    hop = tour.hop(cloud, vm["id"], source, destination)
    print(f"{source} -> {destination}: {hop.migration['total_ms']:.0f} ms, blackout {hop.blackout_ms:.0f} ms")
    assert hop.shortcomings == []
    check_at_rest(real_neutron, vm["id"], destination)
    shown = cloud.get(f"/kedge/v1/servers/{vm['id']}")
    assert shown["host"] == destination
    assert all([each["host"] for each in port["bindings"]] == [destination] for port in shown["ports"])


def test_a_failed_migration_is_rolled_back(
    cloud: NeutronCloud, real_neutron: Neutron, vm: dict[str, Any]
) -> None:
    before = bound(real_neutron, vm["id"])
    with refusing_arrivals(cloud.lab.hosts["h3"]):
        hop = tour.hop(cloud, vm["id"], "h1", "h3")
    assert hop.migration["status"] == "failed"
    assert hop.shortcomings == [f"failed: {hop.migration['error']}"]
    check_at_rest(real_neutron, vm["id"], "h1")
    assert [row[:3] for row in bound(real_neutron, vm["id"])] == [row[:3] for row in before]


def test_abort_while_memory_is_copied(cloud: NeutronCloud, real_neutron: Neutron, vm: dict[str, Any]) -> None:
    body = {"host": "h2", "options": {"bandwidth_mib": 4}}
    migration = cloud.post(f"/kedge/v1/servers/{vm['id']}/migrate", body)
    path = f"/kedge/v1/migrations/{migration['id']}"
    cloud.wait_for(lambda: (cloud.get(path)["progress"] or {}).get("memory_processed", 0) > 0, "the transfer")
    hosts = {row[0] for row in bound(real_neutron, vm["id"])}
    assert "h2" in hosts
    cloud.delete(path)
    cloud.wait_for(lambda: cloud.get(path)["finished_at"] is not None, "the end of the migration", 60)
    assert cloud.get(path)["status"] == "cancelled"
    check_at_rest(real_neutron, vm["id"], "h1")
    assert all(tour.answers(cloud, address) for address in tour.ADDRESSES)
    assert tour.left_behind(cloud, vm["id"], "h2") == []


def test_neutron_goes_away_in_the_middle(
    cloud: NeutronCloud, real_neutron: Neutron, vm: dict[str, Any]
) -> None:
    """Nobody knows what belongs on the hosts then, so nothing is removed from them; and the VM goes on."""
    body = {"host": "h3", "options": {"bandwidth_mib": 4}}
    migration = cloud.post(f"/kedge/v1/servers/{vm['id']}/migrate", body)
    path = f"/kedge/v1/migrations/{migration['id']}"
    cloud.wait_for(lambda: (cloud.get(path)["progress"] or {}).get("memory_processed", 0) > 0, "the transfer")
    plugged = cloud.lab.hosts["h3"].devices()
    cloud.lab.control.shell("ip link set lo down")
    try:
        time.sleep(8)  # four reports of every agent
        assert all(tour.answers(cloud, address) for address in tour.ADDRESSES)
        kept = cloud.lab.hosts["h3"].devices()
    finally:
        cloud.lab.control.shell("ip link set lo up")
    assert plugged
    assert set(plugged) <= set(kept)
    cloud.wait_for(lambda: cloud.get(path)["finished_at"] is not None, "the end of the migration", 90)
    assert cloud.get(path)["status"] == "completed"
    check_at_rest(real_neutron, vm["id"], "h3")
    assert all(tour.answers(cloud, address) for address in tour.ADDRESSES)
    assert cloud.migrate(vm["id"], "h1")["status"] == "completed"


def test_a_host_that_neutron_has_no_agent_on_is_refused(cloud: NeutronCloud, vm: dict[str, Any]) -> None:
    with pytest.raises(CannotMigrate, match="Neutron needs a live L2 agent on h5"):
        cloud.migrate(vm["id"], "h5")


def test_kedges_own_network_interface_says_who_keeps_the_networks(cloud: NeutronCloud) -> None:
    with pytest.raises(KedgeError, match="openstack --os-cloud"):
        super(NeutronCloud, cloud).get("/network/v2.0/ports")
