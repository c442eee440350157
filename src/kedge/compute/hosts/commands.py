"""Commands of the administrator that change a host, run on the control plane's machine.

Only what the configuration names is run, without a shell, so that who may begin operations can't run what he likes. A
command is run by a program of its own (`supervise`), which keeps its time limit and writes down how it ended, also when
this process dies. For each host one runs at a time: whatever it starts holds a lock. Nothing is run twice by itself.
"""

import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import structlog

from kedge.model.errors import BadRequest, Conflict
from kedge.model.transition import CommandRun, CommandState, Way
from kedge.trust.private_files import opened

from . import supervise

log = structlog.get_logger()

KEPT = 4000
"""So many characters of what a command said are kept, the last ones."""

TIMEOUT_S = 600.0

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_SUPERVISE = (sys.executable, "-I", "-S", supervise.__file__)


class Commands:
    """The commands of this control plane.

    Args:
        configured: by name, a command and its arguments; `{host}` in them is the host's name, `{way}` its way.
        timeout_s: a command that takes longer is ended, and what it has started with it.
        directory: where locks and outputs are; without one, none outlives this process.
    """

    def __init__(
        self,
        configured: Mapping[str, Sequence[str]] | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        directory: Path | None = None,
    ) -> None:
        self._configured = {name: tuple(each) for name, each in (configured or {}).items()}
        self._timeout_s = timeout_s
        self._directory = directory
        self._ours: set[str] = set()
        self._lock = threading.Lock()

    def check(self, name: str) -> None:
        """Raises BadRequest, which says what to do, if there is no such command."""
        if name not in self._configured:
            known = ", ".join(sorted(self._configured)) or "none"
            raise BadRequest(
                f"There is no command {name!r}; configured are: {known}. An administrator of the control plane's"
                f' machine names it in kedge.toml: [transition] commands.{name} = ["/path/to/it", "{{host}}"].'
            )

    def heeds_way(self, name: str) -> bool:
        """It is told whether servers stay on the host. One that is not may count on an empty host."""
        return any("{way}" in each for each in self._configured[name])

    def begin(
        self,
        name: str,
        host: str,
        way: Way = Way.MOVES,
        *,
        note: Callable[[CommandRun], object],
        told: Callable[[CommandRun], object],
    ) -> None:
        """Run a command for a host. `note` writes down that it runs before it does; if that raises, it doesn't.

        `told` hears how it ended, from another thread. Raises BadRequest; Conflict if one for this host still runs.
        """
        self.check(name)
        if not _HOST.fullmatch(host):
            raise BadRequest(f"{host!r} is no name that a command could be given.")
        arguments = [each.replace("{way}", way).replace("{host}", host) for each in self._configured[name]]
        run = CommandRun(str(uuid.uuid4()), socket.gethostname(), CommandState.RUNNING)
        lock = self._locked(host)
        thread = threading.Thread(
            target=self._run,
            args=(arguments, run, host, lock, told),
            name=f"command-{run.id[:8]}",
            daemon=True,
        )
        with self._lock:
            self._ours.add(run.id)
        try:
            note(run)
            thread.start()
        except BaseException:
            self._forget(run, lock)
            raise

    def seen(self, host: str, run: CommandRun) -> CommandRun:
        """The run as it is now: one of which nobody knows, nor will hear, how it ended is lost."""
        with self._lock:
            ours = run.id in self._ours
        if run.state is not CommandState.RUNNING or ours:
            return run
        if run.on == socket.gethostname() and self._is_locked(host):
            return run
        if run.on != socket.gethostname():
            why = (
                f"was run on {run.on}, and that control plane ended before it; how it ended is not known here"
            )
            return replace(run, state=CommandState.LOST, why=why)
        output, ended = self._kept(host)
        with output, ended:
            return _ended_run(run, output, ended)

    def _run(
        self,
        arguments: Sequence[str],
        run: CommandRun,
        host: str,
        lock: int | None,
        told: Callable[[CommandRun], object],
    ) -> None:
        try:
            output, ended = self._kept(host)
            with output, ended:
                for each in (output, ended):
                    each.truncate(0)
                subprocess.run(
                    [*_SUPERVISE, str(self._timeout_s), str(ended.fileno()), run.id, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(ended.fileno(), *(() if lock is None else (lock,))),
                    check=False,
                )
                told(_ended_run(run, output, ended))
        except Exception as error:  # the database is away: the next look finds out how this run ended
            log.warning("how a command ended could not be written down", run=run.id, error=str(error))
        finally:
            self._forget(run, lock)

    def _forget(self, run: CommandRun, lock: int | None) -> None:
        if lock is not None:
            os.close(lock)
        with self._lock:
            self._ours.discard(run.id)

    def _path(self, name: str) -> Path | None:
        if self._directory is None:
            return None
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._directory / name

    def _file(self, name: str) -> IO[bytes]:
        """A file, so that what is in it does not depend on who reads it."""
        path = self._path(name)
        return TemporaryFile(buffering=0) if path is None else opened(path)

    def _kept(self, host: str) -> tuple[IO[bytes], IO[bytes]]:
        """Where the output of a host's command goes, and where it is written down how it ended."""
        return self._file(f"{host}.log"), self._file(f"{host}.ended")

    def _locked(self, host: str) -> int | None:
        path = self._path(f"{host}.lock")
        if path is None:
            return None
        with opened(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(f"a command for {host} still runs here; wait until it has ended") from None
            return os.dup(file.fileno())

    def _is_locked(self, host: str) -> bool:
        path = self._path(f"{host}.lock")
        if path is None:
            return False
        with opened(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False


def _ended_run(run: CommandRun, output: IO[bytes], ended: IO[bytes]) -> CommandRun:
    """The run as it has ended; lost, if nothing was written down of that."""
    said, written = _end_of(output), os.pread(ended.fileno(), 1 << 16, 0)
    how = json.loads(written) if written else {}
    if how.get("id") != run.id:
        why = f"was run on {run.on}, and what watched it was ended; how it ended is not known"
        return replace(run, state=CommandState.LOST, why=why, output=said)
    state = CommandState.FAILED if how["why"] else CommandState.SUCCEEDED
    return replace(
        run, state=state, why=how["why"], output=said, ended_at=datetime.fromtimestamp(how["at"], UTC)
    )


def _end_of(output: IO[bytes]) -> str:
    size = os.fstat(output.fileno()).st_size
    said = os.pread(output.fileno(), 4 * KEPT, max(0, size - 4 * KEPT))
    return said.decode(errors="replace")[-KEPT:].strip()
