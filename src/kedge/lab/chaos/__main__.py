"""Runs the trials and prints the matrix of victims and steps; exits with 1 if one of them falls short."""

import argparse
import signal
import sys
import time
from itertools import cycle
from types import FrameType

from rich.console import Console
from rich.table import Table

from .. import tour
from .cloud import ChaosCloud
from .invariants import Guest
from .trial import Result, run
from .victims import STEPS, VICTIMS, Victim

WAY = ("h3", "h1", "h5", "h2", "h4")
SHORT_STEPS = ("plugged and wired", "copying", "switched")
"""The steps of a short run: all is ready, memory is on its way, the bindings have just changed."""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Kills what a migration depends on, at each of its steps.")
    parser.add_argument("--long", action="store_true", help="every victim at every step")
    parser.add_argument("--victim", default="", help="only victims whose name contains this")
    parser.add_argument("--step", default="", help="only this step")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    try:
        results = _all(console, arguments)
    except KeyboardInterrupt:
        console.print("[yellow]Interrupted; the lab is gone.[/]")
        sys.exit(130)
    _matrix(console, results)
    sys.exit(0 if results and all(result.good for result in results) else 1)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _chosen(arguments: argparse.Namespace) -> list[tuple[Victim, str]]:
    steps = STEPS if arguments.long or arguments.step else SHORT_STEPS
    return [
        (victim, step)
        for step in steps
        for victim in VICTIMS
        if step in (victim.steps or STEPS)
        and arguments.victim in victim.name
        and arguments.step in ("", step)
    ]


def _all(console: Console, arguments: argparse.Namespace) -> list[Result]:
    def say(text: str) -> None:
        console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {text}")

    results = []
    with ChaosCloud.made(say) as cloud:
        say("a VM with two NICs boots on h1")
        server = tour.make_vm(cloud, "vm1")
        guest = Guest(server["id"], "vm1", tour.ADDRESSES)
        way = cycle(WAY)
        for victim, step in _chosen(arguments):
            here = cloud.get(f"/kedge/v1/servers/{guest.id}")["host"]
            destination = next(host for host in way if host != here)
            result = run(cloud, guest, victim, step, destination)
            results.append(result)
            _tell(console, result)
            if not result.good:
                console.print(cloud.last_words(), markup=False)
                break
        say("removing the lab")
    return results


def _tell(console: Console, result: Result) -> None:
    colour = "green" if result.good else "red"
    took = "never whole" if result.seconds is None else f"{result.seconds:.1f} s"
    console.print(
        f"[{colour}]{result.victim:32} at {result.step:18}[/] {result.way:8} (seen at {result.struck_at}):"
        f" {result.outcome or 'no end'}, {took}"
    )
    for wrong in result.wrong:
        console.print(f"    [red]{wrong}[/]")


def _matrix(console: Console, results: list[Result]) -> None:
    steps = [step for step in STEPS if any(result.step == step for result in results)]
    table = Table("victim", *steps, title="outcome, and seconds until all was whole again")
    for victim in dict.fromkeys(result.victim for result in results):
        row = []
        for step in steps:
            found = [each for each in results if (each.victim, each.step) == (victim, step)]
            row.append(_cell(found[0]) if found else "-")
        table.add_row(victim, *row)
    console.print(table)
    good = sum(result.good for result in results)
    console.print(
        f"{good} of {len(results)} trials ended with one running VM, one ACTIVE binding and nothing left."
    )


def _cell(result: Result) -> str:
    if not result.good:
        return "[red]broken[/]"
    return f"{result.outcome} {result.seconds:.1f}"


if __name__ == "__main__":
    main()
