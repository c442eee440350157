"""The stream of events, read by a real HTTP client from a started server."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from kedge.compute.records.migrations import MigrationRecords
from kedge.compute.records.plain_records import Noted
from kedge.compute.records.servers import ServerRecords
from kedge.model.domain import VifState
from kedge.model.server import MigrationOptions, MigrationStatus, Phase, Server
from kedge.network.api import events as stream_module
from kedge.network.api import install_error_handlers
from kedge.network.api.events import events_router
from kedge.serving.server import Listener, running
from kedge.store import outbox, transaction

from .conftest import OTHER, SERVER, Ports, eventually

PATH = "/kedge/v1/events"


@dataclass
class Served:
    """A server with the stream, and the ports that it tells of."""

    ports: Ports
    url: str

    @contextmanager
    def listening(self, path: str = PATH, **headers: str) -> Iterator[Iterator[dict[str, Any]]]:
        """A client: what it hears, one after the other, comments too."""
        with (
            httpx2.Client(base_url=self.url, timeout=10, trust_env=False) as client,
            client.stream("GET", path, headers=headers) as answer,
        ):
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield heard(answer.iter_lines())


def heard(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Events of a stream, as the standard says they are to be read."""
    event: dict[str, Any] = {}
    for line in lines:
        if not line:
            if event:
                yield event
            event = {}
            continue
        name, _, value = line.partition(": ")
        event[name or "comment"] = json.loads(value) if name in ("data", "id", "retry") else value


@pytest.fixture
def served(ports: Ports) -> Iterator[Served]:
    app = FastAPI()
    app.include_router(events_router(ports.world.service, poll_s=0.02, heartbeat_s=0.2))
    install_error_handlers(app)
    listener = Listener.tcp("127.0.0.1", 0)
    with running(app, [listener]):
        yield Served(ports, f"http://127.0.0.1:{listener.port}")


def following(events: Iterator[dict[str, Any]], number: int) -> list[tuple[str, str]]:
    """The next events that are none of the stream's own: name and port."""
    found: list[tuple[str, str]] = []
    while len(found) < number:
        event = next(events)
        if "id" in event:
            assert event["id"] == event["data"]["number"]
            assert event["event"] == event["data"]["name"]
            found.append((event["event"].removeprefix("network-vif-"), event["data"]["port_id"]))
    return found


def test_events_come_as_they_happen(served: Served) -> None:
    port = served.ports.make()
    with served.listening() as events:
        assert next(events) == {"retry": 1000}
        served.ports.report("h1", port)
        event = next(event for event in events if "id" in event)
        assert event["data"] == {
            "number": event["id"],
            "name": "network-vif-plugged",
            "server_id": SERVER,
            "port_id": port.id,
            "host": "h1",
            "status": "completed",
            "at": "2026-11-23T12:00:00+00:00",
        }
        served.ports.report("h1")
        assert following(events, 1) == [("unplugged", port.id)]


def test_what_was_before_is_told_to_those_who_ask(served: Served) -> None:
    port = served.ports.make()
    served.ports.report("h1", port)
    served.ports.report("h1")
    with served.listening() as events:
        served.ports.report("h1", port)
        assert following(events, 1) == [("plugged", port.id)], "only what happens from now on"
    with served.listening(f"{PATH}?since=0") as events:
        assert [name for name, _ in following(events, 3)] == ["plugged", "unplugged", "plugged"]


def test_coming_back_loses_nothing(served: Served) -> None:
    port = served.ports.make()
    with served.listening() as events:
        served.ports.report("h1", port)
        last = next(event["id"] for event in events if "id" in event)
    served.ports.report("h1")
    served.ports.report("h1", port)
    with served.listening(f"{PATH}?since=0", **{"Last-Event-ID": str(last)}) as events:
        assert [name for name, _ in following(events, 2)] == ["unplugged", "plugged"]


def test_only_what_was_asked_for(served: Served) -> None:
    first, second, third = served.ports.make(), served.ports.make(), served.ports.make(OTHER)
    served.ports.report("h1", first, second, third)
    with served.listening(f"{PATH}?since=0&server={OTHER}") as events:
        assert following(events, 1) == [("plugged", third.id)]
        served.ports.report("h1")
        assert following(events, 1) == [("unplugged", third.id)]
    with served.listening(f"{PATH}?since=0&port={first.id}&port={third.id}") as events:
        assert [port for _, port in following(events, 4)] == [first.id, third.id] * 2


