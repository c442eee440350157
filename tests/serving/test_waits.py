"""Many who wait for a migration hold no threads, so root is answered; and one caller may wait only so often at once."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from kedge.compute.waits import Waits
from kedge.network.api import install_error_handlers
from kedge.serving.server import Listener, running


class Records:
    """One migration, and how many threads look at it."""

    def __init__(self) -> None:
        self.at = 0

    def find(self, _id: str) -> Any:
        return SimpleNamespace(finished_at=None)

    def changes(self, ids: tuple[str, ...]) -> dict[str, int]:
        return dict.fromkeys(ids, self.at)


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
