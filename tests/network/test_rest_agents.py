"""Agents over REST: an administrator takes one out of use."""

from typing import Any

from fastapi.testclient import TestClient

from .network_world import World
from .rest_world import NOBODY, hosts, make_port, ok, refused


def agent_of(api: TestClient, host: str) -> Any:
    (agent,) = ok(api.get("agents", params={"host": host}))["agents"]
    return agent


def test_agents_are_listed_and_forgotten(api: TestClient, world: World) -> None:
    listed = {each["host"]: each for each in ok(api.get("agents"))["agents"]}
    assert set(listed) == {"h1", "h2", "h3", "h4", "h5", "h6"}
    one = listed["h4"]
    assert (one["agent_type"], one["binary"]) == ("Open vSwitch agent", "neutron-openvswitch-agent")
    assert one["configurations"]["bridge_mappings"] == {"physnet1": "br-physnet1"}
    assert one["configurations"]["ovs_hybrid_plug"] is True
    assert one["heartbeat_timestamp"] == "2026-11-23 12:00:00"
    assert listed["h2"]["configurations"] == {"interface_mappings": {"physnet1": "ens5"}}
    macvtaps = ok(api.get("agents", params={"agent_type": "Macvtap agent", "fields": "host"}))["agents"]
    assert macvtaps == [{"host": "h1"}, {"host": "h2"}]
    world.pass_time(20)
    world.report("h4")
    assert [each["host"] for each in ok(api.get("agents", params={"alive": "True"}))["agents"]] == ["h4"]
    shown = ok(api.get(f"agents/{one['id']}"))["agent"]
    assert shown == one | {"heartbeat_timestamp": "2026-11-23 12:00:20"}, "its id stays"
    ok(api.delete(f"agents/{one['id']}"), 204)
    refused(api.get(f"agents/{one['id']}"), 404, "AgentNotFound")
    world.report("h4")
    assert len(ok(api.get("agents", params={"host": "h4"}))["agents"]) == 1


def test_an_agent_is_changed(api: TestClient, world: World) -> None:
    agent = agent_of(api, "h1")
    path = f"agents/{agent['id']}"
    body = {"admin_state_up": False, "description": "to be repaired"}
    assert ok(api.put(path, json={"agent": body}))["agent"] == agent | body
    world.report("h1")
    assert agent_of(api, "h1") == agent | body, "it stays so when the agent reports"
    assert [each["host"] for each in ok(api.get("agents", params={"admin_state_up": "False"}))["agents"]] == [
        "h1"
    ]
    assert ok(api.put(path, json={"agent": {"description": None}}))["agent"]["description"] is None
    assert agent_of(api, "h1")["admin_state_up"] is False
    message = "Cannot update read-only attribute host"
    refused(api.put(path, json={"agent": {"host": "h2"}}), 400, "HTTPBadRequest", message)
    refused(api.put(path, json={"agent": {"colour": "red"}}), 400, "HTTPBadRequest", "'colour'")
    refused(api.put(f"agents/{NOBODY}", json={"agent": {}}), 404, "AgentNotFound", NOBODY)


def test_nothing_new_is_bound_by_an_agent_out_of_use(api: TestClient, port: dict[str, Any]) -> None:
    path = f"ports/{port['id']}/bindings"
    ok(api.post(path, json={"binding": {"host": "h1"}}), 201)
    for host in ("h1", "h2"):
        ok(api.put(f"agents/{agent_of(api, host)['id']}", json={"agent": {"admin_state_up": False}}))
    reason = "macvtap: its agent is out of use (admin_state_up is false)"
    refused(api.post(path, json={"binding": {"host": "h2"}}), 500, "PortBindingError", reason)
    refused(api.get(f"{path}/h2/preview"), 409, "PortBindingError", reason)
    assert ok(api.put(f"{path}/h1/activate"))["vif_type"] == "macvtap", "what is bound there stays in use"
    failed = make_port(api, port["network_id"], **{"binding:host_id": "h2"})
    assert failed["binding:vif_type"] == "binding_failed"
    ok(api.put(f"agents/{agent_of(api, 'h2')['id']}", json={"agent": {"admin_state_up": True}}))
    ok(api.post(path, json={"binding": {"host": "h2"}}), 201)
    assert hosts(api, port["id"]) == {"h1": "ACTIVE", "h2": "INACTIVE", "h4": "INACTIVE"}
