"""What goes wrong ends with the VM and its one ACTIVE binding where the VM runs, and nothing left elsewhere."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from kedge.lab import tour
from kedge.lab.cloud import Cloud
from kedge.lab.hypervisor import NO_PLAN_CAN_KNOW, refusing_arrivals
from kedge.model.errors import CannotMigrate, Conflict, NotFound

from .acceptance import refused_after_all
from .slow import end_of, start_slowly

pytestmark = pytest.mark.lab

ADDRESS = "198.51.100.20"


@pytest.fixture(scope="module")
def vm(cloud: Cloud) -> Iterator[dict[str, Any]]:
    port = tour.make_port(cloud, tour.make_networks(cloud)["blue"], ADDRESS)
    made = tour.make_server(cloud, "vm-failures", "h1", [(port, ADDRESS)])
    yield made
    cloud.delete(f"/kedge/v1/servers/{made['id']}")


@pytest.fixture(autouse=True)
def settled(cloud: Cloud, vm: dict[str, Any]) -> Iterator[None]:
    """After each test: the VM answers on h1, is bound there alone, and nothing is left on any other host."""
    yield
    server = cloud.get(f"/kedge/v1/servers/{vm['id']}")
    assert server["host"] == "h1"
    for port in server["ports"]:
        assert [(each["host"], each["status"]) for each in port["bindings"]] == [("h1", "ACTIVE")]
    assert tour.answers(cloud, ADDRESS)
    left = {host: tour.left_behind(cloud, vm["id"], host) for host in cloud.lab.hosts if host != "h1"}
    assert not any(left.values()), left


def is_alive(cloud: Cloud, host: str) -> bool:
    return any(each["name"] == host and each["alive"] for each in cloud.get("/kedge/v1/hosts"))


@pytest.mark.parametrize("destination", ["h2", "h3", "h4", "h5"])
def test_abort_while_memory_is_copied(cloud: Cloud, vm: dict[str, Any], destination: str) -> None:
    migration = start_slowly(cloud, vm["id"], destination)
    cloud.delete(f"/kedge/v1/migrations/{migration['id']}")
    assert end_of(cloud, migration)["status"] == "cancelled"


def test_destination_qemu_dies(cloud: Cloud, vm: dict[str, Any]) -> None:
    migration = start_slowly(cloud, vm["id"], "h3")
    host = cloud.lab.hosts["h3"]
    host.shell("kill -9 $(pgrep -f 'qemu-system.*-incoming')")
    ended = end_of(cloud, migration)
    assert ended["status"] == "failed"
    assert ended["error"]


def test_libvirt_of_the_destination_refuses(cloud: Cloud, vm: dict[str, Any]) -> None:
    with refusing_arrivals(cloud.lab.hosts["h5"]):
        ended = cloud.migrate(vm["id"], "h5")
    assert ended["status"] == "failed"
    assert "transfer" in ended["error"]
    assert NO_PLAN_CAN_KNOW in ended["error"]
    assert f"h1 -> h5: {ended['error']}" in refused_after_all(cloud)


def test_a_wire_that_was_lost_meanwhile_is_back_before_the_end_is_told(
    cloud: Cloud, vm: dict[str, Any]
) -> None:
    assert cloud.migrate(vm["id"], "h5")["status"] == "completed"
    (port,) = cloud.get(f"/kedge/v1/servers/{vm['id']}")["ports"]
    tap = f"tap{port['id'][:11]}"
    migration = start_slowly(cloud, vm["id"], "h3")
    host = cloud.lab.hosts["h5"]
    host.run(["ip", "link", "set", tap, "nomaster"])
    cloud.delete(f"/kedge/v1/migrations/{migration['id']}")
    ended = end_of(cloud, migration)
    assert "master" in host.run(["ip", "-o", "link", "show", tap]).stdout
    assert (ended["status"], ended["error"]) == ("cancelled", None)
    assert cloud.migrate(vm["id"], "h1")["status"] == "completed"


def test_the_control_plane_dies_and_goes_on(cloud: Cloud, vm: dict[str, Any]) -> None:
    migration = start_slowly(cloud, vm["id"], "h2")
    assert cloud.control is not None
    cloud.control.kill()
    cloud.control.wait(10)
    time.sleep(1)
    cloud.start_control()
    path = f"/kedge/v1/migrations/{migration['id']}"
    assert cloud.get(path)["finished_at"] is None
    cloud.delete(path)
    assert end_of(cloud, migration)["status"] == "cancelled"


def test_a_leftover_binding_is_no_obstacle(cloud: Cloud, vm: dict[str, Any]) -> None:
    port = cloud.get(f"/kedge/v1/servers/{vm['id']}")["ports"][0]["id"]
    cloud.post(f"/network/v2.0/ports/{port}/bindings", {"binding": {"host": "h4"}})
    assert cloud.migrate(vm["id"], "h4")["status"] == "completed"
    assert cloud.migrate(vm["id"], "h1")["status"] == "completed"


def test_refusals_name_what_is_wrong(cloud: Cloud, vm: dict[str, Any]) -> None:
    server = f"/kedge/v1/servers/{vm['id']}"
    with pytest.raises(NotFound, match=r"no server 'nobody'"):
        cloud.post("/kedge/v1/servers/nobody/migrate", {"host": "h2"})
    with pytest.raises(NotFound, match=r"host 'h9' \(known hosts: h1, h2, h3, h4, h5\)"):
        cloud.post(f"{server}/migrate", {"host": "h9"})
    with pytest.raises(CannotMigrate, match="on h1 already"):
        cloud.post(f"{server}/migrate", {"host": "h1"})
    cloud.lab.hosts["h1"].virsh("suspend", vm["id"])
    try:
        with pytest.raises(CannotMigrate, match="is paused on h1"):
            cloud.post(f"{server}/migrate", {"host": "h2"})
    finally:
        cloud.lab.hosts["h1"].virsh("resume", vm["id"])
    migration = start_slowly(cloud, vm["id"], "h2")
    with pytest.raises((Conflict, CannotMigrate), match=r"under way|migrating"):
        cloud.post(f"{server}/migrate", {"host": "h3"})
    cloud.delete(f"/kedge/v1/migrations/{migration['id']}")
    assert end_of(cloud, migration)["status"] == "cancelled"


def test_a_dead_agent_is_refused(cloud: Cloud, vm: dict[str, Any]) -> None:
    agent = cloud.agents["h2"]
    agent.kill()
    agent.wait(10)
    try:
        cloud.wait_for(lambda: not is_alive(cloud, "h2"), "the death of h2's agent", 40)
        with pytest.raises(CannotMigrate, match="agent of h2 is dead"):
            cloud.post(f"/kedge/v1/servers/{vm['id']}/migrate", {"host": "h2"})
    finally:
        cloud.start_agent(cloud.lab.hosts["h2"])
        cloud.wait_for(lambda: is_alive(cloud, "h2"), "h2's agent")
