"""The hosts of a transition, as they are shown."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from .client import Json
from .render import row, say, show, table


def show_turns(turns: Sequence[Json]) -> None:
    """Print when each host's turn would be."""
    made = table("Host", "How", "Its turn begins", "Ends")
    for each in turns:
        ends = "stopped" if each["end_s"] is None else f"{each['end_s']:.0f} s"
        how = f"in place, {each['rewired']} servers rewired" if each["in_place"] else "by moves"
        row(made, each["host"], how, f"{each['start_s']:.0f} s", ends)
    show(made, none="No host would be changed.")
    for each in turns:
        if each["why"]:
            say(f"{each['host']} is changed by moves: {each['why']}")


def show_hosts(hosts: Sequence[Json]) -> None:
    """Print how each host stands, and what happened to it."""
    made = table("Host", "How", "Stage", "Waits for, or is stopped by")
    for each in hosts:
        how = "in place" if each["in_place"] else "by moves"
        row(made, each["host"], how, stage(each), each["trouble"] or each["why"] or None)
    show(made, none="There is no host.")
    for each in hosts:
        for line in each["log"]:
            at = datetime.fromisoformat(line["at"]).astimezone()
            say(f"{at:%Y-%m-%d %H:%M:%S} {each['host']} {line['what']}")


def stage(host: Json) -> str:
    """The stage in which a host is, or is stopped."""
    return f"{host['stage']}, stopped" if host["trouble"] else str(host["stage"])


def is_stopped(operation: Json) -> bool:
    """Nothing of it goes on before a person has mended a host."""
    return operation["state"] == "paused" and any(each["trouble"] for each in operation["hosts"])


def changed(operation: Json, known: dict[str, Json]) -> Iterator[Json]:
    """The hosts that are not as they were known to be; they are then."""
    for each in operation["hosts"]:
        now = {name: each[name] for name in ("host", "in_place", "stage", "trouble", "why")}
        if known.get(each["host"]) != now:
            known[each["host"]] = now
            yield now
