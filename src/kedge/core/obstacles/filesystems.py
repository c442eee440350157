"""Directories and memory that a VM shares with its host, which QEMU or libvirt do not migrate."""

from lxml import etree

from kedge.model.obstacle import Obstacle

from .question import Question

CODES = {
    "filesystem-shared": "a directory of the host is shared with the VM",
    "shared-memory": "a region of memory is shared with other processes of the host",
}


def _moves(memory: etree._Element) -> bool:
    """libvirt takes the role 'master' along, but for the legacy device (qemuMigrationSrcIsAllowed)."""
    model = memory.find("model")
    return memory.get("role") == "master" and (model is None or model.get("type") != "ivshmem")


def obstacles(question: Question) -> list[Obstacle]:
    """One for each `<filesystem>` and each `<shmem>` that can't move."""
    found = [
        Obstacle(
            "filesystem-shared",
            f"directory {_text(filesystem, 'source', 'dir') or _text(filesystem, 'source', 'socket')}",
            f"of {question.source} is shared with the VM (as {_text(filesystem, 'target', 'dir')}), which can't move",
            "unmount it in the guest and detach it; use NFS or the like instead",
        )
        for filesystem in question.domain.iterfind("devices/filesystem")
    ]
    return found + [
        Obstacle(
            "shared-memory",
            f"shared memory {memory.get('name', '')}",
            "can't move: it is shared with other processes of the host (<shmem>)",
            "detach it first",
        )
        for memory in question.domain.iterfind("devices/shmem")
        if not _moves(memory)
    ]


def _text(parent: etree._Element, tag: str, attribute: str) -> str:
    element = parent.find(tag)
    return "" if element is None else element.get(attribute, "")
