"""What a policy asks of real hypervisors: parallel connections, compression, and how fast a guest writes."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from kedge.lab import tour
from kedge.lab.cloud import Cloud

pytestmark = pytest.mark.lab

ADDRESS = "198.51.100.34"
STREAM = re.compile(r":49(?:1[5-9]\d|2[01]\d)\s*$", re.MULTILINE)  # libvirt's ports for QEMU's streams
COMPRESSES = 9_004_000


@pytest.fixture(scope="module")
def vm(cloud: Cloud) -> Iterator[dict[str, Any]]:
    port = tour.make_port(cloud, tour.make_networks(cloud)["blue"], ADDRESS)
    made = tour.make_server(cloud, "vm-policies", "h1", [(port, ADDRESS)])
    yield made
    cloud.delete(f"/kedge/v1/servers/{made['id']}")


def test_memory_is_copied_over_parallel_connections(cloud: Cloud, vm: dict[str, Any]) -> None:
    options = {"connections": 3, "bandwidth_mib": 1}
    path = f"/kedge/v1/servers/{vm['id']}/migrate"
    begun = cloud.post(path, {"host": "h3", "options": options})

    def streams() -> int:
        return len(STREAM.findall(cloud.lab.hosts["h1"].run(["ss", "-Htn", "state", "established"]).stdout))

    cloud.wait_for(lambda: streams() == 1 + 3, "QEMU's main connection, and three more")
    migration = f"/kedge/v1/migrations/{begun['id']}"
    cloud.patch(migration, {"bandwidth_mib": 0})
    cloud.wait_for(lambda: cloud.get(migration)["finished_at"] is not None, "the end of the migration")

    assert cloud.get(migration)["status"] == "completed", cloud.get(migration)["error"]
    assert tour.answers(cloud, ADDRESS)


def test_compression_is_refused_where_libvirt_is_too_old(cloud: Cloud, vm: dict[str, Any]) -> None:
    wanted = {"host": "h2", "options": {"connections": 2, "compression": "zstd"}}
    plan = cloud.post(f"/kedge/v1/servers/{vm['id']}/plan", wanted)
    old = [each for each in cloud.get("/kedge/v1/hosts") if each["libvirt_version"] < COMPRESSES]
    codes = {each["code"] for each in plan["obstacle_details"]}
    assert codes == ({"compression-unsupported"} if old else set())


def test_how_fast_it_writes_is_measured(cloud: Cloud, vm: dict[str, Any]) -> None:
    found = cloud.post(f"/kedge/v1/servers/{vm['id']}/forecast", {"measure_s": 1})
    assert found["dirty_mib"] is not None and found["copy_s"] > 0
