"""A host is emptied and filled again by the command, over real hosts, while somebody talks to every VM."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from kedge.lab import conversion, fleet
from kedge.lab.cloud import Cloud
from kedge.lab.fleet import Vm
from kedge.lab.typing_commands import kedge

pytestmark = pytest.mark.lab

Json = dict[str, Any]
HOST = "h3"
SIZES_MIB = (128, 96, 112)


@pytest.fixture
def vms(cloud: Cloud) -> Iterator[list[Vm]]:
    made = fleet.make_vms(cloud, [(HOST, mib) for mib in SIZES_MIB], "198.51.100.50", "vm-fleet")
    yield made
    for vm in made:
        cloud.delete(f"/kedge/v1/servers/{vm.id}")


@pytest.fixture
def bridged(cloud: Cloud) -> Iterator[list[Vm]]:
    """VMs on h5, which has Linux bridges, and has them again afterwards."""
    host = cloud.lab.hosts["h5"]
    before = host.devices()
    made = fleet.make_vms(cloud, [(host.name, mib) for mib in (96, 112)], "198.51.100.60", "vm-in-place")
    yield made
    for vm in made:
        cloud.delete(f"/kedge/v1/servers/{vm.id}")
    if host.backends:
        conversion.use_linux_bridge(cloud, host.name)
    cloud.wait_for(lambda: host.devices() == before, "the host as it was", seconds=60)


def run(*arguments: str) -> list[Any]:
    """The lines of JSON that the command wrote, which must have done what it was told to."""
    done = kedge(*arguments, "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_host_is_drained_and_restored(cloud: Cloud, vms: list[Vm]) -> None:
    simulated = json.loads(kedge("drain", HOST, "--simulate", "--json").stdout)
    with fleet.watched(cloud, vms) as watch:
        *_, drained = run("drain", HOST)
        emptied = fleet.places(cloud, vms)
        assert fleet.misplaced(cloud, vms) == []
        (host,) = [each for each in cloud.get("/kedge/v1/hosts") if each["name"] == HOST]

        *_, restored = run("restore", HOST)
        assert fleet.misplaced(cloud, vms) == []

    assert watch.shortcomings == []
    assert HOST not in emptied.values()
    assert f"drained by operation {drained['id']}" in host["disabled_reason"]
    assert set(fleet.places(cloud, vms).values()) == {HOST}
    # What was foretold is what was done.
    goes = {leg["server_id"]: leg["destination"] for leg in drained["prediction"]["legs"]}
    assert goes == {leg["server_id"]: leg["destination"] for leg in simulated["legs"]}
    assert goes == {vm.id: emptied[vm.name] for vm in vms}
    for operation in (drained, restored):
        assert operation["took_s"] > 0
        assert [len(item["migrations"]) for item in operation["items"]] == [1] * len(vms)
        said = kedge("operations", "show", operation["id"]).stdout
        assert f"{operation['prediction']['total_s']:.0f} s" in said
        assert f"{operation['took_s']:.0f} s" in said


def test_a_host_gets_another_switch_below_its_running_vms(cloud: Cloud, bridged: list[Vm]) -> None:
    wanted = ("transition", "--hosts", "h5", "--to-backend", "openvswitch", "--in-place")
    with fleet.watched(cloud, bridged) as watch:
        operation = json.loads(kedge(*wanted, "--detach", "--json").stdout)
        until(cloud, operation, lambda found: found["hosts"][0]["stage"] == "converting")
        conversion.put_open_vswitch_below(cloud, "h5")
        ended = until(cloud, operation, lambda found: found["finished_at"] is not None)
        assert fleet.misplaced(cloud, bridged) == []
    for vm in bridged:
        (port,) = cloud.get(f"/kedge/v1/servers/{vm.id}")["ports"]
        assert [each["vif_type"] for each in port["bindings"]] == ["ovs"]

    assert (ended["state"], [each["state"] for each in ended["items"]]) == ("completed", ["arrived"] * 2)
    assert watch.shortcomings == []
    # With both ways out open at once, frames would come twice.
    assert [watch.seen[vm.name].outside.duplicates for vm in bridged] == [0, 0]
    stages = [line["what"].partition(":")[0] for line in ended["hosts"][0]["log"]]
    assert stages == ["converting", "verifying", "rewiring", "done"]


def until(cloud: Cloud, operation: Json, reached: Callable[[Json], bool]) -> Json:
    """The operation once it has come to this."""
    deadline = time.monotonic() + 120
    while not reached(found := cloud.get(f"/kedge/v1/operations/{operation['id']}")):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return cast(Json, found)
