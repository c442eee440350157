"""The demo: a running VM moves over hosts with different network backends and keeps its network.

python -m kedge.lab.demo          a tour over all backends
python -m kedge.lab.demo --all    every ordered pair of the five hosts
python -m kedge.lab.demo --fleet  eight VMs, while hosts are emptied, changed, filled and levelled
"""

import argparse
import signal
import sys
import time
from itertools import pairwise
from types import FrameType

from rich.console import Console
from rich.table import Table

from kedge.model.errors import KedgeError

from . import fleet_demo, tour
from .cloud import Cloud
from .neighbourhood import Neighbourhood
from .tour import Hop
from .typing_commands import typed

BACKENDS = {
    "h1": "macvtap eth1",
    "h2": "macvtap ens5",
    "h3": "OVS native",
    "h4": "OVS hybrid",
    "h5": "Linux bridge",
}
VM = "vm1"
COLUMNS = (
    "from",
    "to",
    "total ms",
    "guest downtime ms",
    "network blackout ms",
    "neighbour on source ms",
    "neighbour on dest. ms",
    "TCP",
    "counter",
    "left behind",
)
WIDTHS = (15, 15, 8, 12, 12, 12, 12, 6, 10, 11)


def main() -> None:
    """Run the demo; exits with 1 if a hop falls short."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="every ordered pair of the five hosts")
    parser.add_argument(
        "--fleet", action="store_true", help="eight VMs; hosts are emptied, changed, filled, levelled"
    )
    arguments = parser.parse_args()
    # An interruption becomes an exception, so that the lab is removed on the way out.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    console = Console(width=None if sys.stdout.isatty() else 132, highlight=False)
    try:
        sys.exit(fleet_demo.run(console) if arguments.fleet else run(console, every_pair=arguments.all))
    except KeyboardInterrupt:
        console.print("[yellow]Interrupted; the lab is gone.[/]")
        sys.exit(130)
    except KedgeError as error:
        console.print(f"[red]{error}[/]", markup=True)
        sys.exit(1)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run(console: Console, *, every_pair: bool) -> int:
    """The whole demo; the exit code."""

    def say(text: str) -> None:
        console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {text}")

    say("making the lab (it is removed at the end, also when you interrupt)")
    with Cloud.up(say) as cloud:
        for host in cloud.get("/kedge/v1/hosts"):
            name = host["name"]
            mappings = ", ".join(f"{net}→{dev}" for net, dev in host["backends"][0]["mappings"].items())
            say(f"   {name}: {BACKENDS[name]} ({mappings})")
        say("a neighbour's place on each host, on the first of the networks")
        neighbourhood = tour.make_neighbours(cloud)
        say(f"a VM with two NICs on two networks boots on h1 (emulated, no KVM): {', '.join(tour.ADDRESSES)}")
        tour.make_vm(cloud, VM)
        way = tour.every_pair(list(cloud.lab.hosts)) if every_pair else list(tour.TOUR)
        _show_plan(console, way[1])
        hops = _travel(console, cloud, way, neighbourhood)
        say("removing the lab")
    return _verdict(console, hops, planned=len(way) - 1)


def _show_plan(console: Console, destination: str) -> None:
    """What a person would type first, as that person would see it."""
    console.print()
    typed(console, "plan", VM, "--to", destination)
    console.print()


def _travel(console: Console, cloud: Cloud, way: list[str], neighbourhood: Neighbourhood) -> list[Hop]:
    console.print(
        "Each hop is a live migration; the blackout is measured from outside with 500 probes/s per NIC, and by "
        "neighbours of the VM on both hosts with 200/s.\n"
    )
    console.print(_table_row([f"[bold]{name}[/]" for name in COLUMNS]))
    hops = []
    for source, destination in pairwise(way):
        with console.status(f"{source} → {destination}"):
            hop = tour.hop(cloud, VM, source, destination, neighbourhood=neighbourhood)
        hops.append(hop)
        console.print(_table_row(_cells(hop)))
        for shortcoming in hop.shortcomings:
            console.print(f"  [red]{shortcoming}[/]")
        if hop.migration["status"] != "completed":
            console.print(cloud.last_words(), markup=False)
            break
    return hops


def _cells(hop: Hop) -> list[str]:
    migration = hop.migration
    return [
        f"{hop.source} {BACKENDS[hop.source]}",
        f"{hop.destination} {BACKENDS[hop.destination]}",
        _number(migration["total_ms"]),
        _number(migration["guest_downtime_ms"]),
        _number(hop.blackout_ms),
        _number(hop.neighbour_source_ms),
        _number(hop.neighbour_destination_ms),
        "[green]alive[/]" if hop.tcp_alive else "[red]broken[/]",
        "[green]continuous[/]" if hop.continuous else "[red]broken[/]",
        f"[{'red' if hop.left_behind else 'green'}]{len(hop.left_behind)}[/]",
    ]


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.0f}"


def _table_row(cells: list[str]) -> Table:
    """One row, printed as soon as it is known: a table of its own, whose columns line up with the others'."""
    table = Table.grid(padding=(0, 1))
    for width in WIDTHS:
        table.add_column(width=width)
    table.add_row(*cells)
    return table


def _verdict(console: Console, hops: list[Hop], planned: int) -> int:
    good = [hop for hop in hops if not hop.shortcomings]
    console.print()
    if len(good) == planned:
        worst = max(hop.blackout_ms for hop in good)
        console.print(
            f"[green]{planned} of {planned} hops kept the network.[/] Longest blackout {worst:.0f} ms. The lab is gone."
        )
        return 0
    console.print(f"[red]{len(good)} of {planned} hops are as promised.[/] The lab is gone.")
    return 1


if __name__ == "__main__":
    main()
