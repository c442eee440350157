"""Where nothing is wrong, nothing is found, also while things happen."""

import threading

from kedge.testing.simulated.fabric import FIVE_HOSTS, Step

from .doctor_world import DoctorWorld


def test_an_empty_world(world: DoctorWorld) -> None:
    assert world.findings() == []


def test_servers_on_every_kind_of_host(world: DoctorWorld) -> None:
    for host in FIVE_HOSTS:
        world.server(host, name=f"vm-{host}")
    assert world.findings() == []


def test_after_migrations(world: DoctorWorld) -> None:
    server = world.server("h1")
    for target in ("h3", "h5", "h2", "h4"):
        world.move(server, target)
        server = world.tools.servers.find(server.id)
    world.check(server, "h4")
    assert world.findings() == []


def test_nothing_is_repaired_where_nothing_is_wrong(world: DoctorWorld) -> None:
    server = world.server("h3")
    before = world.snapshot(server, "h3")
    assert world.repair() == {"done": [], "left": []}
    world.check_untouched(server, before)


def test_at_every_step_of_a_migration(world: DoctorWorld) -> None:
    """A conductor that lives drives it; whoever asks at any moment finds nothing."""
    server = world.server("h1")
    world.of_control_plane.start()
    found = []

    def ask() -> None:
        asked = threading.Thread(target=lambda: found.append(world.findings()))
        asked.start()
        asking.append(asked)

    asking: list[threading.Thread] = []
    for step in (Step.ORDERED, Step.PREPARED, Step.COPYING, Step.PAUSED, Step.ARRIVED, Step.OVER):
        world.fabric.on_step(step, ask)
    migration = world.begin(server, "h3")
    found.append(world.findings())
    while world.found(migration).finished_at is None:
        found.append(world.findings())
    for asked in asking:
        asked.join()
    world.of_control_plane.stop()
    assert len(found) > 6
    assert all(each == [] for each in found)
    world.check(server, "h3")
    assert world.findings() == []


def test_what_only_one_of_two_looks_shows_is_not_wrong(world: DoctorWorld) -> None:
    world.server("h3")
    plugged = dict(world["h3"].plugged)
    agent = world["h3"].agent
    world["h3"].plugged.clear()
    agent.faults.on("vifs", lambda: world["h3"].plugged.update(plugged), skip=1)
    assert world.findings() == [], "it was plugged again between the looks"
    agent.faults.on("vifs", world["h3"].plugged.clear, skip=1)
    world["h5"].clock_skew_ns = 60 * 10**9  # Without anything in the first look there is no second.
    assert world.kinds() == {"clock-differs"}, "it went between the looks"
    assert world.kinds() == {"clock-differs", "vif-not-wired"}
