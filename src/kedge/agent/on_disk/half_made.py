"""Which domains are being made, on disk, so that one whose making was cut short is known after a restart."""

import json
import threading
from pathlib import Path

import structlog

from kedge.agent.on_disk.json_file import read_object, write_atomically
from kedge.model.errors import HostFailure

log = structlog.get_logger(__name__)


class HalfMade:
    """A set of names. Thread-safe; `path` holds one JSON object."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._begun: set[str] = set(read_object(path))

    @property
    def begun(self) -> frozenset[str]:
        """What was begun and not ended, as far as is known."""
        return frozenset(self._begun)

    def begin(self, name: str) -> None:
        """Write down that something is being made. Raises HostFailure if it can't be; then it is not to be made."""
        with self._lock:
            self._store(self._begun | {name})
            self._begun.add(name)

    def end(self, name: str) -> None:
        """It is made, or gone. If that can't be written down now, a restarted agent finds it out by looking."""
        with self._lock:
            if name not in self._begun:
                return
            self._begun.discard(name)
            try:
                self._store(self._begun)
            except HostFailure as error:
                log.warning("can't write down that something was made", name=name, error=str(error))

    def _store(self, names: set[str]) -> None:
        write_atomically(self._path, json.dumps(dict.fromkeys(sorted(names), True)))
