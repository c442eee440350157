"""What libvirt holds to a domain that it does not migrate: snapshots, and jobs on its disks."""

from kedge.model.obstacle import Obstacle

from .question import Question

CODES = {
    "snapshots": "libvirt has snapshots of the server, which it does not migrate",
    "block-job": "a job is copying a disk",
}


def obstacles(question: Question) -> list[Obstacle]:
    """By libvirt's rules (qemuMigrationSrcIsAllowed)."""
    domain = question.here.domain
    found = []
    if domain.snapshots:
        found.append(
            Obstacle(
                "snapshots",
                "snapshots",
                f"libvirt on {question.source} has {domain.snapshots} of this server, and migrates none that has any",
                "delete them (`virsh snapshot-delete`; with --metadata what they hold stays in the image)",
            )
        )
    return found + [
        Obstacle(
            "block-job",
            f"disk {disk}",
            "a block job (a copy, commit or backup) runs on it",
            f"wait for its end, or end it: `virsh blockjob DOMAIN {disk} --abort`",
        )
        for disk in domain.block_jobs
    ]
