"""One VM with two NICs over every ordered pair of backends, seen from outside and on the hosts themselves."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from kedge.lab import tour
from kedge.lab.cloud import Cloud
from kedge.lab.layout import HOSTS
from kedge.lab.sniff import Sniffer

pytestmark = pytest.mark.lab

WAY = list(pairwise(tour.every_pair([host.name for host in HOSTS])))


@pytest.fixture(scope="module")
def vm(cloud: Cloud) -> Iterator[dict[str, Any]]:
    made = tour.make_vm(cloud, "vm1", WAY[0][0])
    yield cloud.get(f"/kedge/v1/servers/{made['id']}")
    cloud.delete(f"/kedge/v1/servers/{made['id']}")


def test_the_way_takes_every_ordered_pair_once() -> None:
    assert len(WAY) == len(set(WAY)) == 20


@pytest.mark.parametrize(("source", "destination"), WAY, ids=lambda host: host)
def test_hop(cloud: Cloud, vm: dict[str, Any], source: str, destination: str) -> None:
    server = vm["id"]
    here = cloud.get(f"/kedge/v1/servers/{server}")["host"]
    if here != source:  # a hop before this one failed
        assert cloud.migrate(server, source)["status"] == "completed"
    macs = {port["network_id"]: port["mac_address"] for port in vm["ports"]}
    # The fabric's ports to the destination: what comes in there was sent by the destination host.
    sniffers = [
        Sniffer(cloud.lab.fabric, f"{destination}-phys{number}", source=mac)
        for number, mac in enumerate(macs.values(), 1)
    ]
    hop = tour.hop(cloud, server, source, destination)
    captured = [sniffer.stop() for sniffer in sniffers]

    assert hop.shortcomings == []
    assert hop.migration["guest_downtime_ms"] is not None
    assert hop.migration["network_blackout_ms"] is not None
    _check_bindings(cloud, server, destination)
    phases = [entry["phase"] for entry in hop.migration["timeline"]]
    assert phases[0] == "preflight"
    assert phases[-1] == "settled"
    paused_ns = next(entry["at_ns"] for entry in hop.migration["timeline"] if entry["phase"] == "paused")
    for frames in captured:
        sent = [frame for frame in frames if not frame.outgoing]
        assert sent, "the VM was never heard from the destination"
        # Half the quickest exchange with the host is what the clocks may seem apart.
        assert sent[0].at_ns > paused_ns - 5_000_000, "the destination spoke for the VM before it was paused"
        assert any(frame.kind == "rarp" for frame in sent), "the VM was not announced"


def _check_bindings(cloud: Cloud, server: str, host: str) -> None:
    for port in cloud.get(f"/kedge/v1/servers/{server}")["ports"]:
        assert [(binding["host"], binding["status"]) for binding in port["bindings"]] == [(host, "ACTIVE")]
        path = f"/network/v2.0/ports/{port['id']}"
        cloud.wait_for(partial(is_active, cloud, path), f"the status of {path}", 10)


def is_active(cloud: Cloud, path: str) -> bool:
    status: str = cloud.get(path)["port"]["status"]
    return status == "ACTIVE"
