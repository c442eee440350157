"""Guessing is slow, costs constant memory, and neither keeps out nor delays whoever knows the password."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kedge.auth import Guard
from kedge.auth.attempts import Attempts
from kedge.auth.errors import TooManyLogins
from kedge.auth.http_basic import HttpBasic
from kedge.auth.passwords import Passwords
from kedge.auth.turns import Turns
from kedge.auth.users import UsersFile

from .conftest import Inner, basic, write_users

NETWORKS = "/network/v2.0/networks"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fail(attempts: Attempts, address: str, name: str, times: int) -> int:
    """How many of so many wrong passwords are looked at."""
    looked_at = 0
    for _ in range(times):
        try:
            attempts.begin(address, name)
        except TooManyLogins:
            continue
        looked_at += 1
    return looked_at


def test_an_address_may_guess_a_few_times_and_then_now_and_then(clock: Clock) -> None:
    attempts = Attempts(burst=10, every_s=6, clock=clock)
    assert sum(fail(attempts, "192.0.2.1", f"user{number}", 1) for number in range(60)) == 10
    with pytest.raises(TooManyLogins) as refused:
        attempts.begin("192.0.2.1", "another")
    assert refused.value.status == 429 and refused.value.retry_after_s == 6
    clock.now += 60
    assert fail(attempts, "192.0.2.1", "u", 60) == 10
    assert fail(attempts, "192.0.2.2", "somebody", 60) == 10, "a neighbour is not concerned"


def test_a_name_may_be_guessed_at_a_few_times_from_wherever(clock: Clock) -> None:
    attempts = Attempts(burst=10, every_s=6, clock=clock)
    assert sum(fail(attempts, f"192.0.2.{number}", "root", 1) for number in range(200)) == 10


def test_whoever_logged_in_before_is_not_kept_out_by_others(clock: Clock) -> None:
    attempts = Attempts(burst=10, every_s=6, clock=clock)
    attempts.begin("192.0.2.1", "root")
    attempts.succeeded("192.0.2.1", "root")
    fail(attempts, "192.0.2.1", "admin", 60)
    fail(attempts, "198.51.100.9", "root", 60)
    assert fail(attempts, "192.0.2.1", "root", 60) == 10, "nor may they guess without end"
    assert fail(attempts, "192.0.2.3", "root", 1) == 0


def test_right_passwords_do_not_count(clock: Clock) -> None:
    attempts = Attempts(burst=2, every_s=6, clock=clock)
    for number in range(50):
        attempts.begin("192.0.2.1", f"user{number}")
        attempts.succeeded("192.0.2.1", f"user{number}")


def test_a_flood_of_addresses_and_names_takes_no_memory(clock: Clock) -> None:
    attempts = Attempts(clock=clock)
    size = len(attempts._empty_at)
    for number in range(20_000):
        fail(attempts, f"2001:db8:{number:x}::/64", f"name{number}", 1)
    assert len(attempts._empty_at) == size


class Gate:
    """Checks that go on one after the other when they may."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.may = threading.Semaphore(0)

    def check(self, name: str) -> Callable[[], str]:
        def check() -> str:
            assert self.may.acquire(timeout=20)
            self.order.append(name)
            return name

        return check


async def _settled(tasks: list[asyncio.Task[Any]], gate: Gate, started: Awaitable[None]) -> list[Any]:
    await started
    for _ in tasks:
        gate.may.release()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def _a_moment() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("flood_is_known", [False, True])
def test_one_who_floods_is_behind_everybody_else(flood_is_known: bool) -> None:
    async def scenario() -> list[str]:
        turns, gate = Turns[str](1), Gate()

        def take(name: str, address: str, known: bool = False) -> asyncio.Task[str]:
            return asyncio.create_task(turns.take(name.encode(), address, gate.check(name), known=known))

        tasks = [take(f"flood{number}", "192.0.2.66", known=flood_is_known) for number in range(20)]
        await _a_moment()
        tasks += [take("stranger", "192.0.2.1"), take("known", "root@192.0.2.66", known=True)]
        await _settled(tasks, gate, _a_moment())
        return gate.order

    order = asyncio.run(scenario())
    assert order[:3] == ["flood0", "known", "stranger"]
    assert len(order) == 22


