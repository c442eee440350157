"""What a demo of operations comes to: each move and operation, predicted and real; whether all kept their network."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from rich.table import Table

from .echo import AddressResult
from .fleet import Seen, Vm

Json = Mapping[str, Any]

_STAGES = ("emptying", "converting", "verifying", "returning", "rewiring")
CLOSE = 0.25
"""A prediction is good if the real time is off by no more than this part of it."""


@dataclass(frozen=True)
class Done:
    """An operation that has ended, with its migrations, and what was not as it must be when one looked at the hosts."""

    operation: Json
    migrations: tuple[Json, ...]
    misplaced: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Which it is, as a command names it."""
        changed = self.operation.get("hosts", ())
        hosts = [self.operation["host"], *(each["host"] for each in changed)]
        how = "in place" if any(each.get("in_place") for each in changed) else ""
        return " ".join(each for each in (self.operation["kind"], *hosts, how) if each)

    @property
    def shortcomings(self) -> list[str]:
        """What it falls short in; empty if it is as promised."""
        state = self.operation["state"]
        ended = [] if state == "completed" else [f"{self.title} {state}"]
        return [*ended, *(f"after {self.title}: {each}" for each in self.misplaced)]

    @property
    def predicted_s(self) -> float | None:
        """How long it was to take."""
        prediction = self.operation["prediction"]
        return prediction["total_s"] if prediction else None

    @property
    def off(self) -> float | None:
        """By which part of the real time the prediction was wrong: 0.1 for 10 % too long, less than 0 for too short."""
        took = self.operation["took_s"]
        return None if self.predicted_s is None or not took else self.predicted_s / took - 1


@dataclass(frozen=True)
class Result:
    """A whole demo. `vms` has each VM by its id, `seen` what was seen of it by its name.

    `rewired` are the rewirings, `short` is why the demo ended before all was shown.
    """

    done: tuple[Done, ...]
    vms: Mapping[str, Vm]
    seen: Mapping[str, Seen]
    rewired: tuple[Json, ...] = ()
    short: str = ""

    @property
    def shortcomings(self) -> list[str]:
        """All that is not as promised."""
        lost = [f"{name}: {each}" for name, seen in self.seen.items() for each in seen.shortcomings]
        found = [each for done in self.done for each in done.shortcomings] + not_rewired(self.rewired) + lost
        return found or ([self.short] if self.short else [])

    def blackout_ms(self, moved: Json) -> float | None:
        """The longest time in which all that was sent to a VM was lost while it was moved or rewired."""
        return self._longest(moved, lambda outside: outside.losses)

    def silence_ms(self, moved: Json) -> float | None:
        """The longest time without an answer meanwhile. One that comes late counts: a VM may wait for a processor."""
        return self._longest(moved, lambda outside: outside.gaps)

    def _longest(
        self, moved: Json, of: Callable[[AddressResult], Iterable[tuple[int, float]]]
    ) -> float | None:
        """0 if too short to be told."""
        seen = self.seen.get(self.vms[moved["server_id"]].name)
        if seen is None or moved["finished_at"] is None:
            return None
        began, ended = _ns(moved["created_at"]), _ns(moved["finished_at"])
        return max((ms for at, ms in of(seen.outside) if began <= at <= ended), default=0.0)


def moves(result: Result) -> Table:
    """Every migration of every operation, with Kedge's own figure of its blackout and what was seen from outside."""
    table = _table(
        *("operation", "VM", "MiB", "from", "to", "predicted s", "real s"),
        *("own figure ms", "lost ms", "unanswered ms"),
    )
    for done in result.done:
        predicted = (done.operation["prediction"] or {"legs": ()})["legs"]
        legs = {(leg["server_id"], leg["destination"]): leg for leg in predicted}
        for each in sorted(done.migrations, key=lambda migration: str(migration["created_at"])):
            vm, leg = result.vms[each["server_id"]], legs.get((each["server_id"], each["destination"]))
            table.add_row(
                done.title,
                vm.name,
                str(vm.memory_mib),
                each["source"],
                each["destination"],
                _figure(leg["end_s"] - leg["start_s"] if leg else None, 1),
                _figure(None if each["total_ms"] is None else each["total_ms"] / 1000, 1),
                _figure(each["network_blackout_ms"]),
                _figure(result.blackout_ms(each)),
                _figure(result.silence_ms(each)),
            )
    return table


