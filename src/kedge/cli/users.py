"""`kedge users …`: the file of those who may call from other machines."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kedge.model.errors import BadRequest, NotFound

from .options import AsJson
from .render import listed, print_json, row, say, show, table

app = typer.Typer(no_args_is_help=True, help="Who may call from other machines, and with which password.")

UserName = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]
File = Annotated[
    Path,
    typer.Option(
        "--file", metavar="FILE", dir_okay=False, help="The file, which [auth] of the configuration names."
    ),
]
_DEFAULT = Path("/etc/kedge/users")


@app.command("add")
def add(
    name: UserName,
    *,
    role: Annotated[
        list[str],
        typer.Option(metavar="reader|member|service|admin", help="What NAME may do; may be given again."),
    ],
    project: Annotated[
        str, typer.Option(metavar="PROJECT", help="Only for this project; for all of them without.")
    ] = "",
    file: File = _DEFAULT,
) -> None:
    """Add a user, or give one a new password and roles. The password is asked for, or read from standard input.

    A running control plane notices at once.
    """
    from kedge.auth import users_file  # noqa: PLC0415 - bcrypt is for these commands only

    users_file.put(file, name, _password(name), ",".join(role), project)
    say(f"{name} is in {file}.")


@app.command("remove")
def remove(name: UserName, *, file: File = _DEFAULT) -> None:
    """Remove a user."""
    from kedge.auth import users_file  # noqa: PLC0415

    if not users_file.remove(file, name):
        raise NotFound(f"There is no user {name!r} in {file}.")
    say(f"{name} is gone from {file}.")


@app.command("list")
def list_users(*, file: File = _DEFAULT, as_json: AsJson = False) -> None:
    """Show the users."""
    from kedge.auth.users import UsersFile  # noqa: PLC0415

    users = [user.identity for user in UsersFile(file).users().values()]
    if as_json:
        print_json([{"name": u.name, "roles": sorted(u.roles), "project": u.project} for u in users])
        return
    made = table("Name", "Roles", "Project")
    for user in users:
        row(made, user.name, listed(sorted(user.roles)), user.project)
    show(made, none="There are no users.")


def _password(name: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True))
    password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise BadRequest("There is no password on standard input.")
    return password
