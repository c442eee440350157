"""What is shown of a migration while it runs: here lines in a log, and in `screen` a picture on a terminal."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from .client import Json
from .render import Plain
from .summary import copying, what, when

if TYPE_CHECKING:
    from rich.console import Console

PROGRESS_EVERY_S = 1.0


class View(Protocol):
    """What shows a migration while it runs."""

    def __enter__(self) -> "View":
        """Begin to show."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End to show."""
        ...

    def show(self, migration: Json) -> None:
        """Show it as it is now."""
        ...

    def say(self, text: str) -> None:
        """Say something beside that."""
        ...


class Lines:
    """For a pipe or a log: a line for each entry of the timeline, and one a second while memory is copied."""

    def __init__(self, out: "Console | Plain", title: str) -> None:
        self._out = out
        self._title = title
        self._shown: set[str] = set()
        self._progress = ""
        self._progress_at = -PROGRESS_EVERY_S

    def __enter__(self) -> "Lines":
        self._out.print(self._title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, migration: Json) -> None:
        """Print what is new."""
        for entry in migration["timeline"]:
            self._once(entry["phase"], f"{when(migration, entry)}  {what(entry)}")
        if migration["status"] == "rolling-back":
            self._once("rolling-back", " " * 12 + "rolling back")
        if migration["status"] == "running":
            self._show_progress(copying(migration))

    def say(self, text: str) -> None:
        """Print it."""
        self._out.print(text)

    def _once(self, key: str, line: str) -> None:
        if key not in self._shown:
            self._shown.add(key)
            self._out.print(line)

    def _show_progress(self, text: str | None) -> None:
        now = time.monotonic()
        if text is None or text == self._progress or now - self._progress_at < PROGRESS_EVERY_S:
            return
        self._progress, self._progress_at = text, now
        self._out.print(f"{'':12}running: {text}")
