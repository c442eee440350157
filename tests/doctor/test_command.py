"""`kedge doctor`, as a person sees it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kedge.control_plane import build_app
from kedge.serving.server import Listener, running

from ..cli.cli_world import Said, invoke
from .doctor_world import DoctorWorld
from .test_planted import bound_elsewhere, older_libvirt, twice

Command = Callable[..., Said]


@pytest.fixture
def kedge(world: DoctorWorld, tmp_path: Path) -> Iterator[Command]:
    socket = tmp_path / "k.sock"
    app = build_app(world.network, world.of_control_plane, world.servers)

    def command(*arguments: str, exits: int = 0) -> Said:
        return invoke("--url", f"unix://{socket}", "doctor", *arguments, exits=exits)

    with running(app, [Listener.unix(socket)]):
        yield command


def test_all_is_well(world: DoctorWorld, kedge: Command) -> None:
    world.server("h1")
    assert "All is well" in kedge().out
    assert kedge("--json").json == {"findings": []}
    assert "All is well" in kedge("--repair").out


def test_what_is_wrong_is_a_table_and_sentences(world: DoctorWorld, kedge: Command) -> None:
    server = world.server("h1")
    bound_elsewhere(world, server)
    said = kedge(exits=1).out
    port = world.ports(server)[0]
    assert f"bound-elsewhere: port {port.id} of server vm" in said
    assert f"port {port.id} of server vm: Its ACTIVE binding is on h3, and the VM runs on h1." in said
    assert "--repair" in said
    found = kedge("--json", exits=1).json["findings"]
    assert {each["kind"] for each in found} >= {"bound-elsewhere"}
    assert set(found[0]) == {"kind", "severity", "subject", "host", "words", "repair"}


def test_repair_says_what_was_done(world: DoctorWorld, kedge: Command) -> None:
    server = world.server("h1")
    bound_elsewhere(world, server)
    said = kedge("--repair").out
    assert "settle" in said
    assert "yes" in said
    assert "All is well" in said
    world.check(server, "h1")


def test_what_is_left_for_a_person(world: DoctorWorld, kedge: Command) -> None:
    server = world.server("h1")
    twice(world, server)
    said = kedge("--repair", exits=1).out
    assert "by hand" in said
    assert "virsh destroy" in said
    assert kedge("--repair", "--json", exits=1).json["done"] == []


def test_a_note_alone_is_well(world: DoctorWorld, kedge: Command) -> None:
    older_libvirt(world, world.server("h1"))
    assert "7.0.0" in kedge().out
