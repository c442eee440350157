"""What the lab writes down about itself, and the lock that one up or down at a time holds."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kedge.model.errors import Conflict

from .layout import LOCK, ROOT
from .processes import ProcessId


@dataclass(frozen=True)
class LabState:
    """The lab's record: who made it, and the init of each node."""

    owner: ProcessId
    complete: bool
    inits: Mapping[str, ProcessId]

    def write(self) -> None:
        """Replaces the record on disk in one step."""
        ROOT.mkdir(mode=0o755, exist_ok=True)
        new = _file().with_suffix(".new")
        new.write_text(
            json.dumps(
                {
                    "owner": [self.owner.pid, self.owner.start],
                    "complete": self.complete,
                    "inits": {name: [init.pid, init.start] for name, init in self.inits.items()},
                }
            )
        )
        new.replace(_file())

    @classmethod
    def read(cls) -> "LabState | None":
        """The record, or None if there is none or it was torn by a crash."""
        try:
            data = json.loads(_file().read_text())
            return cls(
                owner=ProcessId(*data["owner"]),
                complete=data["complete"],
                inits={name: ProcessId(*init) for name, init in data["inits"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def healthy(self) -> bool:
        """Whether the lab was made to its end and every node is still there."""
        return self.complete and all(init.alive for init in self.inits.values())


def _file() -> Path:
    return ROOT / "state.json"


@contextmanager
def locked(timeout: float = 120) -> Iterator[None]:
    """Holds the machine's one lab lock; the kernel lets go of it when the holder dies.

    Raises Conflict if another process holds it for `timeout` s.
    """
    descriptor = _acquire(time.monotonic() + timeout)
    try:
        yield
    finally:
        LOCK.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(deadline: float) -> int:
    while True:
        descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last holder removes the file, so the lock counts only on the file that is there now.
            if LOCK.exists() and LOCK.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise Conflict("another process is making or removing the lab; wait for it to end") from None
        os.close(descriptor)
        time.sleep(0.05)
