"""A picture of a migration on a terminal, drawn anew while it runs."""

from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from .client import Json
from .render import status
from .summary import copying, what, when

BAR_WIDTH = 30
REFRESHES_PER_S = 10


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
