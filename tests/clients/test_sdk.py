"""openstacksdk, as it comes from the package registry, binds and moves ports.

It runs as a process of its own, as its users' programs do: its own warnings are not ours to fail on.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from .conftest import PASSWORDS, Started

_BEGINNING = """
import json, sys, warnings
warnings.simplefilter("ignore")
import openstack
from openstack.exceptions import SDKException
network = openstack.connect(load_yaml_config=False, **json.loads(sys.argv[1])).network
told = {}

def refused(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except SDKException as error:
        return [type(error).__name__, str(error)]
    raise AssertionError("it was not refused")
"""


def run(script: str, home: Path, **credentials: Any) -> Any:
    """What a program says of itself in `told`."""
    program = f"{_BEGINNING}{script}\nprint(json.dumps(told))\n"
    said = subprocess.run(
        [sys.executable, "-c", program, json.dumps(credentials)],
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
    )
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


_BINDINGS = """
made = network.create_network(
    name="sdk", provider_network_type="vlan", provider_physical_network="physnet1", provider_segmentation_id=7
)
port = network.create_port(
    network_id=made.id, device_id="5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0009", device_owner="compute:nova",
    binding_host_id="h1",
)
told["port"] = port.id

def bindings():
    return [[each.host, each.status, each.vif_type] for each in network.port_bindings(port)]

new = network.create_port_binding(port, host="h3", profile={"a": "b"})
told["new"] = [new.host, new.status, new.vif_type, new.profile]
told["ahead"] = bindings()
told["again"] = refused(network.create_port_binding, port, host="h3")
told["nowhere"] = refused(network.create_port_binding, port, host="nowhere")
risen = network.activate_port_binding(port, host="h3")
told["risen"] = [risen.host, risen.status]
told["after"] = bindings()
told["twice"] = refused(network.activate_port_binding, port, host="h3")
told["now on"] = network.get_port(port.id).binding_host_id
network.delete_port_binding(port, host="h1")
told["settled"] = bindings()
told["gone"] = refused(network.delete_port_binding, port, host="h1", ignore_missing=False)
"""


def test_port_bindings(kedge: Started) -> None:
    told = run(_BINDINGS, kedge.home, auth_type="none", endpoint=kedge.endpoint)
    port = told["port"]
    assert told["new"] == ["h3", "INACTIVE", "ovs", {"a": "b"}]
    assert told["ahead"] == [["h1", "ACTIVE", "macvtap"], ["h3", "INACTIVE", "ovs"]]
    assert told["again"][0] == "ConflictException"
    assert f"Binding for port {port} on host h3 already exists." in told["again"][1]
    assert told["nowhere"][0] == "HttpException"
    assert "No agent has reported from host 'nowhere'" in told["nowhere"][1]
    assert told["risen"] == ["h3", "ACTIVE"]
    assert told["after"] == [["h1", "INACTIVE", "macvtap"], ["h3", "ACTIVE", "ovs"]]
    assert f"Binding for port {port} on host h3 is already active." in told["twice"][1]
    assert told["now on"] == "h3"
    assert told["settled"] == [["h3", "ACTIVE", "ovs"]]
    assert told["gone"] == ["NotFoundException", f"No binding for port {port} on host h1"]


_EVERYDAY = """
made = network.create_network(
    name="n", provider_network_type="vlan", provider_physical_network="physnet1", provider_segmentation_id=8
)
subnet = network.create_subnet(network_id=made.id, cidr="10.8.0.0/24", ip_version=4)
told["found"] = network.find_network("n").id == made.id
told["subnet"] = [subnet.gateway_ip, [dict(pool) for pool in subnet.allocation_pools]]
ports = list(network.create_ports([{"network_id": made.id, "name": f"p{number}"} for number in range(5)]))
told["bulk"] = sorted(port.fixed_ips[0]["ip_address"] for port in ports)
told["pages"] = [port.name for port in network.ports(limit=2, network_id=made.id)]
told["filter"] = [port.name for port in network.ports(fixed_ips="ip_address=10.8.0.3")]
told["sorted"] = [port.name for port in network.ports(network_id=made.id, sort_key="name", sort_dir="desc")]
port = network.update_port(ports[0], name="renamed", description="d")
told["renamed"] = [port.name, port.description, port.revision_number > ports[1].revision_number]
told["stale"] = refused(network.update_port, port.id, if_revision=0, name="x")
network.set_tags(port, ["a", "b"])
told["tags"] = [network.get_port(port.id).tags, [each.id for each in network.ports(tags="a")] == [port.id]]
told["agents"] = [[agent.host, agent.is_alive] for agent in network.agents(host="h2")]
told["unknown"] = refused(network.get_port, "nothing")
told["malformed"] = refused(network.create_port, network_id="x")
for each in ports:
    network.delete_port(each)
network.delete_subnet(subnet)
network.delete_network(made)
told["over"] = network.find_network("n") is None
"""


def test_everyday_work(kedge: Started) -> None:
    told = run(_EVERYDAY, kedge.home, auth_type="none", endpoint=kedge.endpoint)
    assert told["found"] and told["over"]
    assert told["subnet"] == ["10.8.0.1", [{"start": "10.8.0.2", "end": "10.8.0.254"}]]
    assert told["bulk"] == [f"10.8.0.{last}" for last in range(2, 7)]
    assert told["pages"] == [f"p{number}" for number in range(5)]
    assert len(told["filter"]) == 1
    assert told["sorted"] == [f"p{number}" for number in range(4, -1, -1)]
    assert told["renamed"] == ["renamed", "d", True]
    assert told["stale"][0] == "PreconditionFailedException"
    assert told["tags"] == [["a", "b"], True]
    assert told["agents"] == [["h2", True]]
    assert told["unknown"][0] == "NotFoundException"
    assert "Port nothing could not be found." in told["unknown"][1]
    assert told["malformed"][0] == "BadRequestException"
    assert "network_id" in told["malformed"][1]


def as_user(guarded: Started, user: str, script: str) -> Any:
    auth = {"username": user, "password": PASSWORDS[user], "endpoint": guarded.endpoint}
    return run(script, guarded.home, auth_type="http_basic", auth=auth)


_PREPARE = """
def make(segment, project):
    return network.create_network(
        provider_network_type="vlan", provider_physical_network="physnet1", provider_segmentation_id=segment,
        project_id=project,
    )

told["own"], told["other"] = make(21, "demo").id, make(22, "other").id
port = network.create_port(
    network_id=told["own"], project_id="demo", device_owner="compute:nova", binding_host_id="h1"
)
told["foreign"] = network.create_port(network_id=told["other"], project_id="other").id
told["bound"] = port.id
"""

_AS_MEMBER = """
told["networks"] = [each.id for each in network.networks()]
mine = network.create_port(network_id=OWN, name="mine")
told["mine"] = [mine.project_id, mine.name]
told["ports"] = sorted(each.id for each in network.ports()) == sorted([mine.id, BOUND])
told["foreign"] = refused(network.get_port, FOREIGN)
told["theft"] = refused(network.create_port, network_id=OTHER)
told["host"] = refused(network.update_port, mine.id, binding_host_id="h2")
told["binding"] = refused(network.create_port_binding, BOUND, host="h2")
told["provider"] = refused(network.create_network, provider_network_type="flat", provider_physical_network="p")
told["agents"] = refused(lambda: list(network.agents()))
network.delete_port(mine)
"""

_AS_NOVA = """
told["new"] = network.create_port_binding(BOUND, host="h2").status
told["risen"] = network.activate_port_binding(BOUND, host="h2").status
told["networks"] = refused(network.delete_network, OWN)
"""


def test_users_and_what_they_may(guarded: Started) -> None:
    made = as_user(guarded, "root", _PREPARE)
    names = "".join(f"{name.upper()} = {value!r}\n" for name, value in made.items())
    told = as_user(guarded, "alice", names + _AS_MEMBER)
    assert told["networks"] == [made["own"]]
    assert told["mine"] == ["demo", "mine"] and told["ports"] is True
    assert told["foreign"][0] == "NotFoundException"
    assert f"Port {made['foreign']} could not be found." in told["foreign"][1]
    assert f"Network {made['other']} could not be found." in told["theft"][1]
    assert {each[0] for name, each in told.items() if name in ("host", "binding", "provider", "agents")} == {
        "ForbiddenException"
    }
    assert "(rule:update_port and rule:update_port:binding:host_id)" in told["host"][1]
    assert "rule:create_port_binding is disallowed by policy" in told["binding"][1]
    told = as_user(guarded, "nova", names + _AS_NOVA)
    assert (told["new"], told["risen"], told["networks"][0]) == ("INACTIVE", "ACTIVE", "ForbiddenException")
