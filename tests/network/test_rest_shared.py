"""Networks that are shared between projects; who may what there is in tests/auth."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from kedge.model.caller import CALLER, Identity, Role
from kedge.network.errors import NetworkNotFound
from kedge.network.local import networks

from ..databases import POSTGRESQL
from .network_world import World
from .rest_world import make_network, make_port, make_subnet, ok, refused

FREE = {"device_id": "", "device_owner": "", "binding:host_id": ""}


def share(api: TestClient, network: dict[str, Any], shared: bool) -> Any:
    return api.put(f"networks/{network['id']}", json={"network": {"shared": shared}})


def test_a_network_is_shared_from_the_start_or_later(api: TestClient) -> None:
    plain, shared = make_network(api, 100), make_network(api, 101, shared=True)
    assert (plain["shared"], shared["shared"]) == (False, True)
    for value, expected in (("true", [shared]), ("False", [plain]), ("1", [shared])):
        assert ok(api.get("networks", params={"shared": value}))["networks"] == expected
    changed = ok(share(api, plain, True))["network"]
    assert changed["shared"] is True and changed["revision_number"] > plain["revision_number"]
    renamed = ok(api.put(f"networks/{plain['id']}", json={"network": {"name": "x"}}))["network"]
    assert renamed["shared"] is True
    assert len(ok(api.get("networks", params={"shared": "true"}))["networks"]) == 2


@pytest.mark.parametrize(
    ("project", "owner", "stays"),
    [
        ("p1", "", False),
        ("p2", "", True),
        ("p2", "compute:nova", True),
        ("p2", "network:dhcp", False),
        ("", "compute:kedge", False),
    ],
)
def test_whose_ports_keep_a_network_shared(api: TestClient, project: str, owner: str, stays: bool) -> None:
    network = make_network(api, shared=True)
    make_port(api, network["id"], **FREE | {"project_id": project, "device_owner": owner})
    if stays:
        refused(share(api, network, False), 409, "InvalidSharedSetting", network["name"], "belong to p2.")
        assert ok(share(api, network, True))["network"]["shared"] is True
    else:
        assert ok(share(api, network, False))["network"]["shared"] is False


def test_another_projects_subnet_keeps_a_network_shared(api: TestClient) -> None:
    network = make_network(api, shared=True, name="")
    make_subnet(api, network["id"], "10.1.0.0/24")
    subnet = make_subnet(api, network["id"], "10.2.0.0/24", project_id="p2")
    refused(share(api, network, False), 409, "InvalidSharedSetting", network["id"])
    ok(api.delete(f"subnets/{subnet['id']}"), 204)
    assert ok(share(api, network, False))["network"]["shared"] is False


def test_who_keeps_a_network_shared_is_said_in_few_words(api: TestClient) -> None:
    network = make_network(api, shared=True)
    for number in range(12):
        make_port(api, network["id"], **FREE | {"project_id": f"q{number:02}"})
    refused(share(api, network, False), 409, "InvalidSharedSetting", "q00, q01, ", "q09 and 2 more.")


def waits(world: World) -> bool:
    """Whether a transaction waits for another one's rows."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with world.engine.connect() as connection:
        return connection.scalar(text(waiting)) is not None


@pytest.mark.parametrize("database", [pytest.param(POSTGRESQL, marks=pytest.mark.postgresql)])
def test_a_guest_comes_before_a_network_is_taken_away_or_not_at_all(world: World) -> None:
    """On SQLite one transaction at a time writes."""
    network = world.network()
    guest = Identity("alice", frozenset({Role.MEMBER}), "demo")

    def arrives() -> None:
        CALLER.set(guest)
        with world.service.write() as work:
            networks.network(work, network.id, hold=True)

    with ThreadPoolExecutor(1) as aside:
        with world.service.write() as work:
            networks.update_network(work, networks.own_network(work, network.id), shared=True)
        aside.submit(arrives).result()
        with world.service.write() as work:
            networks.update_network(work, networks.own_network(work, network.id), shared=False)
            late = aside.submit(arrives)
            while not waits(world):
                assert not late.done(), "it waits for what is decided"
        with pytest.raises(NetworkNotFound):
            late.result()
