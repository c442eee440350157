"""Runs the trials and prints the matrix of victims and steps; exits with 1 if one of them falls short."""

import argparse
import random
import signal
import sys
import time
from collections.abc import Callable
from itertools import chain, cycle
from types import FrameType

from rich.console import Console
from rich.table import Table

from .. import tour
from .cloud import ChaosCloud
from .drains import BEGUN, HALF_DONE, chosen, drains, with_company
from .gone import lose_hosts
from .invariants import Guest
from .storm import make_guests, storm
from .transitions import BY_MOVES, IN_PLACE, transitions
from .transitions import chosen as plans_for
from .trial import TOO_LATE, Result, run
from .victims import STEPS, VICTIMS, Victim

WAY = ("h3", "h1", "h5", "h2", "h4")
TRIES = 3
"""A step may be over before it is seen; then the trial says nothing, and is made again."""

OPERATIONS = (BEGUN, HALF_DONE, BY_MOVES, IN_PLACE)
"""What else may be going on when a strike comes."""

SHORT_STEPS = ("plugged and wired", "copying", "paused", "switched")
"""The steps of a short run: all is ready, memory is on its way, the VM stands still, the bindings have changed."""

MOST_SHORTFALLS, LAST_LETTERS = 6, 300
"""How many lines at the end say what fell short, and how much of each log is shown above them."""

SHORT_STORM, LONG_STORM = (5, 1.0), (20, 5.0)
"""VMs and minutes."""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Kills what a migration depends on, at each of its steps.")
    parser.add_argument(
        "--long", action="store_true", help="every step, and a storm of 20 VMs for five minutes"
    )
    parser.add_argument("--vms", type=int, help="how many VMs the storm has")
    parser.add_argument("--minutes", type=float, help="how long the storm is")
    parser.add_argument("--storm", action="store_true", help="only the storm")
    parser.add_argument("--victim", default="", help="only victims whose name contains this")
    parser.add_argument(
        "--step",
        default="",
        help=f"only this step; {BEGUN!r}, {HALF_DONE!r}, {BY_MOVES!r} and {IN_PLACE!r} are some too",
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    good = True
    try:
        if not arguments.storm:
            good = _trials(console, arguments)
        if good and not (arguments.victim or arguments.step):
            good = _storm(console, arguments)
    except KeyboardInterrupt:
        console.print("[yellow]Interrupted; the lab is gone.[/]")
        sys.exit(130)
    sys.exit(0 if good else 1)


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


def _saying(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {text}")


def _storm(console: Console, arguments: argparse.Namespace) -> bool:
    say = _saying(console)
    vms, minutes = LONG_STORM if arguments.long else SHORT_STORM
    vms, minutes = arguments.vms or vms, arguments.minutes or minutes
    with ChaosCloud.made(say) as cloud:
        say(f"{vms} VMs boot on five hosts")
        guests = make_guests(cloud, vms)
        seen = storm(cloud, guests, minutes * 60, random.Random(), say)  # noqa: S311
        if seen.wrong:
            console.print(cloud.last_words(), markup=False)
        say("removing the lab")
    for wrong in seen.wrong:
        console.print(f"[red]{wrong}[/]")
    outcomes = ", ".join(f"{count} {status}" for status, count in sorted(seen.outcomes.items()))
    console.print(
        f"{sum(seen.victims.values())} victims, {sum(seen.outcomes.values())} migrations ended ({outcomes});"
        f" all was whole {seen.settled_s:.0f} s later."
        if not seen.wrong
        else f"[red]{len(seen.wrong)} things are not as they must be.[/]"
    )
    return not seen.wrong


def _trials(console: Console, arguments: argparse.Namespace) -> bool:
    """The trials, and the loss of hosts for good after them; whether all was as it must be.

    What fell short is said at the very end, below the matrix, as often only the end of an output is kept.
    """
    say = _saying(console)
    results: list[Result] = []
    wrong: list[str] = []
    words = ""
    with ChaosCloud.made(say) as cloud:
        say("a VM with two NICs boots on h1")
        server = tour.make_vm(cloud, "vm1")
        guest = Guest(server["id"], "vm1", tour.ADDRESSES)
        way = cycle(WAY)
        for victim, step in _chosen(arguments):
            for _ in range(TRIES):
                here = cloud.get(f"/kedge/v1/servers/{guest.id}")["host"]
                result = run(cloud, guest, victim, step, next(host for host in way if host != here))
                _tell(console, result)
                if result.in_time or not result.ended_well:
                    break
            results.append(result)
            if not result.good:
                console.print(cloud.last_words(), markup=False)
                words = cloud.last_words(LAST_LETTERS, result.way.split("->"))
                break
        if all(result.good for result in results):
            results += _drains(console, cloud, guest, arguments, say)
            if results and not results[-1].good:
                words = cloud.last_words(LAST_LETTERS)
        if not (arguments.victim or arguments.step) and all(result.good for result in results):
            wrong = lose_hosts(cloud, guest, say)
        say("removing the lab")
    report(console, results, wrong, words)
    return bool(results) and all(result.good for result in results) and not wrong


def _drains(
    console: Console,
    cloud: ChaosCloud,
    guest: Guest,
    arguments: argparse.Namespace,
    say: Callable[[str], None],
) -> list[Result]:
    """Drains and transitions with somebody dying meanwhile. The guests that are made for them are gone afterwards."""
    victims = chosen(arguments.victim, arguments.step, long=arguments.long)
    plans = plans_for(arguments.victim, arguments.step, long=arguments.long)
    if not (victims or plans):
        return []
    say(f"two more VMs boot beside {guest.name}; their host is drained, and then another changed")
    guests = with_company(cloud, guest)
    results: list[Result] = []
    for result in chain(drains(cloud, guests, victims), transitions(cloud, guests, plans)):
        _tell(console, result)
        results.append(result)
        if not result.good:
            break
    for each in guests[1:]:
        cloud.delete(f"/kedge/v1/servers/{each.id}")
    return results


def report(console: Console, results: list[Result], wrong: list[str], words: str) -> None:
    """The matrix, the last words of the processes, and below them what fell short."""
    _matrix(console, results)
    if words:
        console.print(words, markup=False)
    for line in [*shortfalls(results), *wrong][:MOST_SHORTFALLS]:
        console.print(line, style="red", markup=False)


def shortfalls(results: list[Result]) -> list[str]:
    """What was wrong with each trial that was not good: the victim, the step, the hosts, and why."""
    found = []
    for result in results:
        trial = f"{result.victim} at {result.step}, {result.way}"
        if result.ended_well and not result.in_time:
            found.append(f"{trial}: too late, {TRIES} migrations ended before they could be struck")
        elif not result.good:
            found += [f"{trial}: {each}" for each in result.wrong]
    return found


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
    steps = [step for step in (*STEPS, *OPERATIONS) if any(result.step == step for result in results)]
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
    if not result.ended_well:
        return "[red]broken[/]"
    if not result.in_time:
        return f"[red]{TOO_LATE}[/]"
    return f"{result.outcome} {result.seconds:.1f}"


if __name__ == "__main__":
    main()
