"""How answers look: JSON for programs, tables and sentences for people."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from kedge.model.errors import KedgeError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

Cell: TypeAlias = "str | int | Text | None"

PIPE_WIDTH = 10_000
"""Columns of what is not a terminal: a program that reads lines gets whole ones."""

_WHOLE = frozenset({"Id", "MAC", "Host", "Status", "Binding", "Agent"})
_STATUS_STYLES = {
    "ACTIVE": "green",
    "INACTIVE": "yellow",
    "BUILD": "yellow",
    "MIGRATING": "yellow",
    "DOWN": "red",
    "ERROR": "red",
    "completed": "green",
    "failed": "red",
    "cancelled": "red",
    "rolling-back": "red",
    "binding_failed": "red",
}


class Plain:
    """Lines on what is no terminal. Only what has to be laid out needs Rich, which takes long to import."""

    is_terminal = False

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def print(self, what: object = "", *, style: str | None = None, soft_wrap: bool = False) -> None:
        """As Rich's."""
        if isinstance(what, str):
            self._stream.write(f"{what}\n")
        else:
            _console(self._stream).print(what, style=style, soft_wrap=soft_wrap)


def console(*, stderr: bool = False) -> "Console | Plain":
    """A console on standard output, or standard error, as it is now."""
    stream = sys.stderr if stderr else sys.stdout
    return _console(stream) if stream.isatty() or os.environ.get("FORCE_COLOR") else Plain(stream)


def _console(stream: IO[str]) -> "Console":
    from rich.console import Console  # noqa: PLC0415 - see `Plain`

    return Console(
        file=stream,
        width=None if stream.isatty() else PIPE_WIDTH,
        # Rich itself would keep bold and underlined text; plain is to be plain.
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )


def say(text: "str | Text" = "", style: str | None = None) -> None:
    """A sentence on standard output."""
    console().print(text, style=style)


def print_json(value: Any) -> None:
    """JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def complain(error: Exception) -> None:
    """An error on standard error: one red sentence, and below it each reason that it has."""
    reasons = getattr(error, "reasons", ()) if isinstance(error, KedgeError) else ()
    message = getattr(error, "summary", str(error)) if reasons else str(error)
    out = console(stderr=True)
    out.print(f"Error: {' '.join(message.split())}{':' if reasons else ''}", style="red")
    for reason in reasons:
        out.print(f"  - {reason}", style="red")


def short(identity: str) -> str:
    """The beginning of an id, which the commands take for the whole one as long as it is the only such."""
    return identity[:8]


def table(*columns: str) -> "Table":
    """An empty table. What is copied out of it or has a few letters anyway is never broken."""
    from rich.table import Table  # noqa: PLC0415

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, no_wrap=column in _WHOLE, overflow="fold")
    return made


def row(into: "Table", *cells: Cell) -> None:
    """Add a row; None is shown as a dash."""
    from rich.text import Text  # noqa: PLC0415

    into.add_row(
        *(each if isinstance(each, Text) else Text("-" if each is None else str(each)) for each in cells)
    )


def show(made: "Table", *, none: str) -> None:
    """Print a table, or the sentence `none` if it is empty."""
    console().print(made if made.row_count else none)


def facts(values: Mapping[str, Cell]) -> None:
    """Print what is known of one thing, a line for each."""
    from rich.table import Table  # noqa: PLC0415

    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in values.items():
        row(made, name, value)
    console().print(made)


def status(text: str) -> "Text":
    """A status in its colour."""
    from rich.text import Text  # noqa: PLC0415

    return Text(text, style=_STATUS_STYLES.get(text, ""))


def diff(text: str) -> None:
    """Print a unified diff in colour."""
    from rich.text import Text  # noqa: PLC0415

    out = console()
    for line in text.splitlines():
        out.print(Text(line, style=_diff_style(line)), soft_wrap=True)


def _diff_style(line: str) -> str:
    if line.startswith(("+++", "---")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")


def attachment(vif_type: str, details: Mapping[str, Any]) -> str:
    """A binding in a few words: its type and what it is attached to."""
    parts = [vif_type]
    if details.get("ovs_hybrid_plug"):
        parts.append("(hybrid)")
    parts += [str(details[key]) for key in ("macvtap_source", "bridge_name") if details.get(key)]
    return " ".join(parts)


def binding(of: Mapping[str, Any] | None) -> str | None:
    """A binding as Kedge's or Neutron's API gives it, in a few words; None if there is none."""
    return attachment(of["vif_type"], of["vif_details"]) if of else None


def listed(values: Iterable[str]) -> str:
    """Values with commas between them, or a dash."""
    return ", ".join(values) or "-"


def mib(size: float) -> str:
    """Bytes as MiB."""
    return f"{size / 2**20:.1f}" if size < 10 * 2**20 else f"{size / 2**20:.0f}"


def ms(value: float | None) -> str:
    """A measured time. What was not measured says so, and is never replaced by a limit or a guess."""
    if value is None:
        return "not measured"
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms"
