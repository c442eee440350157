"""The highest epoch that this host has seen, on disk, so that a restarted agent still refuses an older one.

An epoch grows with every conductor that takes a server over. It is compared per subject (a server, a port,
a migration). Epoch 0 marks an order that belongs to no migration, and is never compared.
"""

import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from kedge.model.errors import HostFailure, StaleEpoch

# Far more than the servers and ports of one host; the ones used longest ago are forgotten.
_REMEMBERED = 10_000


class Epochs:
    """Thread-safe; `path` holds one JSON object from subject to epoch."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._highest: dict[str, int] = read_object(path)

    def admit(self, subject: str, epoch: int) -> None:
        """Let an order pass. Raises StaleEpoch when one with a higher epoch came before.

        An epoch that can't be written down is not let in, for a restarted agent would not know of it. Raises
        HostFailure.
        """
        if epoch == 0:
            return
        with self._lock:
            highest = self._highest.get(subject, 0)
            if epoch < highest:
                raise StaleEpoch(
                    f"the order for {subject} has epoch {epoch}, and one with epoch {highest} came before: "
                    "another conductor has taken over"
                )
            if epoch > highest:
                self._highest = self._stored(subject, epoch)

    def _stored(self, subject: str, epoch: int) -> dict[str, int]:
        later = {known: each for known, each in self._highest.items() if known != subject} | {subject: epoch}
        later = dict(list(later.items())[-_REMEMBERED:])
        write_atomically(self._path, json.dumps(later))
        return later


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, empty if there is no file. Raises HostFailure for one that holds anything else."""
    try:
        found = json.loads(path.read_text()) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise HostFailure(
            f"the agent can't read {path}: {error}; mend or remove it, while no migration is under way"
        ) from error
    if not isinstance(found, dict):
        raise HostFailure(f"{path} holds no JSON object; remove it, while no migration is under way")
    return found


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a crash leaves the old or the new content. Raises HostFailure; then the old one stays."""
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise HostFailure(
            f"the agent can't write to {path.parent} ({error.strerror or error}), so it takes no new orders; "
            "make room there, and see that it may be written to"
        ) from error
