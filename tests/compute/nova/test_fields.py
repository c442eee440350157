"""Every field of a server, at the microversions before and after it appears."""

from typing import Any

import pytest

from kedge.compute.nova.fields import FLAVOR_EMBEDDED, SERVER, Field, shown
from kedge.compute.nova.microversions import NEWEST, OLDEST
from kedge.model.server import Server

from .nova_world import NovaWorld

STEPS = sorted(
    {OLDEST, NEWEST, FLAVOR_EMBEDDED - 1, FLAVOR_EMBEDDED}
    | {version for field in SERVER for version in (field.since - 1, field.since) if version >= OLDEST}
    | {version for field in SERVER for version in (field.admins_until, (field.admins_until or 0) + 1) if version}
    & set(range(OLDEST, NEWEST + 1))
)  # fmt: skip


@pytest.fixture(scope="module")
def server(nova: NovaWorld) -> Server:
    return nova.fleet.tools.servers.label(nova.fleet.server().id, {"project": "demo"})


def _fields(field: Field, version: int, *, admin: bool, listed: bool) -> bool:
    hidden = field.admins_until is not None and version <= field.admins_until and not admin
    return version >= field.since and not hidden and (field.listed or not listed)


@pytest.mark.parametrize("version", STEPS)
def test_the_table_is_what_is_answered(nova: NovaWorld, server: Server, version: int) -> None:
    for user, admin in (("root", True), ("alice", False)):
        for path, listed in ((f"/servers/{server.id}", False), ("/servers/detail", True)):
            answer: Any = nova.get(path, f"2.{version}", user=user)
            found = answer["servers"][0] if listed else answer["server"]
            expected = {each.name for each in SERVER if _fields(each, version, admin=admin, listed=listed)}
            assert set(found) == expected == shown(version, admin=admin, listed=listed)
            assert ("vcpus" in found["flavor"]) == (version >= FLAVOR_EMBEDDED)
            assert ("id" in found["flavor"]) == (version < FLAVOR_EMBEDDED)


def test_the_table_is_novas() -> None:
    """Its dates again, by Nova's documentation of what each microversion brought."""
    appear = {field.name.rpartition(":")[2]: field.since for field in SERVER if field.since > 1}
    assert appear == {
        "reservation_id": 3,
        "launch_index": 3,
        "hostname": 3,
        "kernel_id": 3,
        "ramdisk_id": 3,
        "root_device_name": 3,
        "user_data": 3,
        "locked": 9,
        "host_status": 16,
        "description": 19,
        "tags": 26,
        "trusted_image_certificates": 63,
        "server_groups": 71,
        "locked_reason": 73,
        "pinned_availability_zone": 96,
    }
    assert shown(89, admin=False, listed=False) ^ shown(90, admin=False, listed=False) == {
        "OS-EXT-SRV-ATTR:hostname"
    }
