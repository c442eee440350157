"""CD-ROM and floppy images that the destination lacks: QEMU there can't open them, so it does not start."""

from kedge.model.obstacle import Obstacle

from .paths import disk_sources
from .question import Question
from .storage import named, pool_obstacle

CODES = {
    "image-missing": "the image in a CD-ROM or floppy drive is not on the destination",
    "image-not-the-same": "the image in a CD-ROM or floppy drive is another one on the destination",
}

# libvirt empties the drive of a migrating VM by itself with these (docs of <source startupPolicy=…>).
_MAY_GO = ("requisite", "optional")


def obstacles(question: Question) -> list[Obstacle]:
    """One for each image that is missing, unless its `startupPolicy` lets libvirt drop it."""
    found: list[Obstacle] = []
    for disk in question.domain.iterfind("devices/disk"):
        source = disk.find("source")
        if disk.get("device") not in ("cdrom", "floppy") or source is None:
            continue
        if source.get("startupPolicy") in _MAY_GO:
            continue
        if pool := pool_obstacle(disk, question):
            found.append(pool)
        target = disk.find("target")
        drive = target.get("dev", "") if target is not None else ""
        remedy = f"eject it (`virsh change-media DOMAIN {drive} --eject --live`), or copy it to {question.destination}"
        for path in dict.fromkeys(disk_sources(disk)):
            if question.missing_there(path):
                problem = f"holds {path}, which is not there on {question.destination}"
                found.append(Obstacle("image-missing", named(disk), problem, remedy))
            elif sizes := question.sizes(path):
                problem = f"holds {path}, which has {sizes[0]} bytes on {question.source} and {sizes[1]} on "
                problem += question.destination
                found.append(Obstacle("image-not-the-same", named(disk), problem, remedy))
    return found
