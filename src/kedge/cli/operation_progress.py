"""Following an operation until it has ended, and what is said of it."""

import json
import sys
import time
from collections.abc import Iterator

from kedge.model.transition import backend_in_words

from .client import ControlPlane, Json
from .exits import Exit, NoControlPlane
from .lookup import KEDGE_API
from .operation_hosts import changed, is_stopped, show_hosts, stage
from .operation_levels import show_levels
from .progress import PATIENCE_S
from .render import Cell, console, facts, listed, row, say, short, show, status, table

API = f"{KEDGE_API}/operations"
KEEP_ON = "`kedge operations watch {}` follows it."

_LOOK_S = 1.0


def title(operation: Json) -> str:
    """What an operation does, in two or three words."""
    wanted = operation["transition"]
    if wanted:
        return (
            f"{operation['kind']} of {listed(wanted['hosts'][:3])}{'' if len(wanted['hosts']) < 4 else ', …'}"
        )
    return f"{operation['kind']} {operation['host']}".strip()


def describe(operation: Json) -> None:
    """Print an operation with its servers."""
    prediction = operation["prediction"] or {}
    values: dict[str, Cell] = {
        "id": operation["id"],
        "operation": title(operation),
        "state": status(operation["state"]),
        "to": listed(operation["targets"]) or _backend(operation),
        "predicted": f"{prediction['total_s']:.0f} s" if prediction else None,
        "took": None if operation["took_s"] is None else f"{operation['took_s']:.0f} s",
        "policy": operation["policy"],
        "limits": listed(f"{name} {value}" for name, value in operation["limits"].items()),
    }
    facts(values)
    say()
    if prediction.get("levels"):
        show_levels(prediction["levels"])
        say()
    if operation["hosts"]:
        show_hosts(operation["hosts"])
        say()
    made = table("Server", "Was on", "State", "Why", "Migrations, rewiring")
    for item in operation["items"]:
        own = [*item["migrations"], *([item["rewiring"]] if item["rewiring"] else [])]
        made_of = "\n".join(map(short, own)) or None
        row(made, item["name"], item["source"], item["state"], "\n".join(item["why"]) or None, made_of)
    show(made, none="There was no server to move.")


def _backend(operation: Json) -> str | None:
    wanted = operation["transition"]
    return backend_in_words(wanted["to_backend"], wanted["mappings"]) if wanted else None


def follow(api: ControlPlane, operation: Json, *, as_json: bool) -> None:
    """Say what changes until it has ended, or a person has to mend a host; exits with 1 if it did not complete.

    Ctrl-C leaves it running. With `as_json`, each change is a line of JSON, and the last one is the whole operation.
    """
    try:
        ended = _follow(api, operation, as_json)
    except KeyboardInterrupt:
        left = f"Operation {operation['id']} goes on. {KEEP_ON.format(short(operation['id']))}"
        console(stderr=True).print(left)
        sys.exit(Exit.INTERRUPTED)
    if as_json:
        _line(ended)
    else:
        _sum_up(ended)
    if ended["state"] != "completed":
        sys.exit(Exit.FAILED)


def _follow(api: ControlPlane, operation: Json, as_json: bool) -> Json:
    known: dict[str, tuple[str, tuple[str, ...]]] = {}
    known_hosts: dict[str, Json] = {}
    state = ""
    while True:
        if operation["state"] != state and operation["finished_at"] is None:
            state = operation["state"]
            if as_json:
                _line({"operation": operation["id"], "state": state})
            else:
                say(f"{title(operation)} (operation {short(operation['id'])}): {state}{_expected(operation)}")
        for host in changed(operation, known_hosts):
            if as_json:
                _line({"operation": operation["id"]} | host)
            else:
                why = host["trouble"] or host["why"]
                say(f"  {host['host']} {stage(host)}{f': {why}' if why else ''}")
        for item in _changed(operation, known):
            if as_json:
                _line({"operation": operation["id"]} | item)
            else:
                why = f": {'; '.join(item['why'])}" if item["why"] else ""
                say(f"  {item['name']} {item['state']}{why}{_of_all(operation)}")
        if operation["finished_at"] is not None or is_stopped(operation):
            return operation
        time.sleep(_LOOK_S)
        operation = _look(api, operation)


def _look(api: ControlPlane, operation: Json) -> Json:
    """The operation as it is now, from a control plane that may be started anew meanwhile."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            found: Json = api.get(f"{API}/{operation['id']}")
            return found
        except NoControlPlane:
            if time.monotonic() > ends:
                raise
            time.sleep(_LOOK_S)


def _changed(operation: Json, known: dict[str, tuple[str, tuple[str, ...]]]) -> Iterator[Json]:
    for item in operation["items"]:
        now = (item["state"], tuple(item["why"]))
        if known.get(item["server_id"]) != now:
            known[item["server_id"]] = now
            yield item


def _expected(operation: Json) -> str:
    prediction = operation["prediction"]
    if operation["finished_at"] is not None or not prediction:
        return ""
    rewirings = sum(each.get("rewired", 0) for each in prediction.get("turns", ()))
    number = {"migrations": len(prediction["legs"]) + prediction.get("more_legs", 0), "rewirings": rewirings}
    expected = [f"{count} {what}" for what, count in number.items() if count]
    return f", {', '.join(expected)}, about {prediction['total_s']:.0f} s" if expected else ""


def _of_all(operation: Json) -> str:
    done = sum(item["state"] in {"arrived", "gone"} for item in operation["items"])
    return f"  ({done} of {len(operation['items'])} done)"


def _sum_up(operation: Json) -> None:
    stuck = [item for item in operation["items"] if item["state"] not in {"arrived", "gone"}]
    if is_stopped(operation):
        troubled = [each for each in operation["hosts"] if each["trouble"]]
        say(f"{title(operation)} waits for you: {len(troubled)} hosts are in trouble.", "red")
        for each in troubled:
            say(f"  - {each['host']}: {each['trouble']}", "red")
        return
    if operation["state"] == "completed":
        say(f"{title(operation)} completed: {len(operation['items'])} servers{_took(operation)}.", "green")
    else:
        say(
            f"{title(operation)} {operation['state']}: {len(stuck)} of {len(operation['items'])} servers stay.",
            "red",
        )
    for item in stuck:
        say(f"  - {item['name']} on {item['source']}: {'; '.join(item['why']) or item['state']}", "red")


def _took(operation: Json) -> str:
    prediction = operation["prediction"]
    foretold = f", {prediction['total_s']:.0f} s were predicted" if prediction else ""
    return f" in {operation['took_s']:.0f} s{foretold}"


def _line(value: Json) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()
