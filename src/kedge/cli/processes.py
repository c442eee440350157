"""`kedge serve` and `kedge agent`: the two processes that Kedge consists of."""

from pathlib import Path
from typing import Annotated

import typer

from kedge.model.errors import HostFailure

from .client import SOCKET


def serve(
    *,
    state_dir: Annotated[
        Path, typer.Option(metavar="DIR", file_okay=False, help="Database and certificates are kept here.")
    ] = Path("/var/lib/kedge"),
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS:PORT", help="For clients, on loopback; '' for nowhere.")
    ] = "127.0.0.1:9696",
    agents: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS:PORT", help="For agents, with mutual TLS, for example 192.0.2.1:9798."),
    ] = None,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="SQLAlchemy's URL; a SQLite file in DIR without.")
    ] = None,
    socket: Annotated[
        str, typer.Option(metavar="PATH", help="Unix socket for root on this machine; '' for none.")
    ] = str(SOCKET),
    pki: Annotated[
        Path | None, typer.Option(metavar="DIR", file_okay=False, help="Certificates; pki in DIR without.")
    ] = None,
) -> None:
    """Run the control plane until SIGTERM or Ctrl-C. Migrations go on when it is started again."""
    from kedge.control_plane import ControlPlaneConfig, run  # noqa: PLC0415 - the whole server

    run(
        ControlPlaneConfig(
            state_dir=state_dir,
            database=database,
            socket=Path(socket) if socket else None,
            listen=listen or None,
            agents=agents or None,
            pki=pki,
        )
    )


def agent(
    config: Annotated[
        Path, typer.Option(metavar="FILE", dir_okay=False, help="The agent's configuration, TOML.")
    ],
) -> None:
    """Run this host's agent until SIGTERM or Ctrl-C."""
    try:
        from kedge.agent.main import run  # noqa: PLC0415 - needs libvirt, which only hosts have
    except ModuleNotFoundError as error:
        raise HostFailure(
            f"An agent needs the Python module {error.name}, which is not here; install kedge[agent]."
        ) from None
    run(config)
