"""Nova is told of everything, in order and in batches, however badly it behaves."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kedge.config import EventsConfig
from kedge.model.domain import VifState
from kedge.model.errors import BadRequest, Unreachable
from kedge.network import nova_events
from kedge.network.nova_events import NovaEvents, nova_of
from kedge.openstack.nova import NovaAt, NovaOf, Refused
from kedge.store import outbox, reading, transaction

from ..auth.fake_keystone import OWN_TOKEN, clouds_yaml, fake_keystone
from .conftest import OTHER, SERVER, Ports, eventually
from .fake_nova import FakeNova, fake_nova


@pytest.fixture
def nova() -> Iterator[FakeNova]:
    with fake_nova() as nova:
        yield nova


@contextmanager
def telling(ports: Ports, nova: FakeNova, **options: float) -> Iterator[NovaEvents]:
    """A thread that tells Nova, as long as the block runs."""
    client = NovaAt(nova.url, options.pop("timeout_s", 5.0))
    events = NovaEvents(ports.world.engine, client, interval_s=0.05, clock=lambda: ports.world.now)
    events.start()
    try:
        yield events
    finally:
        events.stop()


def once(ports: Ports, nova: FakeNova, timeout_s: float = 5.0) -> int:
    """Send what there is, in this thread."""
    return NovaEvents(ports.world.engine, NovaAt(nova.url, timeout_s)).send_some(NovaAt(nova.url, timeout_s))


def unsent(ports: Ports) -> int:
    with reading(ports.world.engine) as session:
        return len(outbox.unsent(session, 1000))


def test_what_nova_gets(ports: Ports, nova: FakeNova) -> None:
    port = ports.make()
    ports.report("h1", port)
    assert once(ports, nova) == 1
    event = {"name": "network-vif-plugged", "server_uuid": SERVER, "tag": port.id, "status": "completed"}
    assert nova.posts == [[event]]
    assert once(ports, nova) == 0
    assert nova.tries == 1, "nothing is said when there is nothing to say"


def test_everything_comes_in_order_and_together(ports: Ports, nova: FakeNova) -> None:
    made = [ports.make() for _ in range(3)]
    for state in (VifState.UP, VifState.ABSENT):
        ports.report("h1", *made, state=state)
    ports.world.service.delete_port(made[0].id)
    once(ports, nova)
    assert len(nova.posts) == 1
    assert [name for name, _ in nova.taken] == [
        *["network-vif-plugged"] * 3,
        *["network-vif-unplugged"] * 3,
        "network-vif-deleted",
    ]


def test_many_go_in_several_batches(ports: Ports, nova: FakeNova) -> None:
    with transaction(ports.world.engine) as session:
        for number in range(250):
            name = "network-vif-plugged"
            outbox.add(session, name, ports.world.now, server_id=SERVER, port_id=str(number))
    with telling(ports, nova):
        eventually(lambda: len(nova.taken) == 250)
    assert [len(post) for post in nova.posts] == [100, 100, 50]
    assert [tag for _, tag in nova.taken] == [str(number) for number in range(250)]


def test_a_nova_that_fails_then_times_out_then_accepts(
    ports: Ports, nova: FakeNova, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nova_events, "_LONGEST_WAIT_S", 0.1)
    nova.trouble = [503, 500, "slow", 401, 429]
    first, second = ports.make(), ports.make()
    ports.report("h1", first)
    with capture_logs() as logs, telling(ports, nova, timeout_s=0.2):
        eventually(lambda: nova.tries >= 2)
        ports.report("h1", first, second)
        eventually(lambda: unsent(ports) == 0)
    assert nova.taken == [("network-vif-plugged", first.id), ("network-vif-plugged", second.id)]
    assert [each["failures"] for each in logs] == [1, 2, 3, 4, 5]
    said = " ".join(str(each["reason"]) for each in logs)
    assert "HTTP 503: trouble 503" in said and "does not take events from Kedge (HTTP 401" in said


def test_a_restart_loses_nothing(ports: Ports, nova: FakeNova) -> None:
    port = ports.make()
    nova.trouble = [503]
    ports.report("h1", port)
    with pytest.raises(Unreachable):
        once(ports, nova)
    ports.report("h1")
    with telling(ports, nova):
        eventually(lambda: unsent(ports) == 0)
    assert nova.taken == [("network-vif-plugged", port.id), ("network-vif-unplugged", port.id)]


def test_an_end_between_nova_and_the_note_tells_nova_twice(
    ports: Ports, nova: FakeNova, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = ports.make()
    ports.report("h1", port)

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as dying:
        dying.setattr(outbox, "mark_sent", die)
        with pytest.raises(SystemExit):
            once(ports, nova)
    once(ports, nova)
    assert nova.taken == [("network-vif-plugged", port.id)] * 2


def test_nobody_at_home(ports: Ports) -> None:
    ports.report("h1", ports.make())
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1/os-server-external-events"):
        once(ports, FakeNova(url="http://127.0.0.1:1"))
    assert unsent(ports) == 1


@pytest.mark.parametrize("code", [404, 422, 400])
def test_a_server_that_nova_does_not_want_is_not_tried_again(ports: Ports, nova: FakeNova, code: int) -> None:
    good, bad = ports.make(), ports.make(OTHER)
    nova.codes[OTHER] = code
    ports.report("h1", good, bad)
    with capture_logs() as logs:
        once(ports, nova)
    assert unsent(ports) == 0
    assert [each["reason"] for each in logs] == [f"Nova answered {code}"]


def test_a_nova_that_knows_none_of_them(ports: Ports, nova: FakeNova) -> None:
    nova.codes[OTHER] = 404
    ports.report("h1", ports.make(OTHER))
    with capture_logs() as logs:
        once(ports, nova)
    assert unsent(ports) == 0
    assert "none of these servers" in logs[0]["reason"]


def test_an_event_that_spoils_the_whole_request_is_found(ports: Ports, nova: FakeNova) -> None:
    first, bad, last = ports.make(), ports.make(OTHER), ports.make()
    nova.bad = {OTHER}
    ports.report("h1", first, bad, last)
    with capture_logs() as logs:
        once(ports, nova)
    assert sorted(tag for _, tag in nova.taken) == sorted([first.id, last.id])
    assert [each["reason"] for each in logs] == ["that is no event"]
    assert unsent(ports) == 0


def test_wrong_credentials_need_somebodys_help(ports: Ports, nova: FakeNova) -> None:
    ports.report("h1", ports.make())
    nova.trouble = [403]
    with pytest.raises(Refused, match="HTTP 403"):
        once(ports, nova)
    assert unsent(ports) == 1


def test_what_is_not_for_nova_stays_here(ports: Ports, nova: FakeNova) -> None:
    ports.report("h1", ports.make("not-a-uuid"), ports.make("", owner="network:dhcp"))
    with transaction(ports.world.engine) as session:
        outbox.add(session, "migration-completed", ports.world.now, server_id=SERVER)
    assert once(ports, nova) == 3
    assert (nova.tries, unsent(ports)) == (0, 0)


def test_only_one_of_several_processes_tells(ports: Ports, nova: FakeNova) -> None:
    ports.report("h1", ports.make())
    idle = NovaEvents(ports.world.engine, NovaAt(nova.url), lambda: False, interval_s=0.01)
    idle.start()
    with telling(ports, nova):
        eventually(lambda: unsent(ports) == 0)
    idle.stop()
    assert len(nova.taken) == 1


def test_old_ones_are_dropped_and_that_is_said(ports: Ports, nova: FakeNova) -> None:
    nova.trouble = [503] * 1000
    port = ports.make()
    for state in (VifState.UP, VifState.ABSENT):
        ports.report("h1", port, state=state)
    ports.world.pass_time(25 * 3600)
    with capture_logs() as logs, telling(ports, nova):
        eventually(lambda: len(ports.told()) == 1)
    dropped = [each for each in logs if "dropped" in each]
    assert [(each["dropped"], each["log_level"]) for each in dropped] == [(1, "error")]


def test_without_a_nova_old_ones_go_in_silence(ports: Ports) -> None:
    ports.report("h1", ports.make())
    ports.report("h1")
    ports.world.pass_time(25 * 3600)
    events = NovaEvents(ports.world.engine, None, interval_s=0.01, clock=lambda: ports.world.now)
    with capture_logs() as logs:
        events.start()
        eventually(lambda: len(ports.told()) == 1)
        events.stop()
    assert logs == []


def test_the_end_does_not_wait_for_the_next_try(ports: Ports, nova: FakeNova) -> None:
    nova.trouble = [503] * 1000
    ports.report("h1", ports.make())
    with telling(ports, nova):
        eventually(lambda: nova.tries >= 2)


def test_nova_by_the_name_of_a_cloud(
    ports: Ports, nova: FakeNova, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_keystone() as keystone:
        keystone.endpoints["compute"] = nova.url
        clouds = tmp_path / "clouds.yaml"
        clouds.write_text(clouds_yaml(keystone))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
        cloud = nova_of(EventsConfig(nova_cloud="lab"))
        assert isinstance(cloud, NovaOf)
        ports.report("h1", ports.make())
        NovaEvents(ports.world.engine, cloud).send_some(cloud)
        assert nova.tokens == [OWN_TOKEN]
        ports.report("h1")
        nova.trouble = ["slow"]
        hasty = NovaOf("lab", timeout_s=0.2)
        with pytest.raises(Unreachable, match="Nova of cloud lab"):
            NovaEvents(ports.world.engine, hasty).send_some(hasty)
        assert unsent(ports) == 1
        with pytest.raises(BadRequest, match="elsewhere"):
            nova_of(EventsConfig(nova_cloud="elsewhere"))
    assert isinstance(nova_of(EventsConfig(nova_url=nova.url)), NovaAt)
    assert nova_of(EventsConfig()) is None
