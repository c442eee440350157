"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON on standard output.")]
ServerName = Annotated[str, typer.Argument(metavar="SERVER", help="A server's name or id.")]
NetworkName = Annotated[str, typer.Argument(metavar="NETWORK", help="A network's name or id.")]
PortName = Annotated[
    str, typer.Argument(metavar="PORT", help="A port's id, the beginning of its id, or its name.")
]
HostName = Annotated[str, typer.Argument(metavar="HOST", help="A host's name, as `kedge hosts` shows it.")]
MigrationId = Annotated[str, typer.Argument(metavar="ID", help="A migration's id, or the beginning of it.")]
Directory = Annotated[Path, typer.Argument(metavar="DIR", file_okay=False)]
Labels = Annotated[
    list[str], typer.Argument(metavar="KEY=VALUE…", help="Labels to set, and `KEY-` for one to take off.")
]
OfServer = Annotated[str | None, typer.Option("--server", metavar="SERVER", help="Only this server's.")]
To = Annotated[
    str | None,
    typer.Option("--to", metavar="HOST", help="The host to move to; all others are looked at without."),
]
ToAny = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="HOST,…",
        help="The host to move to, or several to be tried in turn; without, any that can take it, the best first.",
    ),
]
