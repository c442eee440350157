"""The REST interface as the tests beside this file use it, and how its answers are checked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from kedge.network.api import install_error_handlers, network_router

from .network_world import World

NOBODY = "11111111-2222-3333-4444-555555555555"
SERVER = "5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0001"


@contextmanager
def rest(world: World) -> Iterator[TestClient]:
    """A client whose paths begin below `/network/v2.0/`."""
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(network_router(world.service))
    with TestClient(app, base_url="http://testserver/network/v2.0/", raise_server_exceptions=False) as client:
        yield client


def make_network(api: TestClient, vlan: int = 100, **changes: Any) -> Any:
    body = {
        "name": f"net-{vlan}",
        "project_id": "p1",
        "provider:network_type": "vlan",
        "provider:physical_network": "physnet1",
        "provider:segmentation_id": vlan,
    }
    return ok(api.post("networks", json={"network": body | changes}), 201)["network"]


def make_subnet(api: TestClient, network_id: str, cidr: str = "10.100.0.0/16", **changes: Any) -> Any:
    body = {"network_id": network_id, "project_id": "p1", "cidr": cidr}
    return ok(api.post("subnets", json={"subnet": body | changes}), 201)["subnet"]


def make_port(api: TestClient, network_id: str, **changes: Any) -> Any:
    body = {"network_id": network_id, "project_id": "p1", "device_id": "vm-a", "device_owner": "compute:nova"}
    return ok(api.post("ports", json={"port": {**body, "binding:host_id": "h4", **changes}}), 201)["port"]


def ok(response: Any, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json() if response.content else None


def refused(response: Any, status: int, kind: str, *message: str) -> None:
    assert response.status_code == status, response.text
    body = response.json()
    assert list(body) == ["NeutronError"]
    error = body["NeutronError"]
    assert list(error) == ["type", "message", "detail"]
    assert error["type"] == kind
    for part in message:
        assert part in error["message"]


def hosts(api: TestClient, port_id: str) -> dict[str, str]:
    """Where a port is bound, and how."""
    return {each["host"]: each["status"] for each in ok(api.get(f"ports/{port_id}/bindings"))["bindings"]}
