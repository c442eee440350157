"""Real migrations whose time is up: a transfer that is far too slow is given up, or ended sooner."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from kedge.lab import tour
from kedge.lab.cloud import Cloud
from kedge.model.server import Phase, TimeoutAction

pytestmark = pytest.mark.lab

ADDRESS = "198.51.100.30"
SLOW = {"bandwidth_mib": 1, "completion_timeout_s": 3}


@pytest.fixture(scope="module")
def vm(cloud: Cloud) -> Iterator[dict[str, Any]]:
    port = tour.make_port(cloud, tour.make_networks(cloud)["blue"], ADDRESS)
    made = tour.make_server(cloud, "vm-timeouts", "h1", [(port, ADDRESS)])
    yield made
    cloud.delete(f"/kedge/v1/servers/{made['id']}")


@pytest.fixture(autouse=True)
def back_on_h1(cloud: Cloud, vm: dict[str, Any]) -> Iterator[None]:
    yield
    if cloud.get(f"/kedge/v1/servers/{vm['id']}")["host"] != "h1":
        assert cloud.migrate(vm["id"], "h1")["status"] == "completed"


def check(cloud: Cloud, server_id: str, host: str) -> None:
    """The VM answers, is bound on `host` alone, and nothing of it is on another host."""
    server = cloud.get(f"/kedge/v1/servers/{server_id}")
    assert (server["host"], server["status"]) == (host, "ACTIVE")
    for port in server["ports"]:
        assert [(each["host"], each["status"]) for each in port["bindings"]] == [(host, "ACTIVE")]
    assert tour.answers(cloud, ADDRESS)
    left = {other: tour.left_behind(cloud, server_id, other) for other in cloud.lab.hosts if other != host}
    assert not any(left.values()), left


def test_given_up(cloud: Cloud, vm: dict[str, Any]) -> None:
    ended = cloud.migrate(vm["id"], "h3", **SLOW)
    assert ended["status"] == "failed"
    assert ended["error"] == "the completion time-out of 3 s passed"
    check(cloud, vm["id"], "h1")


def test_post_copy_that_breaks_off_is_gone_on_with(cloud: Cloud, vm: dict[str, Any]) -> None:
    source = cloud.lab.hosts["h1"]
    body = {"host": "h3", "options": {**SLOW, "timeout_action": TimeoutAction.POST_COPY}}
    # So slow that it can be broken before it is over.
    source.virsh("migrate-setspeed", vm["id"], "8", "--postcopy")
    migration = cloud.post(f"/kedge/v1/servers/{vm['id']}/migrate", body)
    path = f"/kedge/v1/migrations/{migration['id']}"

    def runs_there() -> bool:
        answer = cloud.lab.hosts["h3"].virsh("domstate", vm["id"], "--reason", check=False)
        return "running (post-copy)" in answer.stdout

    def broken() -> bool:
        source.virsh("qemu-monitor-command", vm["id"], "--hmp", "migrate_pause", check=False)
        answer = source.virsh("domstate", vm["id"], "--reason", check=False)
        return "post-copy failed" in answer.stdout

    cloud.wait_for(runs_there, "post-copy")
    # In its first instant both libvirtds of version 9.0 still wait for each other, and would do so for ever.
    time.sleep(1.5)
    cloud.wait_for(broken, "the break")
    cloud.wait_for(lambda: cloud.get(path)["finished_at"] is not None, "the end of the migration", 180)
    ended = cloud.get(path)
    assert ended["status"] == "completed", ended["error"]
    assert Phase.RECOVERED in [entry["phase"] for entry in ended["timeline"]]
    check(cloud, vm["id"], "h3")


@pytest.mark.parametrize("action", [TimeoutAction.FORCE_COMPLETE, TimeoutAction.POST_COPY])
@pytest.mark.parametrize("destination", ["h2", "h3"])
def test_ended_sooner(cloud: Cloud, vm: dict[str, Any], destination: str, action: TimeoutAction) -> None:
    ended = cloud.migrate(vm["id"], destination, **SLOW, timeout_action=action)
    assert ended["status"] == "completed", ended["error"]
    assert Phase.HURRIED in [entry["phase"] for entry in ended["timeline"]]
    check(cloud, vm["id"], destination)
