"""`kedge hosts …`."""

from typing import Annotated

import typer
from rich.text import Text

from . import lookup
from .client import Json, connect, segment
from .labels import in_words, parse_labels
from .lookup import KEDGE_API
from .options import AsJson, HostName, Labels
from .render import facts, listed, print_json, row, say, show, table

app = typer.Typer(invoke_without_command=True)


@app.callback()
def hosts(context: typer.Context, as_json: AsJson = False) -> None:
    """List the hosts; or say that one is off, takes no server, what it may hold, or what it is labelled."""
    if context.invoked_subcommand is not None:
        return
    with connect(context) as api:
        found: list[Json] = api.get(f"{KEDGE_API}/hosts")
    if as_json:
        print_json(found)
        return
    made = table(
        "Host", "Agent", "Receives", "Promised", "Labels", "Backends", "Agent's URL", "Migrations go to"
    )
    for host in found:
        backends = "\n".join(_backend(each) for each in host["backends"]) or None
        row(
            made,
            host["name"],
            _life(host),
            _receives(host),
            _promised(host),
            in_words(host["labels"]) or None,
            backends,
            host["url"] or None,
            host["migrate_uri"] or None,
        )
    show(made, none="No agent has reported yet; start one with `kedge agent` on each host.")


@app.command("down")
def force_down(
    context: typer.Context,
    host: HostName,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say that a host is off and will not come back soon, so that nothing waits for it any more.

    Migrations that only it could end are ended: on the other host if the VM is there, else as lost. Nothing is done to
    the host itself. A VM that still ran there would be taken for lost, so make sure that it is off.
    """
    if not yes:
        typer.confirm(
            f"Is {host} powered off? A VM that still runs there will be taken for lost.", abort=True
        )
    found = _say(context, host, forced_down=True)
    if as_json:
        print_json(found)
    else:
        say(f"{host} counts as off; nothing waits for it. Once it is back: `kedge hosts up {host}`.")


@app.command("up")
def take_back(context: typer.Context, host: HostName, as_json: AsJson = False) -> None:
    """Say that a host which was forced down is back; its agent cleans what it finds there."""
    found = _say(context, host, forced_down=False)
    if as_json:
        print_json(found)
    else:
        say(f"{host} is as alive as its agent: {_life(found)}. `kedge doctor` says what it brought back.")


@app.command("disable")
def disable(
    context: typer.Context,
    host: HostName,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever wonders later.")],
    as_json: AsJson = False,
) -> None:
    """Let a host receive no server any more. What is there stays, and migrations that have begun go on."""
    found = _set(context, host, "disabled", {"disabled": True, "reason": reason})
    if as_json:
        print_json(found)
    else:
        say(f"{host} receives no server any more: {found['disabled_reason']}.")


@app.command("enable")
def enable(context: typer.Context, host: HostName, as_json: AsJson = False) -> None:
    """Let a host receive servers again."""
    found = _set(context, host, "disabled", {"disabled": False})
    if as_json:
        print_json(found)
    else:
        say(f"{host} receives servers.")


@app.command("limits")
def limits(
    context: typer.Context,
    host: HostName,
    *,
    memory_overcommit: Annotated[
        float | None,
        typer.Option(metavar="RATIO", help="Its memory counts so many times for what servers are promised."),
    ] = None,
    memory_reserve: Annotated[
        int | None, typer.Option(metavar="MIB", help="Memory that servers are not promised.")
    ] = None,
    vcpu_overcommit: Annotated[
        float | None,
        typer.Option(metavar="RATIO", help="Its CPUs count so many times for its servers' virtual ones."),
    ] = None,
    vcpus: Annotated[
        int | None,
        typer.Option(metavar="N", help="Virtual CPUs of its servers in all; 0 for what the ratio allows."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how much of a host servers may be promised, or change it. Servers that are there stay."""
    given = {
        "memory_overcommit": memory_overcommit,
        "memory_reserve_mib": memory_reserve,
        "vcpu_overcommit": vcpu_overcommit,
        "vcpus": vcpus,
    }
    with connect(context) as api:
        found = lookup.host(api, host)
        if any(value is not None for value in given.values()):
            changed = {key: value for key, value in given.items() if value is not None}
            body = found["limits"] | changed
            body["vcpus"] = body["vcpus"] or None
            found = api.put(f"{KEDGE_API}/hosts/{segment(host)}/limits", body)
    if as_json:
        print_json(found)
        return
    kept = found["limits"]
    facts(
        {
            "memory overcommit": f"{kept['memory_overcommit']:g}",
            "memory reserve": f"{kept['memory_reserve_mib']} MiB",
            "virtual CPUs": str(kept["vcpus"] or f"{kept['vcpu_overcommit']:g} for each of its CPUs"),
            "promised now": _promised(found),
        }
    )


@app.command("label")
def label(context: typer.Context, host: HostName, labels: Labels, as_json: AsJson = False) -> None:
    """Set labels of a host, or take them off."""
    with connect(context) as api:
        body = {"labels": parse_labels(labels)}
        found: Json = api.patch(f"{KEDGE_API}/hosts/{segment(host)}/labels", body)
    if as_json:
        print_json(found)
    else:
        say(in_words(found["labels"]) or f"{host} has no label.")


def _set(context: typer.Context, host: str, what: str, body: Json) -> Json:
    with connect(context) as api:
        found: Json = api.put(f"{KEDGE_API}/hosts/{segment(host)}/{what}", body)
        return found


def _receives(host: Json) -> Text:
    reason = host["disabled_reason"]
    return Text("yes") if reason is None else Text(f"no: {reason}", "yellow")


def _promised(host: Json) -> str:
    promised = host["promised"]
    return f"{promised['memory_mib']} MiB, {promised['vcpus']} CPUs to {promised['servers']}"


def _say(context: typer.Context, host: str, *, forced_down: bool) -> Json:
    return _set(context, host, "forced-down", {"forced_down": forced_down})


def _life(host: Json) -> Text:
    if host["forced_down"]:
        return Text("forced down", "red")
    return Text("alive", "green") if host["alive"] else Text("dead", "red")


def _backend(backend: Json) -> str:
    mappings = listed(f"{network}:{device}" for network, device in backend["mappings"].items())
    kind = " (hybrid plug)" if backend["hybrid_plug"] else ""
    return f"{backend['driver']}{kind} {mappings}"
