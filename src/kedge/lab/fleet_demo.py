"""The demo of operations: what is done with whole hosts while somebody talks to each of eight VMs."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from kedge.model.errors import KedgeError

from . import conversion, fleet, fleet_table
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

IDLE = "h4"
"""No VM is there at the begin."""

FIRST_ADDRESS = "198.51.100.50"
Change = Callable[[Cloud, str], None]


class ShortError(Exception):
    """Something is not as promised, so the rest is not shown."""


class FleetDemo:
    """The stages of the demo, and what has come of them so far."""

    def __init__(self, console: Console, cloud: Cloud, vms: Sequence[Vm], change_s: float) -> None:
        """`change_s` is for how long a host is changed, as its administrator knows before any was."""
        self._console, self._cloud, self._vms = console, cloud, vms
        self._change_s = change_s
        self.done: list[Done] = []
        self.rewired: list[dict[str, Any]] = []

    def run(self) -> None:
        """All stages, until one falls short. Raises ShortError then."""
        self._title("an Open vSwitch host is emptied, and gets its VMs back")
        self._carry_out("drain", "h3")
        self._carry_out("restore", "h3")
        self._title("the same with a macvtap host, three migrations at once")
        self._carry_out("drain", "h1", "--limit", "per_source=3")
        self._carry_out("restore", "h1")
        self._title("a Linux bridge host becomes an Open vSwitch host, by moves")
        known = ("--change-takes", f"{self._change_s:.1f}")
        self._change("h5", conversion.use_open_vswitch, "openvswitch", "--by-moves", *known)
        self._title("a macvtap host gets other parent devices, by moves")
        parents = conversion.other_parents(self._cloud, "h2").items()
        mapped = [each for network, device in parents for each in ("--map", f"{network}={device}")]
        self._change("h2", conversion.use_other_parents, "macvtap", *mapped)
        self._title("the former Linux bridge host becomes one again, by moves")
        self._change("h5", conversion.use_linux_bridge, "linuxbridge", "--by-moves")
        self._title("and an Open vSwitch host, in place: no VM moves")
        self._change_in_place("h5")
        self._title("hosts that are not level are levelled")
        self._carry_out("rebalance", "--by", "servers")

    def say(self, text: str) -> None:
        """Say what happens now."""
        self._console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {text}")

    def _title(self, text: str) -> None:
        self._console.print()
        self.say(f"[bold]{text}[/]")

    def _carry_out(self, *command: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Simulate it, do it, look at the hosts."""
        typed(self._console, *command, "--simulate")
        typed(self._console, *command, meanwhile=meanwhile)
        latest = self._cloud.get("/kedge/v1/operations", limit=1)
        if not latest or latest[0]["id"] in {each.operation["id"] for each in self.done}:
            raise ShortError(f"`kedge {' '.join(command)}` began nothing")
        operation = latest[0]
        ids = [each for item in operation["items"] for each in item["migrations"]]
        migrations = tuple(self._cloud.get(f"/kedge/v1/migrations/{each}") for each in ids)
        done = Done(operation, migrations, tuple(fleet.misplaced(self._cloud, self._vms)))
        self.done.append(done)
        self._must_be_none(done.shortcomings)

    def _change(self, host: str, change: Change, backend: str, *options: str) -> None:
        """A transition of one host. When it waits for that, we are the administrator who changes it."""
        person = _Administrator(self._cloud, host, change, self.say)
        self._carry_out(
            "transition", "--hosts", host, "--to-backend", backend, *options, meanwhile=person.look
        )

    def _change_in_place(self, host: str) -> None:
        """The same without moving a VM: Open vSwitch comes below the Linux bridges, and the agent has both."""
        self._change(host, conversion.put_open_vswitch_below, "openvswitch", "--in-place")
        ids = [item["rewiring"] for item in self.done[-1].operation["items"] if item["rewiring"]]
        self.rewired += [self._cloud.get(f"/kedge/v1/rewirings/{each}") for each in ids]
        if not ids:
            raise ShortError(f"no VM of {host} was rewired")
        self._must_be_none(fleet_table.not_rewired(self.rewired))

    def _must_be_none(self, shortcomings: Sequence[str]) -> None:
        for shortcoming in shortcomings:
            self._console.print(f"[red]{shortcoming}[/]")
        if shortcomings:
            raise ShortError("; ".join(shortcomings))


class _Administrator:
    """Changes a host as soon as its transition waits for that."""

    def __init__(self, cloud: Cloud, host: str, change: Change, say: Callable[[str], None]) -> None:
        self._cloud, self._host, self._change, self._say = cloud, host, change, say
        self._has_changed = False

    def look(self) -> None:
        """Look whether it is time, and change it once."""
        latest = self._cloud.get("/kedge/v1/operations", limit=1)
        stages = {each["host"]: each["stage"] for found in latest for each in found["hosts"]}
        if not self._has_changed and stages.get(self._host) == "converting":
            self._has_changed = True
            self._say(f"the administrator of {self._host} changes it and starts its agent anew")
            self._change(self._cloud, self._host)


def run(console: Console) -> int:
    """The whole demo; the exit code."""

    def say(text: str) -> None:
        console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {text}")

    say("making the lab (it is removed at the end, also when you interrupt)")
    short = ""
    with Cloud.up(say) as cloud:
        say(f"{len(PLACES)} VMs of {', '.join(str(mib) for _, mib in PLACES)} MiB boot (emulated, no KVM)")
        vms = fleet.make_vms(cloud, PLACES, FIRST_ADDRESS)
        change_s = conversion.rehearsed_s(cloud, IDLE)
        say(f"{IDLE} gets its Open vSwitch anew in {change_s:.1f} s: about so long takes changing a host")
        say("from now on each VM is pinged 200 times a second, and a TCP connection to each is held")
        demo = FleetDemo(console, cloud, vms, change_s)
        with fleet.watched(cloud, vms) as watch:
            try:
                demo.run()
            except (ShortError, KedgeError) as error:
                short = str(error)
                console.print(cloud.last_words(), markup=False)
        say("removing the lab")
    result = Result(tuple(demo.done), {vm.id: vm for vm in vms}, watch.seen, tuple(demo.rewired), short)
    shown = (
        fleet_table.moves,
        fleet_table.rewirings,
        fleet_table.stages,
        fleet_table.operations,
        fleet_table.verdict,
    )
    for show in shown:
        console.print()
        console.print(show(result))
    console.print("The lab is gone.")
    return 1 if result.shortcomings else 0