def not_rewired(rewired: Iterable[Json]) -> list[str]:
    """Which rewirings did not complete, and why."""
    return [
        f"rewiring {each['id']} {each['state']}: {each['error']}"
        for each in rewired
        if each["state"] != "completed"
    ]


def rewirings(result: Result) -> Table:
    """Every server that changed its switch in place."""
    table = _table("VM in place", "host", "to", "own figure ms", "lost ms", "unanswered ms")
    for each in result.rewired:
        own = [port["blackout_ms"] for port in each["ports"] if port["blackout_ms"] is not None]
        table.add_row(
            result.vms[each["server_id"]].name,
            each["host"],
            each["backend"],
            _figure(max(own, default=None), 1),
            _figure(result.blackout_ms(each)),
            _figure(result.silence_ms(each)),
        )
    return table


def stages(result: Result) -> Table:
    """For how long each host of a transition was at each of its stages."""
    table = _table("transition", *(f"{each} s" for each in _STAGES))
    for done in result.done:
        for host in done.operation.get("hosts", ()):
            entered = [(line["what"].partition(":")[0], _ns(line["at"])) for line in host["log"]]
            took = {
                stage: (following - at) / 1e9
                for (stage, at), (_, following) in pairwise(entered)
                if stage in _STAGES
            }
            table.add_row(done.title, *(_figure(took.get(each), 1) for each in _STAGES))
    return table


def operations(result: Result) -> Table:
    """Every operation, with how good its prediction was and its verdict."""
    table = _table(
        "operation", "moves", "prediction", "predicted s", "real s", "off", "longest loss ms", "verdict"
    )
    for done in result.done:
        blackouts = [found for each in done.migrations if (found := result.blackout_ms(each)) is not None]
        good = not done.shortcomings
        table.add_row(
            done.title,
            str(len(done.migrations)),
            _based_on(done.operation["prediction"]),
            _figure(done.predicted_s, 1),
            _figure(done.operation["took_s"], 1),
            _off(done.off),
            _figure(max(blackouts, default=None)),
            "[green]as promised[/]" if good else "[red]falls short[/]",
        )
    return table


def verdict(result: Result) -> str:
    """One or more lines that say how it went."""
    if result.shortcomings:
        return "\n".join(f"[red]{each}[/]" for each in result.shortcomings)
    number = sum(len(done.migrations) for done in result.done) + len(result.rewired)
    transitions = [done for done in result.done if done.operation["kind"] == "transition"]
    lines = [
        f"[green]{len(result.seen)} VMs kept their network over {number} moves[/], TCP alive, counters continuous,"
        f" nothing left behind. {_close(result.done)} predictions were within {CLOSE:.0%}."
    ]
    if transitions:
        offs = ", ".join(f"{done.title} {_off(done.off)}" for done in transitions)
        lines.append(f"Of the transitions {_close(transitions)}: {offs}.")
    return "\n".join(lines)


def _close(those: Sequence[Done]) -> str:
    """How many were predicted well."""
    close = sum(done.off is not None and abs(done.off) <= CLOSE for done in those)
    return f"{close} of {len(those)}"


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, padding=(0, 1, 0, 0), header_style="bold")


def _based_on(prediction: Json | None) -> str:
    learned = (prediction or {}).get("basis", {}).get("learned_from", 0)
    return f"learned of {learned:.0f}" if learned else "assumed"


def _figure(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _off(value: float | None) -> str:
    if value is None:
        return "-"
    return f"[{'green' if abs(value) <= CLOSE else 'yellow'}]{value:+.0%}[/]"


def _ns(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp() * 1e9
