"""All commands, as Typer shows and takes them apart."""

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from .sentences import as_sentences

_COMMANDS = {
    "plan": "moving.plan",
    "migrate": "moving.migrate",
    "migrations": "migrations.app",
    "drain": "operations.drain",
    "restore": "operations.restore",
    "rebalance": "rebalance.rebalance",
    "transition": "transition.transition",
    "operations": "operations.app",
    "rewirings": "rewirings.app",
    "policies": "policies.policies",
    "server": "servers.app",
    "hosts": "hosts.app",
    "doctor": "doctor.doctor",
    "networks": "networks.app",
    "ports": "ports.app",
    "bindings": "bindings.app",
    "serve": "processes.serve",
    "agent": "processes.agent",
    "pki": "pki.app",
    "users": "users.app",
    "openrc": "openrc.openrc",
    "lab": "lab.app",
}
"""Where each command is: a function, or a group of more of them."""


class _Commands(TyperGroup):
    """Imports a command when it is asked for, and ends every command's errors here, wherever they come from."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in _COMMANDS and cmd_name not in self.commands:
            self.commands[cmd_name] = _loaded(cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in _COMMANDS:
            for name in _COMMANDS:  # what is like it is suggested from those that are loaded
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with as_sentences():
            return super().invoke(ctx)


def _loaded(name: str) -> Any:
    module, _, attribute = _COMMANDS[name].partition(".")
    found = getattr(import_module(f".{module}", __package__), attribute)
    alone = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name)(found)
    return get_group(alone).commands[name]


app = typer.Typer(
    name="kedge",
    cls=_Commands,
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
