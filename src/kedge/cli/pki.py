"""`kedge pki …`: the certificates by which agents and control plane know each other."""

from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson, Directory
from .render import facts, print_json, say

app = typer.Typer(no_args_is_help=True, help="Certificates for agents and control plane.")


@app.command("init")
def init(directory: Directory, as_json: AsJson = False) -> None:
    """Make a certificate authority in DIR. Its ca.key never needs to leave there."""
    from kedge.trust.certificates import CertificateAuthority  # noqa: PLC0415 - cryptography is slow to import

    CertificateAuthority.create(directory)
    if as_json:
        print_json({"ca": str(directory / "ca.pem"), "key": str(directory / "ca.key")})
        return
    say(f"A certificate authority is in {directory}; keep {directory / 'ca.key'} safe.")


@app.command("issue")
def issue(
    directory: Directory,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The holder: for an agent, its host's name.")],
    *,
    role: Annotated[str, typer.Option(metavar="agent|control", help="What the holder may do.")],
    address: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="IP address or DNS name it is reached at; may be given again."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", file_okay=False, help="Write NAME.pem and NAME.key here.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Issue a certificate from the authority in DIR."""
    from kedge.model.errors import BadRequest  # noqa: PLC0415
    from kedge.trust.certificates import CertificateAuthority, Role  # noqa: PLC0415

    if role not in set(Role):
        raise BadRequest(f"--role {role!r} is neither {Role.AGENT} nor {Role.CONTROL}.")
    made = CertificateAuthority.open(directory).issue(name, Role(role), address or [], out or directory)
    files = {"certificate": str(made.certificate), "key": str(made.key), "ca": str(made.ca)}
    if as_json:
        print_json(files)
        return
    facts(files)
