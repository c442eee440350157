"""What is said of a migration: its timeline, how far it is, and what came of it."""

from datetime import datetime

from kedge.model.errors import KedgeError, NotFound

from . import lookup
from .client import ControlPlane, Json
from .render import Cell, complain, facts, listed, mib, ms, say, status


def begun(migration: Json) -> str:
    """When a migration began, in this machine's time zone."""
    return f"{_begun(migration).astimezone():%Y-%m-%d %H:%M:%S}"


def when(migration: Json, entry: Json) -> str:
    """The time of an entry of the timeline, from the migration's beginning."""
    return f"{entry['at_ns'] / 1e9 - _begun(migration).timestamp():+8.3f} s"


def what(entry: Json) -> str:
    """What an entry of the timeline says."""
    detail = listed(f"{key} {value}" for key, value in entry["detail"].items())
    return f"{entry['phase']} ({detail})" if entry["detail"] else str(entry["phase"])


def copying(migration: Json) -> str | None:
    """How far the copying of memory is; None if it does not run."""
    seen = migration["progress"]
    if not seen or not seen["memory_total"]:
        return None
    return (
        f"{mib(seen['memory_remaining'])} of {mib(seen['memory_total'])} MiB remain,"
        f" {mib(seen['memory_bps'])} MiB/s, iteration {seen['iteration']}"
    )


def describe(api: ControlPlane, migration: Json, server: str) -> None:
    """Print all that is known of a migration."""
    options = {key: value for key, value in migration["options"].items() if value}
    values: dict[str, Cell] = {
        "id": migration["id"],
        "server": server,
        "from": migration["source"],
        "to": migration["destination"],
        "status": status(migration["status"]),
        "begun": begun(migration),
        "options": listed(f"{key} {value}" for key, value in options.items()),
    }
    if migration["candidates"]:
        values["if it fails, next"] = listed(migration["candidates"])
    if migration["next_id"]:
        values["tried again by"] = migration["next_id"]
    if migration["abort_requested"]:
        values["abort"] = "asked for"
    if migration["finished_at"] is None:
        values["memory"] = copying(migration)
    facts(values)
    say()
    for entry in migration["timeline"]:
        say(f"{when(migration, entry)}  {what(entry)}")
    if migration["finished_at"] is not None:
        say()
        summarise(api, migration, server)


def summarise(api: ControlPlane, migration: Json, server: str) -> None:
    """Print what came of a migration that has ended."""
    source, destination = migration["source"], migration["destination"]
    if migration["status"] != "completed":
        _summarise_failure(api, migration, server)
        return
    say(f"{server} moved from {source} to {destination}.", "green")
    facts(
        {
            "total time": ms(migration["total_ms"]),
            "guest downtime": ms(migration["guest_downtime_ms"]),
            "network blackout": _blackout(migration),
        }
    )
    if migration["abort_requested"]:
        say("The abort came too late: the VM had left its source already.", "yellow")


def _summarise_failure(api: ControlPlane, migration: Json, server: str) -> None:
    way = f"The migration of {server} from {migration['source']} to {migration['destination']}"
    why = f": {migration['error']}" if migration["error"] else "."
    outcome = "was cancelled" if migration["status"] == "cancelled" else "failed"
    complain(KedgeError(f"{way} {outcome}{why}"))
    facts(
        {
            "total time": ms(migration["total_ms"]),
            "rolled back": _rolled_back(migration),
            "now": _now(api, migration),
        }
    )


def _rolled_back(migration: Json) -> str:
    """What had been made on the destination before, as the timeline has it."""
    from kedge.model.server import Phase  # noqa: PLC0415 - with all of the model

    phases = {entry["phase"] for entry in migration["timeline"]}
    if Phase.ROLLED_BACK not in phases:
        return "nothing"
    made = {
        Phase.BOUND: "bindings",
        Phase.PLUGGED: "VIFs",
        Phase.TRANSFER: "copied memory",
    }
    undone = [thing for phase, thing in made.items() if phase in phases]
    return f"{listed(undone)} on {migration['destination']}" if undone else "nothing had been made"


def _now(api: ControlPlane, migration: Json) -> str:
    """Where the server and its bindings are, looked up rather than concluded."""
    try:
        server = lookup.server(api, migration["server_id"])
    except NotFound:
        return "the server is deleted"
    bound = sorted({binding["host"] for port in server["ports"] for binding in port["bindings"]})
    return f"the server is {server['status']} on {server['host']}, its ports are bound on {listed(bound)}"


def _begun(migration: Json) -> datetime:
    return datetime.fromisoformat(migration["created_at"])


def _blackout(migration: Json) -> str:
    """At most so long: the VM was not dark for as long as it was silent, or was not asked."""
    if migration["network_blackout_ms"] is None:
        return ms(None)
    last, first = migration["network_blackout_between"]
    asked = ", asked 200 times a second" if "answer" in (last, first) else ""
    between = f"its last {last} on {migration['source']} and its first {first} on {migration['destination']}"
    return f"at most {ms(migration['network_blackout_ms'])}, between {between}{asked}"
