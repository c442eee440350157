"""Many who wait for a migration hold no threads, so root is answered; and one caller may wait only so often at once."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from kedge.compute.records import waits as waits_module
from kedge.compute.records.plain_records import Change
from kedge.compute.records.waits import Waits
from kedge.network.api import install_error_handlers
from kedge.serving.server import Listener, running

START = datetime(2026, 1, 1, tzinfo=UTC)


class Records:
    """One migration, and how many threads look at it."""

    def __init__(self) -> None:
        self.at = 0
        self.ended = False
        self.looks = 0
        self.tell: Callable[[str, bool], None] = lambda _id, _ended: None

    def find(self, _id: str) -> Any:
        return SimpleNamespace(id="m", finished_at=self.ended or None)

    def changes(self, ids: tuple[str, ...]) -> dict[str, Change]:
        found = dict.fromkeys(ids, Change(START + timedelta(self.at), self.ended))
        self.looks += 1
        return found

    def listen(self, told: Callable[[str, bool], None]) -> None:
        self.tell = told


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def served(records: Records, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    from fastapi import Request

    app = FastAPI()
    install_error_handlers(app)
    waits = Waits(records, per_caller=60)  # type: ignore[arg-type]

    @app.get("/wait")
    async def wait(request: Request) -> int:
        await waits.for_news(request, "m", 20)
        return records.at

    @app.get("/work")
    def work() -> str:
        return "done"

    listeners = [Listener.tcp("127.0.0.1", 0), Listener.unix(tmp_path / "k.sock")]
    with running(app, listeners):
        yield f"http://127.0.0.1:{listeners[0].port}", tmp_path / "k.sock"


def test_sixty_waits_hold_up_nobody_and_end_with_the_news(records: Records, served: tuple[str, Path]) -> None:
    url, path = served
    with (
        ThreadPoolExecutor(70) as threads,
        httpx2.Client(limits=httpx2.Limits(max_connections=100)) as client,
    ):
        asked = [threads.submit(client.get, f"{url}/wait", timeout=30) for _ in range(70)]
        # Those beyond sixty are refused at once, and in words, which says too that sixty wait.
        ends = time.monotonic() + 20
        while sum(each.done() for each in asked) < 10:
            assert time.monotonic() < ends
            time.sleep(0.01)
        refused = [each.result() for each in asked if each.done()]
        assert {each.status_code for each in refused} == {429}
        assert "waits 60 times already" in refused[0].json()["error"]["message"]
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path)), timeout=10) as root:
            assert root.get("http://kedge/work").json() == "done"
            assert sum(each.done() for each in asked) == 10
            records.at = 1
            answers = [each.result().status_code for each in asked]
            assert sorted(answers) == [200] * 60 + [429] * 10


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is looked at no sooner than a wait is over."""
    monkeypatch.setattr(waits_module, "POLL_S", 100.0)


def _waiting(records: Records, url: str, threads: ThreadPoolExecutor) -> "Future[httpx2.Response]":
    asked = threads.submit(httpx2.get, f"{url}/wait", timeout=30)
    ends = time.monotonic() + 20
    while records.looks == 0:
        assert time.monotonic() < ends
        time.sleep(0.01)
    return asked


@pytest.mark.usefixtures("seldom")
def test_what_this_process_writes_is_told_without_a_look_at_the_clock(
    records: Records, served: tuple[str, Path]
) -> None:
    with ThreadPoolExecutor(1) as threads:
        asked = _waiting(records, served[0], threads)
        records.at, records.ended = 1, True
        records.tell("another", True)
        records.tell("m", True)
        assert asked.result(10).json() == 1


@pytest.mark.usefixtures("seldom")
def test_news_close_together_make_one_answer(
    records: Records, served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits_module, "GATHER_S", 2.0)
    with ThreadPoolExecutor(1) as threads:
        asked = _waiting(records, served[0], threads)
        for number in (1, 2, 3):
            records.at = number
            records.tell("m", False)
            time.sleep(0.1)
        assert not asked.done()
        assert asked.result(10).json() == 3
