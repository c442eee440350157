"""The demo of operations: hosts are emptied, filled again and levelled while somebody talks to each of eight VMs."""

import time
from collections.abc import Iterable, Sequence

from rich.console import Console

from . import fleet, fleet_table
from .cloud import Cloud
from .fleet import Vm
from .fleet_table import Done, Result
from .typing_commands import typed

PLACES = (
    ("h1", 96),
    ("h1", 160),
    ("h1", 256),
    ("h2", 128),
    ("h3", 112),
    ("h3", 192),
    ("h5", 144),
    ("h5", 224),
)
"""Where each VM begins, and its MiB. The hosts are not level: the last operation has something to do."""

FIRST_ADDRESS = "198.51.100.50"

STAGES: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("an Open vSwitch host is emptied, and gets its VMs back", (("drain", "h3"), ("restore", "h3"))),
    ("the same with a Linux bridge host", (("drain", "h5"), ("restore", "h5"))),
    (
        "and with a macvtap host, three migrations at once",
        (("drain", "h1", "--limit", "per_source=3"), ("restore", "h1")),
    ),
    ("hosts that are not level are levelled", (("rebalance", "--by", "servers"),)),
)
"""What is done, and by which commands."""


def run(console: Console) -> int:
    """The whole demo; the exit code."""

    def say(text: str) -> None:
        console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {text}")

    say("making the lab (it is removed at the end, also when you interrupt)")
    with Cloud.up(say) as cloud:
        say(f"{len(PLACES)} VMs of {_listed(mib for _, mib in PLACES)} MiB boot (emulated, no KVM)")
        vms = fleet.make_vms(cloud, PLACES, FIRST_ADDRESS)
        say("from now on each VM is pinged 200 times a second, and a TCP connection to each is held")
        done: list[Done] = []
        with fleet.watched(cloud, vms) as watch:
            for title, commands in STAGES:
                console.print()
                say(f"[bold]{title}[/]")
                if not all(_carry_out(console, cloud, vms, command, done) for command in commands):
                    console.print(cloud.last_words(), markup=False)
                    break
        say("removing the lab")
    result = Result(tuple(done), {vm.id: vm for vm in vms}, watch.seen)
    for shown in (fleet_table.moves(result), fleet_table.operations(result), fleet_table.verdict(result)):
        console.print()
        console.print(shown)
    console.print("The lab is gone.")
    return 1 if result.shortcomings else 0


def _carry_out(
    console: Console, cloud: Cloud, vms: Sequence[Vm], command: Sequence[str], done: list[Done]
) -> bool:
    """Simulate it, do it, look at the hosts; whether all is as promised."""
    typed(console, *command, "--simulate")
    typed(console, *command)
    (operation,) = cloud.get("/kedge/v1/operations", limit=1)
    ids = [each for item in operation["items"] for each in item["migrations"]]
    migrations = tuple(cloud.get(f"/kedge/v1/migrations/{each}") for each in ids)
    done.append(Done(operation, migrations, tuple(fleet.misplaced(cloud, vms))))
    for shortcoming in done[-1].shortcomings:
        console.print(f"[red]{shortcoming}[/]")
    return not done[-1].shortcomings


def _listed(values: Iterable[int]) -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} and {last}"
