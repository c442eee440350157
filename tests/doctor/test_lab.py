"""The doctor on real hosts: what is broken on them with their own tools is found, and put right under the VM."""

from collections.abc import Iterator
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest

from kedge.lab import tour
from kedge.lab.cloud import STATE, Cloud

pytestmark = pytest.mark.lab

ADDRESS = "198.51.100.30"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud.up() as made:
        yield made


@pytest.fixture(scope="module")
def vm(cloud: Cloud) -> dict[str, Any]:
    port = tour.make_port(cloud, tour.make_networks(cloud)["blue"], ADDRESS)
    return tour.make_server(cloud, "vm-doctor", "h3", [(port, ADDRESS)])


def examine(cloud: Cloud) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cloud.get("/kedge/v1/doctor")["findings"]
    return found


def kinds(cloud: Cloud) -> set[str]:
    return {each["kind"] for each in examine(cloud)}


def started(cloud: Cloud, vm: dict[str, Any]) -> str:
    """When the VM's QEMU was started, and that it runs."""
    host = cloud.lab.hosts["h3"]
    assert host.virsh("domstate", vm["id"]).stdout.strip() == "running"
    return host.shell(f"stat -c %Y /proc/$(pgrep -f 'qemu-system.*{vm['id']}' | head -1)").strip()


def port_of(cloud: Cloud, vm: dict[str, Any]) -> dict[str, Any]:
    (port,) = cloud.get(f"/kedge/v1/servers/{vm['id']}")["ports"]
    found: dict[str, Any] = port
    return found


def sql(statement: str) -> None:
    with connect(Path(STATE, "kedge.db"), timeout=30) as database:
        database.execute(statement)
    database.close()


def test_real_hosts(cloud: Cloud, vm: dict[str, Any]) -> None:
    assert examine(cloud) == []
    before = started(cloud, vm)
    port = port_of(cloud, vm)
    tap = f"tap{port['id'][:11]}"
    host = cloud.lab.hosts["h3"]

    # Somebody takes the running VM's port out of Open vSwitch. Whether the doctor or the agent itself is quicker:
    # neither complains, and it is there again.
    host.shell(f"ovs-vsctl del-port {tap}")
    answer = cloud.post("/kedge/v1/doctor/repair", {})
    assert (any(each["error"] for each in answer["done"]), answer["left"]) == (False, [])
    assert tap in host.shell("ovs-vsctl list-ports br-int").split()
    cloud.wait_for(lambda: tour.answers(cloud, ADDRESS), "the VM's answer", 10)

    # A migration that nobody knows bound it on h4, whose agent keeps a VIF for that.
    cloud.post(f"/network/v2.0/ports/{port['id']}/bindings", {"binding": {"host": "h4"}})
    # Its record says that it is on h1.
    sql(f"UPDATE servers SET host = 'h1' WHERE id = '{vm['id']}'")
    assert kinds(cloud) == {"server-elsewhere", "binding-of-no-migration"}
    assert cloud.post("/kedge/v1/doctor/repair", {})["left"] == []

    # The binding went to h5 and nobody followed it.
    cloud.post(f"/network/v2.0/ports/{port['id']}/bindings", {"binding": {"host": "h5"}})
    cloud.put(f"/network/v2.0/ports/{port['id']}/bindings/h5/activate")
    assert "bound-elsewhere" in kinds(cloud)
    assert cloud.post("/kedge/v1/doctor/repair", {})["left"] == []

    # An old definition on another host.
    xml = host.virsh("dumpxml", "--inactive", vm["id"]).stdout
    path = cloud.lab.hosts["h2"].directory / "old.xml"
    path.write_text(xml)
    cloud.lab.hosts["h2"].virsh("define", str(path))
    cloud.post("/kedge/v1/doctor/repair", {})
    assert cloud.lab.hosts["h2"].domains() == []

    assert started(cloud, vm) == before
    assert tour.answers(cloud, ADDRESS)
    assert examine(cloud) == []
    for other in ("h1", "h2", "h4", "h5"):
        assert tour.left_behind(cloud, vm["id"], other) == []
