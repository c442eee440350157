"""`kedge plan` and `kedge migrate`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from kedge.model.server import MigrationOptions, TimeoutAction

from . import migrating
from .client import START_S, Json, connect, segment
from .exits import Exit
from .lookup import KEDGE_API
from .options import AsJson, ServerName, To, ToAny
from .render import binding as in_words
from .render import console, diff, print_json, row, say, show, table


def plan(
    context: typer.Context,
    server: ServerName,
    *,
    to: To = None,
    policy: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of `kedge policies`; without, by the server's label."),
    ] = None,
    measure: Annotated[
        int,
        typer.Option(
            metavar="SECONDS",
            min=0,
            max=60,
            help="Measure for so long how fast the server writes to its memory, and say what copying it comes to.",
        ),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Show what a migration would do.

    That is each port's binding on both hosts, what is plugged, and the domain XML. Nothing is stored or plugged.
    Without a host, it shows which hosts could take the server, the best first, and what is in the way of the others.
    """
    path = f"{KEDGE_API}/servers/{segment(server)}"
    with connect(context) as api:
        if to is None:
            query = {} if policy is None else {"policy": policy}
            found: Any = api.get(f"{path}/candidates", query, wait_s=START_S)
        else:
            found = api.post(f"{path}/plan", {"host": to, "policy": policy}, wait_s=START_S)
        forecast: Json | None = None
        if measure:
            asked = {"measure_s": measure, "policy": policy}
            forecast = api.post(f"{path}/forecast", asked, wait_s=START_S)
    if as_json:
        # What programs read without it stays as it is.
        print_json({"plan": found, "forecast": forecast} if forecast else found)
    else:
        _show_all(found) if to is None else _show(found)
        if forecast:
            say(_in_words(forecast), None if forecast["copy_s"] is not None else "red")
        say("Nothing was stored or plugged.")
    possible = any(each["possible"] for each in found) if to is None else not found["obstacles"]
    if not possible:
        raise typer.Exit(Exit.REFUSED)


def migrate(
    context: typer.Context,
    server: ServerName,
    *,
    to: ToAny = "",
    downtime_limit: Annotated[
        int | None,
        typer.Option(
            metavar="MS",
            min=1,
            help="The pause that QEMU may plan for; chosen by what must be copied without.",
        ),
    ] = None,
    bandwidth: Annotated[
        int, typer.Option(metavar="MIB", min=0, help="Limit of the transfer rate in MiB/s; 0 for none.")
    ] = 0,
    auto_converge: Annotated[
        bool,
        typer.Option(
            "--auto-converge", help="Slow the guest down if it changes memory faster than it is copied."
        ),
    ] = False,
    connections: Annotated[
        int, typer.Option(metavar="N", min=0, help="Copy over so many connections at once (multifd).")
    ] = 0,
    compression: Annotated[
        str, typer.Option(metavar="zstd", help="What is sent over these connections is compressed.")
    ] = "",
    compression_level: Annotated[
        int | None, typer.Option(metavar="N", help="1, the fastest, to 20; chosen by QEMU without.")
    ] = None,
    completion_timeout: Annotated[
        float | None,
        typer.Option(metavar="S", help="How long it may take until the VM is handed over; no limit without."),
    ] = None,
    progress_timeout: Annotated[
        float,
        typer.Option(
            metavar="S",
            min=0,
            help="How long the memory that remains may fail to reach a new low; 0 for no limit.",
        ),
    ] = 240,
    on_timeout: Annotated[
        TimeoutAction,
        typer.Option(help="What to do then: give up, let the VM stand still until it is over, or post-copy."),
    ] = TimeoutAction.ABORT,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of `kedge policies`, instead of all of these; without, by the server's label.",
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Only start it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Live-migrate a server, and show how far it is. Ctrl-C asks for an abort."""
    options = {
        "downtime_limit_ms": downtime_limit,
        "bandwidth_mib": bandwidth,
        "auto_converge": auto_converge,
        "completion_timeout_s": completion_timeout,
        "progress_timeout_s": progress_timeout or None,
        "timeout_action": on_timeout,
        "connections": connections,
        "compression": compression,
        "compression_level": compression_level,
    }
    with connect(context) as api:
        migrating.migrate(api, server, to, _chosen(options), policy=policy, detach=detach, as_json=as_json)


def _chosen(options: Json) -> Json:
    """Those that are not as usual: with none, a policy holds."""
    usual = MigrationOptions()
    return {name: value for name, value in options.items() if value != getattr(usual, name)}


def _show_all(found: Sequence[Json]) -> None:
    from rich.text import Text  # noqa: PLC0415 - `kedge migrate` needs none

    made = table("Host", "Can take it", "Weight", "In the way")
    for each in found:
        answer = Text("yes", "green") if each["possible"] else Text("no", "red")
        row(made, each["host"], answer, _weight(each["weights"]), "\n".join(each["obstacles"]))
    show(made, none="There is no other host.")


def _in_words(forecast: Json) -> str:
    rate = forecast["dirty_mib"]
    writes = "How fast it writes could not be measured" if rate is None else f"It writes {rate:.0f} MiB/s"
    copied = f"{writes} to its {forecast['memory_mib']:.0f} MiB of memory; copied at {forecast['rate_mib']:.0f} MiB/s"
    if forecast["copy_s"] is None:
        helps = " or ".join(forecast["remedies"])
        return f"{copied}, that would not end" + (f"; it would with {helps}." if helps else ".")
    how = f", by {forecast['how']}" if forecast["how"] else ""
    still = f"standing still for {forecast['downtime_ms']:.0f} ms"
    return f"{copied}, that takes {forecast['copy_s']:.1f} s{how}, {still} at the end."


def _weight(weights: Mapping[str, float]) -> str | None:
    if not weights:
        return None
    parts = ", ".join(f"{name} {value:.2f}" for name, value in weights.items())
    return f"{sum(weights.values()):.2f} ({parts})"


def _show(found: Json) -> None:
    from rich.text import Text  # noqa: PLC0415

    source, destination = found["source"], found["destination"]
    say(Text(f"{found['server']['name']}: {source} -> {destination}", "bold"))
    say()
    made = table("MAC", "Network", f"On {source}", f"On {destination}", "Plugged there")
    for port in found["ports"]:
        plugged = Text(port["obstacle"], "red") if port["obstacle"] else Text(port["plug"])
        here, there = in_words(port["source_binding"]), in_words(port["destination_binding"])
        row(made, port["mac_address"], port["network"], here, there, plugged)
    show(made, none="It has no ports.")
    say()
    if found["xml_diff"]:
        diff(found["xml_diff"])
        say()
    elif found["xml_after"]:
        say("The domain XML stays as it is.")
        say()
    _conclude(found)


def _conclude(found: Json) -> None:
    if found["obstacles"]:
        from rich.text import Text  # noqa: PLC0415

        out = console()
        out.print(f"It can't move to {found['destination']}:", style="bold red")
        for each in found["obstacle_details"]:
            out.print(Text(f"  - {each['thing']}: {each['problem']} ({each['code']})", "red"))
            if each["remedy"]:
                out.print(Text(f"    Remedy: {each['remedy']}"))
    else:
        say(f"It can move to {found['destination']}.", "green")
    for note in found["notes"]:
        say(f"Note: {note}", "yellow")
