"""The `kedge` command.

Each module here has the commands of one group. What they say goes to standard output; errors go to standard
error as one sentence, with an exit code of `kedge.cli.exits`. What is heavy (the servers, the lab, libvirt) is
imported by the one command that needs it.
"""

import os
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from kedge.model.errors import KedgeError

from . import (
    bindings,
    doctor,
    hosts,
    lab,
    migrations,
    moving,
    networks,
    pki,
    ports,
    processes,
    servers,
    users,
)
from .exits import Exit, exit_code
from .render import complain

_TRACEBACK = "KEDGE_TRACEBACK"


class _ErrorsAsSentences(TyperGroup):
    """Ends every command's errors here, wherever in it they come from."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
            raise
        except KedgeError as error:
            complain(error)
            raise typer.Exit(exit_code(error)) from None
        except OSError as error:
            complain(error)
            raise typer.Exit(Exit.FAILED) from None
        except Exception as error:
            _complain_of_mistake(error)
            raise typer.Exit(Exit.FAILED) from None


def _complain_of_mistake(error: Exception) -> None:
    if os.environ.get(_TRACEBACK):
        traceback.print_exc()
    complain(
        RuntimeError(
            f"Kedge did not expect this: {type(error).__name__}: {error}."
            f" With {_TRACEBACK}=1 the same command shows where it happened."
        )
    )


app = typer.Typer(
    name="kedge",
    cls=_ErrorsAsSentences,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - for this option only

        try:
            typer.echo(f"kedge {version('kedge')}")
        except PackageNotFoundError:
            typer.echo("kedge, run from its source tree")
        raise typer.Exit


@app.callback()
def root(
    url: Annotated[
        str | None,
        typer.Option(
            envvar="KEDGE_URL",
            metavar="URL",
            help="The control plane: http://127.0.0.1:9696 or unix:///run/kedge/kedge.sock."
            " Without it, that socket if it is there, else that address.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Live-migrate VMs between libvirt/KVM hosts, and carry their network with them.

    Exit codes: 0 done; 1 it failed; 2 bad usage; 3 refused before anything was touched; 4 not found;
    5 no control plane answers; 130 interrupted.
    """


app.command()(moving.plan)
app.command()(moving.migrate)
app.add_typer(migrations.app, name="migrations")
app.add_typer(servers.app, name="server")
app.add_typer(hosts.app, name="hosts")
app.command()(doctor.doctor)
app.add_typer(networks.app, name="networks")
app.add_typer(ports.app, name="ports")
app.add_typer(bindings.app, name="bindings")
app.command()(processes.serve)
app.command()(processes.agent)
app.add_typer(pki.app, name="pki")
app.add_typer(users.app, name="users")
app.add_typer(lab.app, name="lab")


def main() -> None:
    """Run the command line."""
    app()


__all__ = ["app", "main"]
