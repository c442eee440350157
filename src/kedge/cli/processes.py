"""`kedge serve` and `kedge agent`: the two processes that Kedge consists of."""

from pathlib import Path
from typing import Annotated

import typer

from kedge.model.errors import HostFailure

from .client import SOCKET


def serve(
    *,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Configuration, TOML; the options here win."),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Database and certificates are kept here; /var/lib/kedge without.",
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS:PORT", help="For clients, 127.0.0.1:9696 without; '' for nowhere."),
    ] = None,
    agents: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS:PORT", help="For agents, with mutual TLS, for example 192.0.2.1:9798."),
    ] = None,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="SQLAlchemy's URL; a SQLite file in DIR without.")
    ] = None,
    socket: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help=f"Unix socket for root on this machine; {SOCKET} without, '' for none."
        ),
    ] = None,
    pki: Annotated[
        Path | None, typer.Option(metavar="DIR", file_okay=False, help="Certificates; pki in DIR without.")
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="For clients: HTTPS, with this certificate."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="The certificate's key.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Processes that serve the API; 1 without.")
    ] = None,
) -> None:
    """Run the control plane until SIGTERM or Ctrl-C. Migrations go on when it is started again."""
    from kedge.config import load  # noqa: PLC0415 - the whole server
    from kedge.control_plane import run  # noqa: PLC0415

    options = {
        "state_dir": state_dir,
        "listen": listen,
        "agents": agents or None,
        "database": database,
        "socket": socket,
        "pki": pki,
        "workers": workers,
        "certificate": certificate,
        "key": key,
    }
    run(load(config, {name: value for name, value in options.items() if value is not None}))


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
