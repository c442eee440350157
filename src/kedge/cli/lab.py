"""`kedge lab …`: real hosts on this one machine, to try things on."""

from typing import TYPE_CHECKING, Annotated

import typer

from .exits import Exit
from .options import AsJson
from .render import complain, listed, print_json, row, say, show, table

if TYPE_CHECKING:
    from kedge.lab import Lab

VM = "vm1"

Bare = Annotated[bool, typer.Option("--bare", help="Only the hosts: no control plane, no agents, no VM.")]

app = typer.Typer(no_args_is_help=True, help="Five hypervisor hosts in namespaces of this machine.")


@app.command("up")
def up(bare: Bare = False, as_json: AsJson = False) -> None:
    """Make the lab, with Kedge and a VM on it. It stays until `kedge lab down`."""
    from kedge.lab import Lab  # noqa: PLC0415 - only a lab's machine has what it needs

    lab = Lab.up()
    url = None if bare else _furnish(lab)
    if as_json:
        print_json({name: _host(lab, name) for name in lab.hosts})
        return
    made = table("Host", "Address", "Backend", "libvirt")
    for name in lab.hosts:
        row(made, name, *_host(lab, name).values())
    show(made, none="")
    say("The lab is up.", "green")
    if url is not None:
        say(f"VM {VM} runs on h1. To look around: export KEDGE_URL={url}; kedge plan {VM} --to h3")


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """Show what there is of the lab: exit code 0 if it is healthy, 1 if not, 4 if there is none."""
    from kedge.lab import Lab  # noqa: PLC0415

    found = Lab.status()
    if as_json:
        print_json(
            {
                "healthy": found.healthy,
                "hosts": {name: list(domains) for name, domains in found.hosts.items()},
                "found": list(found.found),
            }
        )
    elif found.healthy:
        made = table("Host", "Domains")
        for name, domains in found.hosts.items():
            row(made, name, listed(domains))
        show(made, none="")
        say("The lab is healthy.", "green")
    elif found.found:
        complain(RuntimeError("The lab is only half there; remove it with `kedge lab down`. There is left:"))
        for each in found.found:
            say(f"  {each}")
    else:
        say("No lab is up; make one with `kedge lab up`.")
    if not found.healthy:
        raise typer.Exit(Exit.FAILED if found.found else Exit.NOT_FOUND)


@app.command("down")
def down(as_json: AsJson = False) -> None:
    """Remove the lab, whole or half made, whoever made it."""
    from kedge.lab import Lab  # noqa: PLC0415

    Lab.down()
    left = list(Lab.status().found)
    if as_json:
        print_json({"left": left})
    elif left:
        complain(RuntimeError(f"The lab could not be removed whole; there is left: {listed(left)}"))
    else:
        say("There is no lab any more.")
    if left:
        raise typer.Exit(Exit.FAILED)


def _furnish(lab: "Lab") -> str:
    """Start a control plane, agents and a VM; the URL of the control plane. Removes the lab if that fails."""
    from kedge.lab import tour  # noqa: PLC0415
    from kedge.lab.cloud import URL, Cloud  # noqa: PLC0415

    cloud = Cloud(lab)
    try:
        cloud.start()
        tour.make_vm(cloud, VM)
    except BaseException:
        cloud.down()
        raise
    return URL


def _host(lab: "Lab", name: str) -> dict[str, str]:
    host = lab.hosts[name]
    return {"address": str(host.address), "backend": str(host.backend), "libvirt": host.libvirt_uri}
