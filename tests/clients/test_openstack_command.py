"""The `openstack` command, as it comes from the package registry, does what people do with it."""

import pytest

from .conftest import Openstack, Started

SERVER = "5c4f0a52-0a3d-4a8e-9a3e-0e3b7a3f0001"
VLAN = ("--provider-network-type", "vlan", "--provider-physical-network", "physnet1", "--provider-segment")


@pytest.fixture(scope="module")
def openstack(kedge: Started) -> Openstack:
    return kedge.openstack()


def test_networks_subnets_and_ports(openstack: Openstack) -> None:
    blue = openstack("network", "create", "blue", *VLAN, "100", "--description", "d", "--tag", "fast")
    assert (blue["name"], blue["provider:segmentation_id"], blue["mtu"]) == ("blue", 100, 1500)
    assert [(each["Name"], each["Network Type"]) for each in openstack("network", "list", "--long")] == [
        ("blue", "vlan")
    ]
    options = ("--network", "blue", "--subnet-range", "10.1.0.0/24", "--no-dhcp")
    v4 = openstack("subnet", "create", "v4", *options)
    assert (v4["gateway_ip"], v4["network_id"]) == ("10.1.0.1", blue["id"])

    owner = ("--device", SERVER, "--device-owner", "compute:nova")
    port = openstack("port", "create", "--network", "blue", "--host", "h1", *owner, "p1")
    assert port["binding_vif_type"] == "macvtap"
    assert port["binding_vif_details"]["macvtap_source"] == "eth1.100"
    assert [each["ip_address"] for each in port["fixed_ips"]] == ["10.1.0.2"]
    found = openstack("port", "list", "--device-id", SERVER, "--network", "blue", "--host", "h1")
    assert [each["ID"] for each in found] == [port["id"]]
    assert openstack("port", "list", "--host", "h2") == []
    assert [each["Name"] for each in openstack("port", "list", "--fixed-ip", "ip-address=10.1.0.2")] == ["p1"]

    openstack.silently("port", "set", "--name", "p2", "--host", "h3", "--binding-profile", "a=b", "p1")
    moved = openstack("port", "show", "p2")
    assert (moved["binding_host_id"], moved["binding_vif_type"]) == ("h3", "ovs")
    assert moved["binding_profile"] == {"a": "b"}
    openstack.silently("port", "unset", "--device", "--host", "--binding-profile", "a", "p2")
    freed = openstack(
        "port", "show", "p2", "-c", "binding_host_id", "-c", "device_id", "-c", "binding_profile"
    )
    assert freed == {"binding_host_id": "", "device_id": "", "binding_profile": {}}

    said = openstack.fails("network", "delete", "blue")
    assert "Failed to delete network with name or ID 'blue'" in said
    assert f"Network {blue['id']} has 1 port(s); delete them first: " in said
    for kind, name in (("port", "p2"), ("subnet", "v4"), ("network", "blue")):
        openstack.silently(kind, "delete", name)


def test_agents_and_extensions(openstack: Openstack) -> None:
    agents = openstack("network", "agent", "list", "--host", "h1")
    assert [(each["Agent Type"], each["Alive"], each["State"]) for each in agents] == [
        ("Macvtap agent", True, True)
    ]
    openstack.silently("network", "agent", "set", "--disable", agents[0]["ID"])
    shown = openstack("network", "agent", "show", agents[0]["ID"])
    assert (shown["admin_state_up"], shown["host"]) == (False, "h1")
    aliases = {each["Alias"] for each in openstack("extension", "list", "--network")}
    assert {"agent", "binding", "binding-extended", "provider", "net-mtu", "binding-preview"} <= aliases


def test_errors_as_a_person_sees_them(openstack: Openstack) -> None:
    assert openstack.fails("port", "show", "nothing") == "No Port found for nothing\n"
    said = openstack.fails("network", "create", "x", *VLAN, "5000")
    assert "BadRequestException: 400" in said and "segmentation_id" in said
    assert "which has no security groups" in openstack.fails("security", "group", "list")
    green = openstack("network", "create", "green")
    assert green["provider:segmentation_id"] == 101, "the first of the configured range"
    said = openstack.fails("port", "create", "--network", "green", "--fixed-ip", "ip-address=1.2.3.4", "p")
    assert "IP address 1.2.3.4 is not a valid IP for any of the subnets" in said
    openstack("network", "create", "one", *VLAN, "102")
    assert "VLAN 102 on physical network physnet1" in openstack.fails(
        "network", "create", "two", *VLAN, "102"
    )


def test_a_kedge_that_asks_who_calls(guarded: Started) -> None:
    root = guarded.openstack("root")
    root("network", "create", "blue", *VLAN, "100")
    assert [each["Name"] for each in root("network", "list")] == ["blue"]
    assert guarded.openstack("alice")("network", "list") == [], "blue is not her project's"
    said = guarded.openstack("audit").fails("network", "delete", "blue")
    assert "rule:delete_network is disallowed by policy" in said
    assert "it needs the role admin or member; audit has reader" in said
    assert "Incorrect username or password" in guarded.openstack("root", "wrong").fails("network", "list")
    said = guarded.openstack().fails("network", "list")
    assert "401: " in said and "The request you have made requires authentication." in said
