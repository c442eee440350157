"""Several processes that serve on the same sockets: one that dies is replaced, and none outlives their parent."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kedge.testing.started import Started, started


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Started]:
    with started(tmp_path, f"sqlite:///{tmp_path}/kedge.db", workers=2) as served:
        yield served


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether a process runs; one that nobody has asked for its exit code does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_worker_that_is_killed_is_replaced_while_the_other_serves(two: Started) -> None:
    first, second = two.workers()
    os.kill(first, signal.SIGKILL)
    until(lambda: not lives(first))
    for _ in range(20):
        assert two.ask("GET", "/ports").status == 200
    until(lambda: len(two.workers()) == 2)
    assert second in two.workers()
    os.kill(second, signal.SIGKILL)
    until(lambda: second not in two.workers())
    assert two.ask("GET", "/ports").status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_parent(two: Started, number: signal.Signals) -> None:
    workers = two.workers()
    assert len(workers) == 2
    os.kill(two.pid, number)
    until(lambda: not any(map(lives, workers)))


def test_the_socket_s_file_stays_until_all_have_ended(tmp_path: Path) -> None:
    path = tmp_path / "kedge.sock"
    with started(tmp_path, f"sqlite:///{tmp_path}/kedge.db", workers=2, socket_path=path) as served:
        ended = served.workers()[0]
        os.kill(ended, signal.SIGTERM)
        until(lambda: ended not in served.workers())
        assert path.exists()
    assert not path.exists()


def test_what_is_wrong_from_the_start_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "kedge.db").write_text("This is no database, however long one looks at it." * 9)
    with (
        pytest.raises(AssertionError, match="file is not a database"),
        started(tmp_path, f"sqlite:///{tmp_path}/kedge.db", workers=2),
    ):
        pass
