"""That a plan which says yes is true: libvirt takes every VM for which nothing was in the way."""

from kedge.lab.cloud import Cloud
from kedge.model.server import Phase


def refused_after_all(cloud: Cloud) -> list[str]:
    """What libvirt said to migrations that it did not take although their plans said yes.

    A migration that begins had a plan without obstacles. That libvirt took it shows in the memory that was copied.
    """
    found, marker = [], ""
    while page := cloud.get("/kedge/v1/migrations", limit=1000, **({"marker": marker} if marker else {})):
        marker = page[-1]["id"]
        for each in page:
            ordered = any(entry["phase"] == Phase.TRANSFER for entry in each["timeline"])
            copied = (each["progress"] or {}).get("memory_processed", 0)
            taken = each["status"] == "completed" or copied > 0
            if ordered and not taken and not each["abort_requested"]:
                found.append(f"{each['source']} -> {each['destination']}: {each['error']}")
    return found
