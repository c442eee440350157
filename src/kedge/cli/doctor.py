"""`kedge doctor`."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from .client import START_S, Json, connect
from .exits import Exit
from .lookup import KEDGE_API
from .options import AsJson
from .render import print_json, row, say, show, table

_STYLES = {"critical": "bold red", "error": "red", "warning": "yellow", "note": ""}
_HEALTHY = "All is well: database, bindings, hosts and domains say the same."


def doctor(
    context: typer.Context,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Put right what can be put right without touching a running VM."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare database, bindings, hosts and domains, and say what is wrong.

    Takes some seconds: what looks wrong is looked at twice. Exit code 0 if all is well, 1 if findings are left;
    notes alone are well.
    """
    with connect(context) as api:
        answer: Json = (
            api.post(f"{KEDGE_API}/doctor/repair", {}, wait_s=START_S)
            if repair
            else api.get(f"{KEDGE_API}/doctor", wait_s=START_S)
        )
    findings: list[Json] = answer["left"] if repair else answer["findings"]
    if as_json:
        print_json(answer)
    else:
        if repair:
            _show_done(answer["done"])
        _show(findings, repaired=repair)
    if any(each["severity"] != "note" for each in findings):
        raise typer.Exit(Exit.FAILED)


def _show_done(done: Sequence[Json]) -> None:
    if not done:
        return
    made = table("Repair", "What", "Host", "Done")
    for each in done:
        finding = each["finding"]
        outcome = Text("no: " + each["error"], "red") if each["error"] else Text("yes", "green")
        row(made, finding["repair"]["remedy"], _about(finding), finding["host"] or None, outcome)
    show(made, none="")
    say()


def _show(findings: Sequence[Json], *, repaired: bool) -> None:
    if not findings:
        say(_HEALTHY, "green")
        return
    made = table("Severity", "Host", "What", "Repair")
    for finding in findings:
        severity = Text(finding["severity"], _STYLES.get(finding["severity"], ""))
        remedy = finding["repair"]["remedy"] if finding["repair"] else "by hand"
        row(made, severity, finding["host"] or None, _about(finding), remedy)
    show(made, none="")
    for finding in findings:
        say()
        say(Text.assemble((finding["subject"], "bold"), ": ", finding["words"]))
    if not repaired and any(finding["repair"] for finding in findings):
        say()
        say("`kedge doctor --repair` puts right what is not to be done by hand, and touches no running VM.")


def _about(finding: Json) -> str:
    return f"{finding['kind']}: {finding['subject']}"
