"""What stands in the way of a move is in its plan, and libvirt would indeed have refused: tried with a bare virsh."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from kedge.lab import image, tour
from kedge.lab.cloud import Cloud
from kedge.model.errors import CannotMigrate

pytestmark = pytest.mark.lab

NAME = "vm-obstacles"
ADDRESS = "198.51.100.30"
SOURCE, DESTINATION = "h1", "h2"
# What Kedge's agent asks libvirt for, in virsh's words.
AS_KEDGE_ASKS = ("--live", "--p2p", "--persistent", "--undefinesource")


@pytest.fixture(scope="module")
def vm(cloud: Cloud) -> Iterator[dict[str, Any]]:
    port = tour.make_port(cloud, tour.make_networks(cloud)["blue"], ADDRESS)
    made = tour.make_server(cloud, NAME, SOURCE, [(port, ADDRESS)])
    yield made
    cloud.delete(f"/kedge/v1/servers/{made['id']}")


@pytest.fixture
def namesake(cloud: Cloud) -> Iterator[str]:
    """The UUID of another domain of the same name, defined on the destination."""
    uuid, host = str(uuid4()), cloud.lab.hosts[DESTINATION]
    host.virsh("define", "/dev/stdin", text_input=image.domain_xml(NAME, uuid, [], []))
    yield uuid
    host.virsh("undefine", uuid)


def plan(cloud: Cloud, vm: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = cloud.post(f"/kedge/v1/servers/{vm['id']}/plan", {"host": DESTINATION})
    return made


def virsh_is_told(cloud: Cloud, vm: dict[str, Any], xml: str) -> str:
    """What libvirt says to the same migration without Kedge; it must refuse it."""
    source, destination = cloud.lab.hosts[SOURCE], cloud.lab.hosts[DESTINATION]
    file = source.directory / "bare.xml"
    file.write_text(xml)
    uri = (f"qemu+tcp://{destination.address}/system", f"tcp://{destination.address}")
    files = (f"--xml={file}", f"--persistent-xml={file}")
    answer = source.virsh("migrate", vm["id"], *uri, *AS_KEDGE_ASKS, *files, check=False)
    assert answer.returncode != 0, "libvirt took the VM, although the plan says that it would not"
    return answer.stderr


def test_a_name_that_another_domain_has_there(cloud: Cloud, vm: dict[str, Any], namesake: str) -> None:
    planned = plan(cloud, vm)
    (obstacle,) = planned["obstacles"]
    assert f"another domain on {DESTINATION} is named {NAME} (shutoff, UUID {namesake})" in obstacle
    with pytest.raises(CannotMigrate, match=f"is named {NAME}"):
        cloud.migrate(vm["id"], DESTINATION)
    (port,) = cloud.get(f"/kedge/v1/servers/{vm['id']}")["ports"]
    assert [(each["host"], each["status"]) for each in port["bindings"]] == [(SOURCE, "ACTIVE")]
    assert cloud.lab.hosts[DESTINATION].devices() == []

    assert f"domain '{NAME}' already exists with uuid {namesake}" in virsh_is_told(
        cloud, vm, planned["xml_after"]
    )
    assert tour.answers(cloud, ADDRESS)


def test_what_the_plan_promises_happens_once_the_name_is_free(cloud: Cloud, vm: dict[str, Any]) -> None:
    assert plan(cloud, vm)["obstacles"] == []
    assert cloud.migrate(vm["id"], DESTINATION)["status"] == "completed"
    assert cloud.migrate(vm["id"], SOURCE)["status"] == "completed"