def test_a_long_past_comes_in_pages(served: Served) -> None:
    world = served.ports.world
    with transaction(world.engine) as session:
        for number in range(1001):
            outbox.add(session, "network-vif-plugged", world.now, port_id=str(number))
    world.pass_time(60)
    with served.listening(f"{PATH}?since=0") as events:
        assert [port for _, port in following(events, 1001)] == [str(number) for number in range(1001)]


def test_silence_is_filled_with_heartbeats(served: Served) -> None:
    with served.listening() as events:
        said = [next(events) for _ in range(3)]
    assert said[1:] == [{"comment": "still here"}] * 2


def test_who_was_away_too_long_is_told(served: Served) -> None:
    port, world = served.ports.make(), served.ports.world
    for state in (VifState.UP, VifState.ABSENT, VifState.UP):
        served.ports.report("h1", port, state=state)
    world.pass_time(10)
    with transaction(world.engine) as session:
        outbox.prune(session, world.now)
    with served.listening(f"{PATH}?since=1") as events:
        assert next(events) == {"retry": 1000}
        assert next(events) == {"event": "reset", "data": {"oldest": 3}}
        assert following(events, 1) == [("plugged", port.id)]
    with served.listening(f"{PATH}?since=2") as events:
        assert "id" in [next(events), next(events)][1], "nothing was missed"
    with served.listening(f"{PATH}?since=999") as events:
        assert [next(events), next(events)][1]["event"] == "reset", "a number of another database"


@pytest.mark.parametrize("query", ["since=-1", "since=x", "since=99999999999999999999"])
def test_what_is_no_number(served: Served, query: str) -> None:
    answer = httpx2.get(f"{served.url}{PATH}?{query}", trust_env=False)
    assert answer.status_code == 400
    assert "since" in answer.json()["error"]["message"]


def test_many_listen_without_a_thread_each(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_OF_ONE_CALLER", 60)
    port = served.ports.make()
    listeners = [served.listening() for _ in range(60)]
    streams = []
    try:
        for listener in listeners:
            streams.append(listener.__enter__())
            next(streams[-1])
        assert threading.active_count() < 50, "sixty clients, and far fewer threads"
        served.ports.report("h1", port)
        assert all(following(events, 1) == [("plugged", port.id)] for events in streams)
        answer = httpx2.get(f"{served.url}{PATH}", trust_env=False)
        assert answer.status_code == 429
        assert "127.0.0.1 listens to 60 streams of events already" in answer.json()["error"]["message"]
        monkeypatch.setattr(stream_module, "_OF_ONE_CALLER", 61)
        monkeypatch.setattr(stream_module, "_STREAMS", 60)
        answer = httpx2.get(f"{served.url}{PATH}", trust_env=False)
        assert answer.status_code == 503
        assert "60 clients listen" in answer.json()["error"]["message"]
    finally:
        for listener in listeners[: len(streams)]:
            listener.__exit__(None, None, None)
    eventually(lambda: status(served.url) == 200)


def status(url: str) -> int:
    with httpx2.Client(trust_env=False, timeout=20) as client, client.stream("GET", f"{url}{PATH}") as answer:
        return answer.status_code


def test_the_server_ends_in_spite_of_listeners(tmp_path: Path, ports: Ports) -> None:
    app = FastAPI()
    app.include_router(events_router(ports.world.service))
    listener = Listener.tcp("127.0.0.1", 0)
    with httpx2.Client(base_url=f"http://127.0.0.1:{listener.port}", trust_env=False, timeout=20) as client:
        with running(app, [listener]):
            answer = client.send(client.build_request("GET", PATH), stream=True)
            assert answer.status_code == 200
            began = time.monotonic()
        assert time.monotonic() - began < 4, "the server gives open requests five seconds"
        answer.close()


def test_migrations_are_told_of_too(served: Served) -> None:
    engine, server = served.ports.world.engine, Server(SERVER, "vm1", "h1", "ACTIVE")
    ServerRecords(engine).add(server, "<domain/>")
    records = MigrationRecords(engine)
    migration = records.add(server, "h2", MigrationOptions())
    with served.listening(f"{PATH}?since=0&server={SERVER}") as events:
        epoch = records.take_over(migration.id)
        records.write(migration.id, epoch, Noted(Phase.BOUND))
        records.write(migration.id, epoch, Noted(Phase.PLUGGED))
        records.finish(migration.id, epoch, MigrationStatus.COMPLETED, {})
        told = [next(event for event in events if "id" in event)["data"] for _ in range(3)]
    assert [(each["name"], each["host"], each["status"]) for each in told] == [
        ("migration-bound", "h2", "preparing"),
        ("migration-plugged-and-wired", "h2", "preparing"),
        ("migration-ended", "h2", "completed"),
    ]
