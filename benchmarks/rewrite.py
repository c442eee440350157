"""How long it takes to rewrite a domain XML: `python -m benchmarks.rewrite`.

The domain is one that Kedge makes, with four disks and 1, 4 and 16 NICs on macvtap, half of them with queues and
offload settings; each NIC goes to a tap. A run is one call from text to text, parsing included.
"""

from statistics import median
from time import perf_counter_ns
from typing import Any

from kedge.core.domain_xml import DiskSpec, DomainSpec, NicChange, NicSpec, build, rewrite
from kedge.model.network import NetworkType, Segment, Vif, VifType

NICS = (1, 4, 16)
WARM_UP = 20
RUNS = 500


def run() -> dict[str, Any]:
    """The time of a rewrite by number of NICs: median and 99th percentile in µs, and the XML's size in bytes."""
    return {"unit": "us", "runs": RUNS, "results": [_measure(nics) for nics in NICS]}


def _measure(nics: int) -> dict[str, float]:
    changes = [_change(number) for number in range(nics)]
    xml = build(_server(changes))
    for _ in range(WARM_UP):
        rewrite(xml, changes)
    times = sorted(_time(xml, changes) for _ in range(RUNS))
    return {
        "nics": nics,
        "bytes": len(xml.encode()),
        "median_us": median(times),
        "p99_us": times[int(RUNS * 0.99)],
    }


def _time(xml: str, changes: list[NicChange]) -> float:
    start = perf_counter_ns()
    rewrite(xml, changes)
    return (perf_counter_ns() - start) / 1000


def _server(changes: list[NicChange]) -> DomainSpec:
    nics = [
        NicSpec(change.source, queues=1 + number % 2 * 3, offloads=number % 2 == 0)
        for number, change in enumerate(changes)
        if change.source
    ]
    return DomainSpec(
        uuid="c0ffee00-7d1e-4f0a-9d0b-2f7f3d6f1b5a",
        name="benchmark",
        memory_mib=4096,
        disks=tuple(DiskSpec(f"/var/lib/kedge/disk-{number}.qcow2") for number in range(4)),
        nics=tuple(nics),
    )


def _change(number: int) -> NicChange:
    def vif(vif_type: VifType, details: dict[str, Any]) -> Vif:
        return Vif(
            port_id=f"{number:08x}-0000-4000-8000-000000000000",
            network_id=f"{number:08x}-0000-4000-9000-000000000000",
            mac_address=f"fa:16:3e:00:00:{number:02x}",
            segment=Segment(NetworkType.VLAN, "physnet1", 100 + number),
            vif_type=vif_type,
            vif_details=details,
        )

    return NicChange(
        source=vif(VifType.MACVTAP, {"macvtap_source": f"eth1.{100 + number}", "macvtap_mode": "bridge"}),
        target=vif(VifType.OVS, {"bridge_name": "br-int", "ovs_hybrid_plug": False}),
    )


def table(result: dict[str, Any]) -> str:
    """A small Markdown table."""
    lines = ["| NICs | bytes | median µs | p99 µs |", "|--:|--:|--:|--:|"]
    for row in result["results"]:
        lines.append(f"| {row['nics']} | {row['bytes']} | {row['median_us']:.0f} | {row['p99_us']:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(run()))
