"""Finds the lab's processes and runs commands inside its namespaces."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kedge.model.errors import HostFailure


@dataclass(frozen=True)
class ProcessId:
    """A process, told from a later one with the same number by when it started (clock ticks since boot)."""

    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """The process that has this number now, or None. A zombie counts as gone."""
        stat = _stat(pid)
        return None if stat is None or stat[0] == "Z" else cls(pid, int(stat[19]))

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return ProcessId.of(self.pid) == self


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third (the state) on, or None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def cpu_s(pid: int) -> float:
    """The CPU time, in seconds, of a process and of the children that it has waited for; 0 if there is none."""
    stat = _stat(pid)
    ticks = 0 if stat is None else sum(int(each) for each in stat[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def command_line(pid: int) -> list[str]:
    """The process's arguments; empty if it is gone or a kernel thread."""
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(argument) for argument in data.split(b"\0")[:-1]]


def child_of(parent: int) -> int | None:
    """The first process found whose parent is `parent`; /proc/PID/task/…/children is not on every kernel."""
    for pid in _pids():
        stat = _stat(pid)
        if stat is not None and int(stat[1]) == parent:
            return pid
    return None


def find(marker_prefix: str, marker_name: str) -> list[ProcessId]:
    """Every process that runs, or is about to run, a program called `marker_prefix…/marker_name`.

    Only the last program named on the command line counts, and only behind `unshare` or `env`, so that an
    editor or a `grep` with such an argument is never meant.
    """
    found = []
    for pid in _pids():
        arguments = command_line(pid)
        if len(arguments) < 2 or arguments[-1] != "infinity":
            continue
        program = arguments[-2]
        if not (program.startswith(marker_prefix) and program.endswith("/" + marker_name)):
            continue
        if len(arguments) > 2 and Path(arguments[0]).name not in {"unshare", "env"}:
            continue
        process = ProcessId.of(pid)
        if process is not None:
            found.append(process)
    return found


def kill(processes: Sequence[ProcessId], timeout: float = 20) -> None:
    """Kills these processes and waits until they are gone. Raises HostFailure if one stays."""
    for process in processes:
        if process.alive:
            os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + timeout
    while any(process.alive for process in processes):
        if time.monotonic() > deadline:
            left = [process.pid for process in processes if process.alive]
            raise HostFailure(
                f"processes {left} of the lab do not end after SIGKILL; look at /proc/PID/stack"
            )
        time.sleep(0.01)


class NamespaceProcess(subprocess.Popen[Any]):
    """A command behind `nsenter`. Signals go to the command itself: nsenter does not pass them on."""

    def send_signal(self, sig: int) -> None:
        """Signals the command inside the namespaces, or nsenter as long as it has not started the command.

        nsenter stands still meanwhile, for a command that it starts just then would get no signal and live on.
        """
        if self.poll() is not None:
            return
        os.kill(self.pid, signal.SIGSTOP)
        while (stat := _stat(self.pid)) is not None and stat[0] not in "TZ":
            time.sleep(0.001)
        os.kill(child_of(self.pid) or self.pid, sig)
        os.kill(self.pid, signal.SIGCONT)


def run(
    argv: Sequence[str], *, check: bool = True, timeout: float = 60, text_input: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, output captured as text.

    Raises HostFailure, with what it wrote to stderr, if it fails (and `check`) or takes over `timeout` s.
    """
    process = NamespaceProcess(
        list(argv),
        stdin=subprocess.PIPE if text_input is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        stdout, stderr = process.communicate(text_input, timeout)
    except subprocess.TimeoutExpired as error:
        raise HostFailure(f"`{' '.join(argv)}` did not end within {timeout} s") from error
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    if check and process.returncode != 0:
        raise HostFailure(
            f"`{' '.join(argv)}` failed ({process.returncode}): {stderr.strip() or stdout.strip()}"
        )
    return subprocess.CompletedProcess(list(argv), process.returncode, stdout, stderr)
