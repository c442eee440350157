"""A host is emptied and filled again by the command, over real hosts, while somebody talks to every VM."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kedge.lab import fleet
from kedge.lab.cloud import Cloud
from kedge.lab.fleet import Vm
from kedge.lab.typing_commands import kedge

pytestmark = pytest.mark.lab

HOST = "h3"
SIZES_MIB = (128, 96, 112)


@pytest.fixture
def vms(cloud: Cloud) -> Iterator[list[Vm]]:
    made = fleet.make_vms(cloud, [(HOST, mib) for mib in SIZES_MIB], "198.51.100.50", "vm-fleet")
    yield made
    for vm in made:
        cloud.delete(f"/kedge/v1/servers/{vm.id}")


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
