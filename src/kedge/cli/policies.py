"""`kedge policies`."""

import typer

from .client import Json, connect
from .lookup import KEDGE_API
from .options import AsJson
from .render import listed, print_json, row, show, table


def policies(context: typer.Context, as_json: AsJson = False) -> None:
    """List the migration policies that the control plane's configuration names."""
    with connect(context) as api:
        found: Json = api.get(f"{KEDGE_API}/policies")
    if as_json:
        print_json(found)
        return
    made = table("Policy", "Options", "When memory does not become less")
    for name, options in sorted(found.items()):
        steps = [
            f"after {step['after']} rounds: {step['do']} {step['downtime_ms'] or ''}".strip()
            for step in options.pop("schedule")
        ]
        said = listed(f"{key} {value}" for key, value in options.items() if value)
        row(made, name, said, "\n".join(steps) or None)
    show(made, none="The configuration names none.")
