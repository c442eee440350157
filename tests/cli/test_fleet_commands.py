"""Labels, disabled hosts, limits, and what a plan without a host says of all hosts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .cli_world import BOOT, Kedge, make_cli


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Kedge]:
    with make_cli(tmp_path) as made:
        yield made


def create(cli: Kedge, name: str, host: str = "h1", exits: int = 0) -> str:
    return cli("server", "create", name, "--host", host, "--nic", "network=n1", *BOOT, exits=exits).err


@pytest.fixture
def vm(cli: Kedge) -> str:
    cli("networks", "create", "n1", "--physical-network", "physnet1")
    create(cli, "vm1")
    return "vm1"


def line_of(cli: Kedge, host: str) -> str:
    return next(line for line in cli("hosts").out.splitlines() if line.split()[:1] == [host])


def in_the_way(cli: Kedge, server: str, exits: int = 0) -> dict[str, list[str]]:
    found = cli.json("plan", server, exits=exits)
    return {each["host"]: [obstacle["code"] for obstacle in each["obstacle_details"]] for each in found}


def test_a_disabled_host_receives_nothing_and_keeps_what_it_has(cli: Kedge, vm: str) -> None:
    assert (
        "receives no server any more: new disks."
        in cli("hosts", "disable", "h2", "--reason", " new disks ").out
    )
    assert "no: new disks" in line_of(cli, "h2")
    assert in_the_way(cli, vm)["h2"] == ["host-disabled"]
    said = cli("migrate", vm, "--to", "h2", exits=3).err
    assert "destination h2: is disabled: new disks" in said and "kedge hosts enable h2" in said
    assert "can't be made there" in create(cli, "vm2", "h2", exits=3)
    assert cli.json("hosts", "disable", "h1", "--reason", "empty it")["disabled_reason"] == "empty it"
    assert cli.json("migrate", vm)["status"] == "completed"
    assert "receives servers" in cli("hosts", "enable", "h2").out
    assert in_the_way(cli, vm)["h2"] == []


def test_what_is_said_of_hosts_must_make_sense(cli: Kedge) -> None:
    assert "Say why h1 is disabled" in cli("hosts", "disable", "h1", "--reason", " ", exits=2).err
    assert "has 300 characters" in cli("hosts", "disable", "h1", "--reason", "x" * 300, exits=2).err
    cli("hosts", "disable", "h1", exits=2)
    for command in (("disable", "nowhere", "--reason", "x"), ("enable", "nowhere"), ("label", "nowhere", "a=b"),
                    ("limits", "nowhere"), ("limits", "nowhere", "--vcpus", "1")):  # fmt: skip
        assert "nowhere" in cli("hosts", *command, exits=4).err
    for option in (("--memory-overcommit", "0.5"), ("--memory-reserve", "-1"), ("--vcpus", "-1")):
        assert "give a number" in cli("hosts", "limits", "h1", *option, exits=2).err
    assert "no: " not in cli("hosts").out


def test_limits_are_shown_changed_and_kept_to(cli: Kedge, vm: str) -> None:
    assert "16 for each of its CPUs" in cli("hosts", "limits", "h2").out
    cli("hosts", "limits", "h2", "--vcpus", "1", "--memory-reserve", "512")
    shown = cli.json("hosts", "limits", "h2", "--memory-overcommit", "1.5")
    assert shown["limits"] == {
        "memory_overcommit": 1.5,
        "memory_reserve_mib": 512,
        "vcpu_overcommit": 16.0,
        "vcpus": 1,
    }
    cli("migrate", vm, "--to", "h2")
    assert "128 MiB, 1 CPUs to 1" in line_of(cli, "h2")
    create(cli, "vm2")
    assert in_the_way(cli, "vm2")["h2"] == ["vcpus-short"]
    said = cli("migrate", "vm2", "--to", "h2", exits=3).err
    assert "the VM has 1 virtual CPUs, and servers on h2 have 1 of the 1" in said
    assert cli.json("hosts", "limits", "h2", "--vcpus", "0")["limits"]["vcpus"] is None


def test_labels_of_hosts(cli: Kedge) -> None:
    assert cli("hosts", "label", "h1", "zone=a", "rack=r/1").out.split() == ["rack=r/1", "zone=a"]
    assert cli.json("hosts", "label", "h1", "zone=b", "rack-")["labels"] == {"zone": "b"}
    assert "zone=b" in line_of(cli, "h1")
    assert "has no label" in cli("hosts", "label", "h1", "zone-").out


REFUSED = {
    "is no label": ["zone"],
    "key is empty": ["=a"],
    "value of 'zone' is empty": ["zone="],
    "named twice": ["zone=a", "zone=b"],
    "64 characters": ["zone=" + "a" * 64],
    "not allowed": ["zo ne=a"],
    "33 labels are too many": [f"k{number}=v" for number in range(33)],
}


def test_labels_that_are_refused(cli: Kedge) -> None:
    for says, words in REFUSED.items():
        assert says in cli("hosts", "label", "h1", *words, exits=2).err
    assert not any(each["labels"] for each in cli.json("hosts"))


def test_groups_of_servers(cli: Kedge, vm: str) -> None:
    create(cli, "vm2", "h2")
    for server in (vm, "vm2"):
        cli("server", "label", server, "anti-affinity=web")
    assert "anti-affinity=web" in cli("server", "show", vm).out
    assert in_the_way(cli, vm)["h2"] == ["anti-affinity"]
    assert "h2 has vm2 of its group anti-affinity=web" in cli("migrate", vm, "--to", "h2", exits=3).err
    cli("server", "label", vm, "affinity=db")
    said = cli("server", "label", "vm2", "affinity=db", exits=2).err
    assert "kept beside vm1 (affinity=db) and apart from it (anti-affinity=web) at once" in said
    cli("server", "label", "nothing", "a=b", exits=4)
    cli("server", "label", vm, "anti-affinity-")
    assert in_the_way(cli, vm)["h2"] == []


def test_a_plan_without_a_host_orders_them_and_says_why_not_the_others(cli: Kedge, vm: str) -> None:
    create(cli, "vm2", "h2")
    found = cli.json("plan", vm)
    assert [each["host"] for each in found if each["possible"]] == ["h3", "h4", "h5", "h2"]
    assert found[3]["weights"] == {"memory": 0.5, "group": 0.0, "backend": 0.25}
    assert in_the_way(cli, vm)["dead"] == ["agent-dead"]
    assert in_the_way(cli, vm)["h6"] == ["nic-cannot-bind"]
    said = cli("plan", vm).out
    assert "0.75 (memory 0.50, group 0.00, backend" in " ".join(said.split())
