"""What is shown of a migration while it runs: lines in a log, or a picture on a terminal."""

import time
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from .client import Json
from .render import status
from .summary import copying, what, when

PROGRESS_EVERY_S = 1.0
BAR_WIDTH = 30
REFRESHES_PER_S = 10


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

    def __init__(self, out: Console, title: str) -> None:
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


class Screen:
    """For a terminal: the timeline as it grows, and below it how far the copying of memory is."""

    def __init__(self, out: Console, title: str) -> None:
        self._title = title
        self._said: list[str] = []
        self._migration: Json | None = None
        self._live = Live(console=out, refresh_per_second=REFRESHES_PER_S)

    def __enter__(self) -> "Screen":
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, migration: Json) -> None:
        """Draw it anew."""
        self._migration = migration
        self._draw()

    def say(self, text: str) -> None:
        """Keep it below the picture."""
        self._said.append(text)
        self._draw()

    def _draw(self) -> None:
        parts: list[Text | ProgressBar] = [Text(self._title, "bold")]
        if self._migration is not None:
            parts += _picture(self._migration)
        parts += [Text(each, "yellow") for each in self._said]
        self._live.update(Group(*parts))


def _picture(migration: Json) -> list[Text | ProgressBar]:
    parts: list[Text | ProgressBar] = [
        Text(f"{when(migration, entry)}  {what(entry)}") for entry in migration["timeline"]
    ]
    if migration["finished_at"] is not None:
        return parts
    line = Text("  ").append_text(status(migration["status"]))
    progress = copying(migration)
    if progress is not None:
        line.append(f": {progress}")
        seen = migration["progress"]
        copied = seen["memory_total"] - seen["memory_remaining"]
        parts.append(ProgressBar(total=seen["memory_total"], completed=copied, width=BAR_WIDTH))
    parts.append(line)
    return parts
