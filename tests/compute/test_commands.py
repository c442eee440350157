"""Commands that change hosts: what they may be, how they end, and that none is run beside another."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from kedge.compute.hosts.commands import KEPT, Commands
from kedge.model.errors import BadRequest, Conflict
from kedge.model.transition import CommandRun, CommandState


def shell(directory: Path, script: str, *, timeout_s: float = 60) -> Commands:
    return Commands({"x": ["/bin/sh", "-c", script, "{host}"]}, timeout_s=timeout_s, directory=directory)


def run(commands: Commands, host: str = "h1") -> CommandRun:
    ended, runs = threading.Event(), list[CommandRun]()

    def told(each: CommandRun) -> None:
        runs.append(each)
        ended.set()

    commands.begin("x", host, note=runs.append, told=told)
    assert ended.wait(60)
    assert [each.state for each in runs[:1]] == [CommandState.RUNNING]
    return runs[-1]


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_for_end(pid: int) -> None:
    wait_until(lambda: has_ended(pid))


@pytest.mark.parametrize(
    ("script", "state", "why", "output"),
    [
        ('echo "for $0"', CommandState.SUCCEEDED, "", "for h1"),
        ("echo no bridge >&2; exit 3", CommandState.FAILED, "exited with 3", "no bridge"),
        ("kill -9 $$", CommandState.FAILED, "was ended by SIGKILL", ""),
    ],
)
def test_how_a_command_ends(tmp_path: Path, script: str, state: CommandState, why: str, output: str) -> None:
    ended = run(shell(tmp_path, script))
    assert (ended.state, ended.why, ended.output) == (state, why, output)
    assert ended.ended_at is not None


def test_the_end_of_what_it_says_is_kept(tmp_path: Path) -> None:
    ended = run(shell(tmp_path, "seq 100000; echo the end"))
    assert len(ended.output) <= KEPT
    assert ended.output.endswith("the end")


def test_one_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    script = f"echo waiting; sleep 600 & echo $! > {tmp_path}/child; wait"
    ended = run(shell(tmp_path / "locks", script, timeout_s=1))
    assert (ended.state, ended.output) == (CommandState.FAILED, "waiting")
    assert ended.why == "took longer than 1 s and was ended"
    wait_for_end(int((tmp_path / "child").read_text()))


def test_one_that_is_not_there_says_so(tmp_path: Path) -> None:
    ended = run(Commands({"x": ["/no/such/program"]}, directory=tmp_path))
    assert ended.state is CommandState.FAILED
    assert ended.why.startswith("could not be started: ")


def test_nothing_else_is_run(tmp_path: Path) -> None:
    commands = shell(tmp_path, f"touch {tmp_path}/ran")
    with pytest.raises(BadRequest, match="no command 'y'; configured are: x"):
        commands.check("y")
    with pytest.raises(BadRequest, match="is no name that a command could be given"):
        commands.begin("x", "-oProxyCommand=x", note=lambda _: None, told=lambda _: None)

    def refused(_run: CommandRun) -> None:
        raise Conflict("another conductor drives it now")

    with pytest.raises(Conflict):
        commands.begin("x", "h1", note=refused, told=lambda _: None)
    assert not (tmp_path / "ran").exists()
    assert run(commands).state is CommandState.SUCCEEDED


@dataclass(frozen=True)
class Orphan:
    """A command that runs although the control plane that began it was killed, and what watches over it."""

    run: CommandRun
    command: int
    watcher: int


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[Callable[[str, float], Orphan]]:
    """Makes one of a script, with a time limit."""
    started = tmp_path / "started"
    made: list[Orphan] = []

    def make(script: str, timeout_s: float) -> Orphan:
        whole = f"echo half way; echo $$ $PPID > {started}.new; mv {started}.new {started}; {script}"
        program = (
            "import threading; from pathlib import Path; from kedge.compute.hosts.commands import Commands\n"
            f"commands = Commands({{'x': ['/bin/sh', '-c', {whole!r}]}},"
            f" timeout_s={timeout_s}, directory=Path({str(tmp_path / 'locks')!r}))\n"
            "commands.begin('x', 'h1', note=lambda run: print(run.id, run.on, flush=True), told=print)\n"
            "threading.Event().wait()\n"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            run_id, machine = process.stdout.readline().split()
            wait_until(started.exists)
            process.kill()
        command, watcher = map(int, started.read_text().split())
        made.append(Orphan(CommandRun(run_id, machine, CommandState.RUNNING), command, watcher))
        return made[-1]

    yield make
    for each in made:
        with suppress(ProcessLookupError):
            os.killpg(each.command, signal.SIGKILL)


def ended(commands: Commands, begun: CommandRun) -> CommandRun:
    wait_until(lambda: commands.seen("h1", begun) != begun)
    return commands.seen("h1", begun)


def test_one_whose_process_died_goes_on_and_how_it_ended_is_known(
    tmp_path: Path, orphan: Callable[[str, float], Orphan]
) -> None:
    os.mkfifo(tmp_path / "go-on")
    begun = orphan(f"read it < {tmp_path}/go-on; echo $it; exit 3", 60).run
    after = shell(tmp_path / "locks", "true")
    assert after.seen("h1", begun) == begun
    with pytest.raises(Conflict, match="a command for h1 still runs here"):
        after.begin("x", "h1", note=lambda _: None, told=lambda _: None)

    (tmp_path / "go-on").write_text("the end\n")

    found = ended(after, begun)
    assert (found.state, found.why) == (CommandState.FAILED, "exited with 3")
    assert (found.output, found.ended_at is not None) == ("half way\nthe end", True)
    assert run(after).state is CommandState.SUCCEEDED


def test_one_whose_process_died_keeps_its_time_limit(
    tmp_path: Path, orphan: Callable[[str, float], Orphan]
) -> None:
    hangs = orphan("sleep 600 & wait", 2)
    found = ended(shell(tmp_path / "locks", "true"), hangs.run)
    assert (found.state, found.why) == (CommandState.FAILED, "took longer than 2 s and was ended")
    assert found.output == "half way"
    wait_for_end(hangs.command)


def test_one_is_lost_if_what_watched_over_it_was_ended_too(
    tmp_path: Path, orphan: Callable[[str, float], Orphan]
) -> None:
    made = orphan("exec sleep 600", 60)
    after = shell(tmp_path / "locks", "true")
    os.kill(made.watcher, signal.SIGKILL)
    wait_for_end(made.watcher)
    assert after.seen("h1", made.run) == made.run
    os.kill(made.command, signal.SIGKILL)
    wait_for_end(made.command)
    lost = after.seen("h1", made.run)
    assert (lost.state, lost.output) == (CommandState.LOST, "half way")
    assert lost.why == f"was run on {made.run.on}, and what watched it was ended; how it ended is not known"
    elsewhere = after.seen("h1", CommandRun(made.run.id, "elsewhere", CommandState.RUNNING))
    assert "was run on elsewhere, and that control plane ended before it" in elsewhere.why