def test_the_same_attempt_of_many_is_one() -> None:
    async def scenario() -> tuple[list[Any], list[str]]:
        turns, gate = Turns[str](1), Gate()
        tasks = [
            asyncio.create_task(turns.take(b"x", f"192.0.2.{number}", gate.check("x")))
            for number in range(30)
        ]
        await _a_moment()
        tasks[0].cancel()
        return await _settled(tasks, gate, _a_moment()), gate.order

    results, order = asyncio.run(scenario())
    assert order == ["x"] and results[1:] == ["x"] * 29


def test_who_waits_is_bounded_and_a_known_one_is_let_in() -> None:
    async def scenario() -> list[Any]:
        turns, gate = Turns[str](1, waiting=4), Gate()
        tasks = [
            asyncio.create_task(turns.take(bytes([n]), f"192.0.2.{n}", gate.check(str(n)))) for n in range(10)
        ]
        await _a_moment()
        tasks.append(asyncio.create_task(turns.take(b"k", "192.0.2.99", gate.check("known"), known=True)))
        return await _settled(tasks, gate, _a_moment())

    results = asyncio.run(scenario())
    refused = [each for each in results if isinstance(each, TooManyLogins)]
    assert len(refused) == 6 and results[-1] == "known"


def test_what_goes_wrong_in_a_check_is_told_and_the_next_one_is_made() -> None:
    async def scenario() -> list[Any]:
        turns = Turns[int](1)
        wrong = turns.take(b"1", "192.0.2.1", lambda: 1 // 0)
        right = turns.take(b"2", "192.0.2.1", lambda: 2)
        return list(await asyncio.gather(wrong, right, return_exceptions=True))

    first, second = asyncio.run(scenario())
    assert isinstance(first, ZeroDivisionError) and second == 2


def test_sixty_wrong_passwords_at_once_keep_nobody_out(tmp_path: Path) -> None:
    """Over HTTP: at most ten of them are looked at, and the right ones come in meanwhile."""

    class Counting(Passwords):
        checked = 0

        def is_right(self, stored: str, password: bytes) -> bool:
            self.checked += 1
            return super().is_right(stored, password)

    passwords = Counting()
    guard = Guard(Inner(), HttpBasic(UsersFile(write_users(tmp_path / "users")), passwords))

    async def scenario() -> tuple[list[Any], list[Any]]:
        def client(address: str) -> httpx2.AsyncClient:
            transport = httpx2.ASGITransport(guard, client=(address, 1))
            return httpx2.AsyncClient(transport=transport, base_url="http://kedge")

        async with client("192.0.2.66") as stranger, client("192.0.2.1") as friend:
            assert (await friend.get(NETWORKS, headers=basic("audit"))).status_code == 200
            wrong = [stranger.get(NETWORKS, headers=basic("root", f"guess {number}")) for number in range(60)]
            # From an address where nobody logged in before, and a first login where somebody did.
            right = [
                friend.get(NETWORKS, headers=basic(name))
                for name in ("audit", "max", "nova")
                for _ in range(20)
            ]
            answers = await asyncio.gather(*wrong, *right)
        return answers[:60], answers[60:]

    wrong, right = asyncio.run(scenario())
    assert [each.status_code for each in right] == [200] * 60
    assert sorted(each.status_code for each in wrong) == [401] * 10 + [429] * 50
    assert passwords.checked == 1 + 10 + 2, "each new right password once, and ten guesses"
    refused = next(each for each in wrong if each.status_code == 429)
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["error"]["code"] == 429
