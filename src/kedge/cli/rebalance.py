"""`kedge rebalance`."""

from typing import Annotated

import typer

from kedge.model.rebalance import Levelling, Measure

from .client import Json
from .operation_begin import begins, names_said


@begins
def rebalance(
    hosts: Annotated[
        str,
        typer.Option("--hosts", metavar="HOST,…", help="Level these hosts; all that are enabled without."),
    ] = "",
    by: Annotated[
        Measure,
        typer.Option(help="What is levelled: the share of memory promised, or the number of servers."),
    ] = Measure.MEMORY,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Hosts no further apart are level enough: in percent of memory (10), or in servers (1).",
            show_default=False,
        ),
    ] = None,
    moves: Annotated[int, typer.Option(help="Move so many servers at most.")] = Levelling.moves,
) -> Json:
    """Level the hosts: live-migrate servers from the fullest to the emptiest. Ctrl-C leaves it running."""
    levelling = {"by": by, "threshold": threshold, "moves": moves}
    return {"kind": "rebalance", "to": names_said(hosts), "levelling": levelling}
