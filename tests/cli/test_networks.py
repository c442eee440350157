"""kedge networks, ports and bindings."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cli_world import Kedge, make_cli


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Kedge]:
    with make_cli(tmp_path) as made:
        yield made


def test_networks_are_made_shown_listed_and_deleted(cli: Kedge) -> None:
    assert "no network yet" in cli("networks", "list").out
    made = cli.json("networks", "create", "blue", "--physical-network", "physnet1", "--vlan", "100")
    assert made["provider:segmentation_id"] == 100
    said = cli("networks", "create", "red", "--physical-network", "physnet1", "--mtu", "9000").out
    assert "flat" in said and "9000" in said
    assert made["shared"] is False and re.search(r"shared +no", said)
    assert [each["name"] for each in cli.json("networks", "list")] == ["blue", "red"]
    listed = cli("networks", "list").out
    assert "VLAN 100" in listed and made["id"] in listed
    assert cli.json("networks", "show", made["id"]) == cli.json("networks", "show", "blue") == made
    assert "VLAN 100" in cli("networks", "show", made["id"][:8]).out
    assert "blue is deleted" in cli("networks", "delete", "blue").out
    red = cli.json("networks", "list")[0]["id"]
    assert cli.json("networks", "delete", "red") == {"deleted": red}
    assert cli.json("networks", "list") == []


def test_a_network_is_shared(cli: Kedge) -> None:
    said = cli("networks", "create", "blue", "--physical-network", "physnet1", "--shared").out
    assert re.search(r"shared +yes", said)
    assert cli.json("networks", "show", "blue")["shared"] is True


def test_a_network_gets_its_subnet_or_is_not_made(cli: Kedge) -> None:
    made = cli.json(
        "networks", "create", "blue", "--physical-network", "physnet1", "--subnet", "198.51.100.0/24"
    )
    assert len(made["subnets"]) == 1
    assert "198.51.100.0/24" in cli("networks", "show", "blue").out
    assert "198.51.100.0/24" in cli("networks", "list").out
    wrong = ("networks", "create", "red", "--physical-network", "physnet2", "--subnet", "nonsense")
    assert "nonsense" in cli(*wrong, exits=2).err
    assert [each["name"] for each in cli.json("networks", "list")] == ["blue"]


def test_networks_that_cannot_be(cli: Kedge) -> None:
    cli.network("blue", "--vlan", "100")
    create = ("networks", "create", "x", "--physical-network", "physnet1")
    assert "VLAN 100" in cli(*create, "--vlan", "100", exits=3).err
    assert "4094" in cli(*create, "--vlan", "5000", exits=2).err
    assert "MTU 1" in cli(*create, "--mtu", "1", exits=2).err
    assert "Known networks: blue" in cli("networks", "show", "green", exits=4).err
    assert "neither" in cli("networks", "show", "", exits=2).err
    cli("networks", "create", "x", exits=2)
    cli("networks", "create", "x", "--physical-network", "p", "--vlan", "many", exits=2)
    cli("networks", "delete", "green", exits=4)
    cli("ports", "create", "--network", "blue")
    assert "has 1 port" in cli("networks", "delete", "blue", exits=3).err


def test_a_name_that_two_networks_have_needs_an_id(cli: Kedge) -> None:
    first = cli.network("blue", "--vlan", "1")
    second = cli.network("blue", "--vlan", "2")
    error = cli("networks", "show", "blue", exits=2).err
    assert first["id"] in error and second["id"] in error
    assert cli.json("networks", "show", second["id"]) == second


def test_ports_are_made_shown_listed_and_deleted(cli: Kedge) -> None:
    assert "There is no port." in cli("ports", "list").out
    cli.network("blue", "--subnet", "198.51.100.0/24")
    create = ("ports", "create", "--network", "blue")
    made = cli.json(*create, "--mac", "52:54:00:00:00:01", "--ip", "198.51.100.7", "--name", "eth0")
    assert made["mac_address"] == "52:54:00:00:00:01"
    assert [each["ip_address"] for each in made["fixed_ips"]] == ["198.51.100.7"]
    assert "198.51.100.7" in cli("ports", "show", "eth0").out
    assert "unbound" in cli(*create).out
    assert len(cli.json("ports", "list")) == 2
    listed = cli("ports", "list").out
    assert "blue" in listed and made["id"][:8] in listed
    assert cli.json("ports", "show", made["id"]) == cli.json("ports", "show", made["id"][:13]) == made
    assert made["id"] in cli("ports", "delete", "eth0").out
    rest = cli.json("ports", "list")[0]["id"]
    assert cli.json("ports", "delete", rest) == {"deleted": rest}


def test_ports_of_a_server(cli: Kedge) -> None:
    server = cli.server()
    cli("ports", "create", "--network", "blue")
    assert [each["device_id"] for each in cli.json("ports", "list", "--server", "vm1")] == [server["id"]]
    listed = cli("ports", "list", "--server", server["id"]).out
    assert "vm1" in listed and "macvtap eth1" in listed
    assert "running server" in cli("ports", "delete", cli.json("ports", "list")[0]["id"], exits=3).err
    cli("ports", "list", "--server", "vm2", exits=4)


def test_ports_that_cannot_be(cli: Kedge) -> None:
    cli.network("blue", "--subnet", "198.51.100.0/24")
    create = ("ports", "create", "--network")
    cli(*create, "green", exits=4)
    assert "not a valid IP" in cli(*create, "blue", "--ip", "203.0.113.1", exits=2).err
    assert "MAC" in cli(*create, "blue", "--mac", "nonsense", exits=2).err
    cli(*create, "blue", "--mac", "52:54:00:00:00:01")
    assert "in use" in cli(*create, "blue", "--mac", "52:54:00:00:00:01", exits=3).err
    cli("ports", "show", "nothing", exits=4)
    cli("ports", "delete", "nothing", exits=4)


def test_bindings_are_made_switched_and_deleted(cli: Kedge) -> None:
    cli.network()
    port = cli.json("ports", "create", "--network", "blue")["id"]
    assert "bound on no host" in cli("bindings", "list", port).out
    first = cli.json("bindings", "create", port, "h1")
    assert (first["status"], first["vif_type"]) == ("INACTIVE", "macvtap")
    assert cli.json("bindings", "activate", port, "h1")["status"] == "ACTIVE"
    second = cli("bindings", "create", port[:8], "h4").out
    assert "INACTIVE" in second and "ovs_hybrid_plug" in second
    assert [each["host"] for each in cli.json("bindings", "list", port)] == ["h1", "h4"]
    assert "ovs (hybrid) br-int" in cli("bindings", "list", port).out
    assert "INACTIVE" in cli("bindings", "show", port, "h4").out
    assert cli.json("bindings", "activate", port, "h4")["status"] == "ACTIVE"
    assert cli.json("bindings", "show", port, "h1")["status"] == "INACTIVE"
    assert "ACTIVE" in cli("bindings", "activate", port, "h1").out
    assert "no longer bound on h4" in cli("bindings", "delete", port, "h4").out
    assert cli.json("bindings", "delete", port, "h1") == {"deleted": "h1"}


def test_bindings_that_cannot_be(cli: Kedge) -> None:
    cli.network()
    port = cli.json("ports", "create", "--network", "blue")["id"]
    refused = cli("bindings", "create", port, "h6", exits=3).err
    assert "physnet1" in refused and "h6" in refused
    assert "h9" in cli("bindings", "create", port, "h9", exits=3).err
    cli("bindings", "create", port, "h1")
    cli("bindings", "activate", port, "h1")
    assert "already exists" in cli("bindings", "create", port, "h1", exits=3).err
    assert "already active" in cli("bindings", "activate", port, "h1", exits=3).err
    cli("bindings", "show", port, "h2", exits=4)
    cli("bindings", "activate", port, "h2", exits=4)
    cli("bindings", "delete", port, "h2", exits=4)
    cli("bindings", "list", "nothing", exits=4)
    cli("bindings", "show", port, "..", exits=2)
    cli("bindings", "show", port, exits=2)


def test_the_binding_of_a_running_server_stays(cli: Kedge) -> None:
    cli.server()
    port = cli.json("ports", "list")[0]["id"]
    assert "running server" in cli("bindings", "delete", port, "h1", exits=3).err
