"""One VM with two NICs over every ordered pair of backends, seen from outside, by neighbours and on the hosts."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from kedge.lab import tour
from kedge.lab.cloud import Cloud
from kedge.lab.layout import HOSTS
from kedge.lab.neighbourhood import Neighbourhood
from kedge.lab.sniff import Frame, Sniffer

pytestmark = pytest.mark.lab

WAY = list(pairwise(tour.every_pair([host.name for host in HOSTS])))


@pytest.fixture(scope="module")
def neighbourhood(cloud: Cloud) -> Iterator[Neighbourhood]:
    made = tour.make_neighbours(cloud)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def vm(cloud: Cloud, neighbourhood: Neighbourhood) -> Iterator[dict[str, Any]]:
    made = tour.make_vm(cloud, "vm1", WAY[0][0])
    yield cloud.get(f"/kedge/v1/servers/{made['id']}")
    cloud.delete(f"/kedge/v1/servers/{made['id']}")


def test_the_way_takes_every_ordered_pair_once() -> None:
    assert len(WAY) == len(set(WAY)) == 20


@pytest.mark.parametrize(("source", "destination"), WAY, ids=lambda host: host)
def test_hop(
    cloud: Cloud, vm: dict[str, Any], neighbourhood: Neighbourhood, source: str, destination: str
) -> None:
    server = vm["id"]
    here = cloud.get(f"/kedge/v1/servers/{server}")["host"]
    if here != source:  # a hop before this one failed
        assert cloud.migrate(server, source)["status"] == "completed"
    macs = {port["network_id"]: port["mac_address"] for port in vm["ports"]}
    # The fabric's ports to both hosts: what comes in there was sent by that host. One clock times them all.
    sniffers = {
        host: [
            Sniffer(cloud.lab.fabric, f"{host}-phys{number}", source=mac)
            for number, mac in enumerate(macs.values(), 1)
        ]
        for host in (source, destination)
    }
    hop = tour.hop(cloud, server, source, destination, neighbourhood=neighbourhood)
    heard = {host: [_sent(sniffer.stop()) for sniffer in each] for host, each in sniffers.items()}

    assert hop.shortcomings == []
    assert hop.migration["guest_downtime_ms"] is not None
    assert hop.migration["network_blackout_ms"] is not None
    _check_bindings(cloud, server, destination)
    phases = [entry["phase"] for entry in hop.migration["timeline"]]
    assert phases[0] == "preflight"
    assert phases[-1] == "settled"
    for before, after in zip(heard[source], heard[destination], strict=True):
        assert before, "the VM was never heard from the source"
        assert after, "the VM was never heard from the destination"
        early = [frame for frame in after if frame.at_ns < before[-1].at_ns]
        assert early == [], "the destination spoke for the VM while that still spoke on the source"
        assert sum(frame.kind == "rarp" for frame in after) >= 3, "the VM was not announced, repeatedly"


def _sent(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if not frame.outgoing]


def _check_bindings(cloud: Cloud, server: str, host: str) -> None:
    for port in cloud.get(f"/kedge/v1/servers/{server}")["ports"]:
        assert [(binding["host"], binding["status"]) for binding in port["bindings"]] == [(host, "ACTIVE")]
        path = f"/network/v2.0/ports/{port['id']}"
        cloud.wait_for(partial(is_active, cloud, path), f"the status of {path}", 10)


def is_active(cloud: Cloud, path: str) -> bool:
    status: str = cloud.get(path)["port"]["status"]
    return status == "ACTIVE"
