"""What every command that begins an operation has: its limits, its simulation, and following it to its end."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import wraps
from typing import Annotated, Any

import typer

from kedge.model.errors import BadRequest
from kedge.model.operation import OperationLimits

from . import lookup, operation_progress
from .client import START_S, ControlPlane, Json, connect
from .exits import Exit
from .operation_hosts import show_turns
from .operation_levels import show_levels
from .operation_progress import API, KEEP_ON
from .options import AsJson
from .render import print_json, row, say, short, show, table

LIMITS = ", ".join(each.name for each in fields(OperationLimits))
Limits = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="NAME=VALUE", help=f"A limit of it, again for another one: {LIMITS}."),
]
Policy = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="NAME",
        help="Of `kedge policies`, for all its migrations; without, by servers' labels.",
    ),
]
Simulate = Annotated[
    bool,
    typer.Option("--simulate", help="Only say who would go where, and when. Nothing is stored or moved."),
]
Measure = Annotated[
    int,
    typer.Option(
        metavar="SECONDS",
        min=0,
        max=60,
        help="With --simulate: measure for so long how fast each server writes to its memory.",
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="Only begin it.")]


def begins(wanted: Callable[..., Json]) -> Callable[..., None]:
    """Makes a command of a function that says which operation is wanted, with the options that all of them have."""

    @wraps(wanted, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
    def command(
        context: typer.Context,
        *,
        limit: Limits = None,
        policy: Policy = None,
        simulate: Simulate = False,
        measure: Measure = 0,
        detach: Detach = False,
        as_json: AsJson = False,
        **its_own: Any,
    ) -> None:
        if measure and not simulate:
            raise BadRequest("--measure is for --simulate; an operation that begins measures nothing.")
        operation = wanted(**its_own)
        operation["limits"] = operation.get("limits", {}) | limits_said(limit)
        operation["policy"] = policy
        with connect(context) as api:
            if simulate:
                _simulate(api, operation, measure, as_json)
                return
            begun: Json = api.post(API, operation, wait_s=START_S)
            if not detach:
                operation_progress.follow(api, begun, as_json=as_json)
            else:
                answer(begun, f"has begun. {KEEP_ON}", as_json)

    context, *common, _ = inspect.signature(command, follow_wrapped=False).parameters.values()
    own = inspect.signature(wanted).parameters.values()
    command.__signature__ = inspect.Signature([context, *own, *common])  # type: ignore[attr-defined]
    return command


def answer(found: Json, said: str, as_json: bool) -> None:
    """Say something of an operation; `{}` in it is how it is named in a command."""
    if as_json:
        print_json(found)
    else:
        say(f"Operation {found['id']} {said.format(short(found['id']))}")


def limits_said(said: Sequence[str] | None) -> Json:
    """`NAME=VALUE`, as the API takes them; it says what is wrong with a name or a value. Raises BadRequest."""
    limits: Json = {}
    for each in said or ():
        name, equals, value = each.partition("=")
        if not equals:
            raise BadRequest(f"{each!r} is no limit; write NAME=VALUE, with one of {LIMITS}.")
        limits[name] = int(value) if value.lstrip("-").isdecimal() else value
    return limits


def names_said(text: str) -> Sequence[str]:
    """Names with commas between them."""
    return [each.strip() for each in text.split(",") if each.strip()]


def _simulate(api: ControlPlane, wanted: Json, measure_s: int, as_json: bool) -> None:
    asked = {"operation": wanted, "measure_s": measure_s}
    found: Json = api.post(f"{API}/simulate", asked, wait_s=START_S)
    if as_json:
        print_json(found)
    else:
        _show_prediction(found, lookup.server_names(api), measured=measure_s > 0)
    if found["unmoved"]:
        raise typer.Exit(Exit.REFUSED)


def _show_prediction(found: Json, names: Mapping[str, str], *, measured: bool) -> None:
    if found["levels"]:
        show_levels(found["levels"])
    if found["turns"]:
        show_turns(found["turns"])
    # Columns in which nothing would be said are left out.
    more = {"By": any(leg["how"] for leg in found["legs"]), "Writes": measured}
    shown = [name for name, wanted in more.items() if wanted]
    made = table("Server", "From", "To", "Begins", "Ends", "Stands still", *shown, "Fails")
    for leg in found["legs"]:
        still = None if leg["downtime_ms"] is None else f"{leg['downtime_ms']:.0f} ms"
        name = names.get(leg["server_id"], leg["server_id"])
        begins, ends = f"{leg['start_s']:.1f} s", f"{leg['end_s']:.1f} s"
        cells = {"By": leg["how"] or None, "Writes": _writes(found, leg)}
        said = [cells[each] for each in shown]
        row(made, name, leg["source"], leg["destination"], begins, ends, still, *said, leg["failed"])
    show(made, none="Nothing would be moved.")
    if found["more_legs"]:
        say(f"… and {found['more_legs']} more migrations.")
    for server_id, reasons in found["unmoved"].items():
        say(f"{names.get(server_id, server_id)} would not be moved: {'; '.join(reasons)}", "red")
    if found["more_unmoved"]:
        say(f"{found['more_unmoved']} more servers would not be moved.", "red")
    say(_based_on(found["basis"]))
    if found["turns"]:
        basis = found["basis"]
        say(f"Changing a host takes {basis['convert_s']:.1f} s, and trying it {basis['try_s']:.1f} s.")
    say(f"It would take {found['total_s']:.0f} s. Nothing was stored or moved.")


def _writes(found: Json, leg: Json) -> str:
    """How fast it was measured to write to its memory."""
    rate = found["dirty_mib"].get(leg["server_id"])
    return "not measured" if rate is None else f"{rate:.0f} MiB/s"


def _based_on(basis: Mapping[str, float]) -> str:
    number = basis["learned_from"]
    why = f"Learned of the last {number:.0f} migrations" if number else "Assumed, as too few have been seen"
    return (
        f"{why}: each takes {basis['fixed_s']:.1f} s and copies {basis['copy_mib']:.0f} MiB/s beside that,"
        f" and another one at once makes it {basis['slowdown']:.0%} longer."
    )
