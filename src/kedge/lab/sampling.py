"""What the lab's little programs share: they measure until SIGTERM, and then write one JSON result.

`Sampler` is the side that starts and stops such a program; `StopFlag`, `started` and `write_result` are the
program's side.
"""

import json
import os
import signal
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from kedge.model.errors import HostFailure

from .node import Node

SO_TIMESTAMPNS = 35  # asm-generic/socket.h; the socket module has no name for it


class Sampler:
    """One of Kedge's modules, run as a program on a node of the lab until its result is asked for."""

    def __init__(self, node: Node, module: str, *arguments: str) -> None:
        name = module.rpartition(".")[2]
        self._what = f"{name} {arguments[-1]} on {node.name}"
        self._log = node.directory / "log" / f"{name}.log"
        self._output = node.directory / "log" / f"{name}-{time.monotonic_ns()}.json"
        self._process = node.python(module, "--output", str(self._output), *arguments, log=self._log)
        self._wait_until_it_measures()

    def _wait_until_it_measures(self) -> None:
        mark = _started_mark(self._output)
        deadline = time.monotonic() + 30
        while not mark.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                raise HostFailure(f"{self._what} did not start; see {self._log}")
            time.sleep(0.01)
        mark.unlink()

    def result(self) -> Any:
        """Ends the program and gives what it wrote. Raises HostFailure if it wrote nothing."""
        self._process.terminate()
        self._process.wait(30)
        if not self._output.exists():
            raise HostFailure(f"the measurement left no result; see {self._log}")
        data = json.loads(self._output.read_text())
        self._output.unlink()
        return data


class StopFlag:
    """Set by SIGTERM or SIGINT, so that a program can end its loop and write its result."""

    def __init__(self) -> None:
        self.set = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.set = True


def timespec_ns(data: bytes) -> int:
    """The instant, in ns, that a kernel's time stamp (struct timespec) holds."""
    seconds, nanoseconds = struct.unpack("@qq", data[:16])
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def arrival_ns(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    """When the kernel got what a socket with SO_TIMESTAMPNS received."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            return timespec_ns(data)
    return time.time_ns()


def _started_mark(output: Path) -> Path:
    return output.with_suffix(".started")


def started(output: Path) -> None:
    """Tells the `Sampler` that the program measures from now on; it goes before other processes from here."""
    # Without the right to do so it measures all the same, with more noise.
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
        Path("/proc/self/autogroup").write_text("-15")
    _started_mark(output).touch()


def write_result(output: Path, result: Any) -> None:
    """Writes the result in one step, so that a reader sees all of it or none."""
    new = output.with_suffix(".new")
    new.write_text(json.dumps(result))
    new.replace(output)
