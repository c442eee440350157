"""Eight VMs at once by eight `kedge migrate`, beside eight by eight `virsh migrate`: `python -m benchmarks.at_once`."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kedge.lab import tour
from kedge.lab.cloud import Cloud

from .bare import BareVm
from .cpu import kedge_migrate

VMS = 8
SOURCE, DESTINATION = "h1", "h5"


def run() -> dict[str, Any]:
    """Both ways, one after the other in one lab, over the same two hosts; wall times in seconds."""
    with Cloud.up(print) as cloud:
        names = [_make(cloud, number) for number in range(VMS)]
        bare = [
            BareVm(cloud, SOURCE, {"blue": _address(60 + number)}, f"bare{number}") for number in range(VMS)
        ]
        kedge_s = _took([lambda name=name: kedge_migrate(name, DESTINATION) for name in names])  # type: ignore[misc]
        for vm in bare:
            vm.prepare(SOURCE, DESTINATION)
        virsh_s = _took([lambda vm=vm: vm.migrate(SOURCE, DESTINATION) for vm in bare])  # type: ignore[misc]
    return {"vms": VMS, "kedge_s": kedge_s, "virsh_s": virsh_s, "ratio": round(kedge_s / virsh_s, 2)}


def _make(cloud: Cloud, number: int) -> str:
    address = _address(40 + number)
    port = tour.make_port(cloud, tour.make_networks(cloud)["blue"], address)
    tour.make_server(cloud, f"vm{number}", SOURCE, [(port, address)])
    return f"vm{number}"


def _address(last: int) -> str:
    return f"198.51.100.{last}"


def _took(calls: Sequence[Callable[[], object]]) -> float:
    """How long all of them take together, in seconds. Raises what any of them raises."""
    began = time.monotonic()
    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()
    return round(time.monotonic() - began, 2)


def table(result: dict[str, Any]) -> str:
    """A line of Markdown."""
    return (
        f"{result['vms']} VMs at once: {result['kedge_s']} s by `kedge migrate`, {result['virsh_s']} s by"
        f" `virsh migrate`: {result['ratio']} times."
    )


if __name__ == "__main__":
    print(table(run()))
