"""How level hosts are, as it is shown."""

from collections.abc import Sequence

from .client import Json
from .render import row, show, table


def show_levels(levels: Sequence[Json]) -> None:
    """Print the hosts' levels now, and as they would be after a rebalance."""
    made = table("Host", "Now", "After", "Takes no part")
    for each in levels:
        row(
            made,
            each["host"],
            _said(each["before"], each["by"]),
            _said(each["after"], each["by"]),
            each["left_out"],
        )
    show(made, none="There is no host.")


def _said(level: float | None, by: str) -> str | None:
    if level is None:
        return None
    return f"{level:.1f} %" if by == "memory" else f"{level:.0f}"
