"""One caller's slow requests hold up neither another caller nor the agents."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from kedge.auth import Guard
from kedge.auth.http_basic import HttpBasic
from kedge.auth.rules import RULES, V1, Of
from kedge.auth.users import UsersFile
from kedge.network.api import agent_router
from kedge.serving.server import Listener, running
from kedge.wire.messages import HostDuties
from kedge.wire.peer import Peer

from ..auth.conftest import basic, write_users
from .test_control_plane import REPORT

PATIENCE_S = 20.0


class Slow:
    """Requests that hold their threads until they are let go."""

    def __init__(self) -> None:
        self.held, self.go_on = threading.Semaphore(0), threading.Event()
        self.app = FastAPI()

        @self.app.get(f"{V1}/doctor")
        def slow() -> str:
            self.held.release()
            assert self.go_on.wait(PATIENCE_S)
            return "done"

        @self.app.get(f"{V1}/hosts")
        def quick() -> str:
            return "done"

    @contextmanager
    def asked(self, url: str, times: int, held: int, headers: dict[str, str]) -> Iterator[list[Any]]:
        """So many requests at once, of which so many are worked on."""
        with httpx2.Client(timeout=PATIENCE_S) as client, ThreadPoolExecutor(times) as threads:
            asked = [threads.submit(client.get, f"{url}{V1}/doctor", headers=headers) for _ in range(times)]
            for _ in range(held):
                assert self.held.acquire(timeout=PATIENCE_S)
            try:
                yield asked
            finally:
                self.go_on.set()
            assert [each.result().status_code for each in asked] == [200] * times


def test_a_reader_who_asks_for_much_at_once_waits_and_nobody_else_does(tmp_path: Path) -> None:
    slow = Slow()
    guard = Guard(slow.app, HttpBasic(UsersFile(write_users(tmp_path / "users"))))
    listener = Listener.tcp("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.port}"
    with running(guard, [listener]), slow.asked(url, 50, 16, basic("audit")):
        answer = httpx2.get(f"{url}{V1}/hosts", headers=basic("root"), timeout=PATIENCE_S)
        assert answer.json() == "done"
        assert not slow.held.acquire(blocking=False), "no more than sixteen of one caller hold a thread"


def test_whoever_waits_for_news_takes_nobody_s_place() -> None:
    waiting = {rule.path for rule in RULES if rule.waits}
    assert waiting == {f"{V1}/events", f"{V1}/migrations/{{id}}"}
    assert all(rule.of is Of.SYSTEM for rule in RULES if rule.waits)


class Hosts:
    """Takes reports."""

    def record_host(self, report: Any) -> None:
        assert report == REPORT

    def duties(self, host: str) -> HostDuties:
        return HostDuties(())


def test_an_agent_reports_while_clients_hold_all_threads() -> None:
    slow = Slow()
    slow.app.include_router(agent_router(Hosts(), trust_local=True))  # type: ignore[arg-type]
    listener = Listener.tcp("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.port}"
    with running(slow.app, [listener]), slow.asked(url, 50, 40, {}):
        peer = Peer("the control plane", url, None)
        assert peer.ask(HostDuties, "POST", "/agent/v1/hosts/h1/report", body=REPORT, timeout_s=PATIENCE_S)
        peer.close()
