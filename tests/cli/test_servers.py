"""kedge server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kedge.cli.nics import parse_nic
from kedge.model.errors import BadRequest

from .cli_world import BOOT, Kedge, make_cli

DOMAIN = """<domain type='qemu'>
  <name>old</name><uuid>5a1e0000-0000-4000-8000-000000000001</uuid><memory unit='MiB'>64</memory>
  <os><type arch='x86_64'>hvm</type></os>
  <devices><interface type='direct'>
    <mac address='52:54:00:00:00:09'/><source dev='{device}' mode='bridge'/><model type='virtio'/>
  </interface></devices>
</domain>"""


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Kedge]:
    with make_cli(tmp_path) as made:
        yield made


def test_servers_are_made_shown_listed_and_deleted(cli: Kedge) -> None:
    assert "There is no server" in cli("server", "list").out
    cli.network("blue", "--subnet", "198.51.100.0/24")
    nic = "network=blue,ip=198.51.100.7,mac=52:54:00:00:00:01"
    made = cli.json("server", "create", "vm1", "--host", "h1", *BOOT, "--nic", nic)
    assert (made["name"], made["host"], made["status"]) == ("vm1", "h1", "ACTIVE")
    shown = cli.json("server", "show", "vm1")
    assert shown["ports"][0]["mac_address"] == "52:54:00:00:00:01"
    assert shown["ports"][0]["bindings"][0]["host"] == "h1"
    assert cli.json("server", "list") == [made]
    assert made["id"] in cli("server", "list").out
    for word in ("198.51.100.7", "52:54:00:00:00:01", "blue", "macvtap eth1", "ACTIVE"):
        assert word in cli("server", "show", made["id"]).out
    assert "vm1 and its 1 port(s) are deleted" in cli("server", "delete", "vm1").out
    assert cli.fleet.domains["h1"] == {} and cli.fleet.vifs["h1"] == set()
    second = cli.server("vm2")
    assert cli.json("server", "delete", "vm2") == {"deleted": second["id"]}


def test_every_option_reaches_the_domain(cli: Kedge) -> None:
    cli.network()
    port = cli.json("ports", "create", "--network", "blue", "--mac", "52:54:00:00:00:02", "--name", "eth0")
    said = cli(
        *("server", "create", "vm1", "--host", "h3", "--kernel", "/k", "--initrd", "/i", "--cmdline", "a b"),
        *("--disk", "/d1.qcow2", "--disk", "/d2.raw", "--memory", "96", "--vcpus", "2", "--type", "qemu"),
        *("--cpu", "Nehalem", "--serial-log", "/log"),
        *("--nic", "port=eth0,queues=2,offloads=off", "--nic", "network=blue,mac=52:54:00:00:00:03"),
    ).out
    assert port["id"][:8] in said
    (xml,) = cli.fleet.domains["h3"].values()
    for part in (
        "<kernel>/k</kernel>",
        "<initrd>/i</initrd>",
        "<cmdline>a b</cmdline>",
        "/d1.qcow2",
        "/d2.raw",
        ">96</memory>",
        "<vcpu>2</vcpu>",
        "type='qemu'",
        "Nehalem",
        "path='/log'",
        "52:54:00:00:00:02",
        "queues='2'",
        "csum='off'",
        "52:54:00:00:00:03",
    ):
        assert part in xml.replace('"', "'"), part


def test_a_server_from_its_domain_xml(cli: Kedge, tmp_path: Path) -> None:
    cli.network()
    file = tmp_path / "vm.xml"
    file.write_text(DOMAIN.format(device="eth7"))
    create = ("server", "create", "vm1", "--host", "h1", "--nic", "network=blue,mac=52:54:00:00:00:09")
    assert "leave out" in cli(*create, "--xml", str(file), "--memory", "64", exits=2).err
    assert "can't be read" in cli(*create, "--xml", str(tmp_path / "none.xml"), exits=2).err
    file.write_bytes(b"\xff\xfe\x00")
    assert "can't be read" in cli(*create, "--xml", str(file), exits=2).err
    file.write_text("<domain")
    assert "XML" in cli(*create, "--xml", str(file), exits=2).err
    file.write_text(DOMAIN.format(device="eth7"))
    made = cli.json(*create, "--xml", str(file))
    assert made["id"] == "5a1e0000-0000-4000-8000-000000000001"
    assert "eth7" not in cli.fleet.domains["h1"][made["id"]]
    assert "<target dev='tap" in cli.fleet.domains["h1"][made["id"]]


def test_servers_that_cannot_be_leave_nothing(cli: Kedge) -> None:
    cli.network()
    create = ("server", "create", "vm1", "--nic", "network=blue")
    cli(*create, *BOOT, exits=2)
    cli("server", "create", "vm1", "--host", "h1", *BOOT, exits=2)
    assert "h9" in cli(*create, *BOOT, "--host", "h9", exits=4).err
    assert "nothing to boot" in cli(*create, "--host", "h1", exits=2).err
    assert "physnet1" in cli(*create, *BOOT, "--host", "h6", exits=3).err
    assert "/broken" in cli(*create, "--host", "h1", "--kernel", "/broken", exits=1).err
    assert "dead" in cli(*create, *BOOT, "--host", "dead", exits=1).err
    cli(*create, *BOOT, "--host", "h1", "--type", "xen", exits=2)
    cli(*create, *BOOT, "--host", "h1", "--vcpus", "0", exits=2)
    assert (
        "green" in cli("server", "create", "x", "--host", "h1", *BOOT, "--nic", "network=green", exits=4).err
    )
    assert "none" in cli("server", "create", "x", "--host", "h1", *BOOT, "--nic", "port=none", exits=4).err
    assert "--nic lan" in cli("server", "create", "x", "--host", "h1", *BOOT, "--nic", "lan", exits=2).err
    assert cli.json("server", "list") == cli.json("ports", "list") == []
    assert not any(cli.fleet.domains.values()) and not any(cli.fleet.vifs.values())


def test_names_and_ports_are_taken_once(cli: Kedge) -> None:
    cli.server()
    port = cli.json("ports", "list")[0]["id"]
    assert (
        "already"
        in cli("server", "create", "vm1", "--host", "h2", *BOOT, "--nic", "network=blue", exits=3).err
    )
    assert (
        "already"
        in cli("server", "create", "vm2", "--host", "h2", *BOOT, "--nic", f"port={port}", exits=3).err
    )


def test_adopting_a_domain(cli: Kedge) -> None:
    uuid = "5a1e0000-0000-4000-8000-000000000001"
    cli.fleet.domains["h1"][uuid] = DOMAIN.format(device="eth1.100")
    adopted = cli.json("server", "adopt", "h1", "dom-5a1e")
    assert adopted["server"]["id"] == uuid
    assert adopted["ports"][0]["mac_address"] == "52:54:00:00:00:09"
    assert cli.json("networks", "list")[0]["provider:segmentation_id"] == 100
    cli.fleet.domains["h2"][uuid.replace("5a1e", "5a1f", 1)] = DOMAIN.format(device="ens5").replace(
        "5a1e", "5a1f"
    )
    said = cli("server", "adopt", "h2", uuid.replace("5a1e", "5a1f", 1)).out
    assert "nothing on h2 was touched" in said and "macvtap ens5" in said


def test_domains_that_cannot_be_adopted(cli: Kedge) -> None:
    cli.fleet.domains["h1"]["5a1e0000-0000-4000-8000-000000000001"] = DOMAIN.format(device="eth9")
    assert "dom-5a1e" in cli("server", "adopt", "h1", "other", exits=4).err
    assert "eth9" in cli("server", "adopt", "h1", "dom-5a1e", exits=2).err
    assert "h9" in cli("server", "adopt", "h9", "dom-5a1e", exits=4).err
    assert "dead" in cli("server", "adopt", "dead", "dom-5a1e", exits=1).err


@pytest.mark.parametrize("command", ["show", "delete"])
def test_unknown_servers(cli: Kedge, command: str) -> None:
    assert "'vm9'" in cli("server", command, "vm9", exits=4).err
    cli("server", command, "", exits=2)
    cli("server", command, exits=2)


@pytest.mark.parametrize(
    ("text", "nic"),
    [
        ("network=blue", {"network": "blue"}),
        ("port=p1,queues=2,offloads=off", {"port": "p1", "queues": 2, "offloads": False}),
        (
            "network=blue, ip=fd00::7, mac=52:54:00:00:00:01, offloads=on",
            {
                "network": "blue",
                "ip_address": "fd00::7",
                "mac_address": "52:54:00:00:00:01",
                "offloads": True,
            },
        ),
    ],
)
def test_nics(text: str, nic: dict[str, object]) -> None:
    assert parse_nic(text) == nic
    assert json.dumps(nic)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "key=value"),
        ("blue", "key=value"),
        ("network=", "key=value"),
        ("network=blue,", "key=value"),
        ("net=blue", "'net' is not known"),
        ("network=blue,network=red", "twice"),
        ("network=blue,port=p1", "not both"),
        ("queues=2", "needs a network or a port"),
        ("port=p1,ip=198.51.100.7", "its own ip"),
        ("network=blue,queues=two", "queues 'two'"),
        ("network=blue,queues=0", "queues '0'"),
        ("network=blue,offloads=no", "neither on nor off"),
    ],
)
def test_bad_nics_say_what_is_wrong_and_what_is_right(text: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why) as raised:
        parse_nic(text)
    assert "network=NAME" in str(raised.value)
