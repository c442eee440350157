"""Commands that change hosts: what they may be, how they end, and that none is run beside another."""

import os
import signal
import subprocess
import sys
import threading
import time
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


def wait_for_end(pid: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} still runs")


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


def test_one_whose_process_died_is_seen_as_long_as_it_runs_and_lost_then(tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    script = (
        "import sys, threading; from pathlib import Path; from kedge.compute.hosts.commands import Commands\n"
        f"commands = Commands({{'x': ['/bin/sh', '-c', 'echo half way; echo $$ > {started}; exec sleep 600']}},"
        f" directory=Path({str(tmp_path / 'locks')!r}))\n"
        "commands.begin('x', 'h1', note=lambda run: print(run.id, run.on, flush=True), told=print)\n"
        "threading.Event().wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        run_id, machine = process.stdout.readline().split()
        command = int(started.read_text())
        process.kill()

    after = shell(tmp_path / "locks", "true")
    begun = CommandRun(run_id, machine, CommandState.RUNNING)
    assert after.seen("h1", begun) == begun
    with pytest.raises(Conflict, match="a command for h1 still runs here"):
        after.begin("x", "h1", note=lambda _: None, told=lambda _: None)

    os.kill(command, signal.SIGKILL)
    wait_for_end(command)
    lost = after.seen("h1", begun)
    assert (lost.state, lost.output) == (CommandState.LOST, "half way")
    assert (
        lost.why == f"was run on {machine}, and that control plane ended before it; how it ended is not known"
    )
    assert run(after).state is CommandState.SUCCEEDED
