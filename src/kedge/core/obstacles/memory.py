"""Memory: what the guest has now, and what the destination has left for it."""

from kedge.model.obstacle import Obstacle

from .question import Question

CODES = {
    "memory-short": "the destination has less memory left than the guest has",
    "huge-pages-short": "the destination has too few free huge pages of the size that the guest's memory is in",
}

_UNITS = {
    "b": 1,
    "bytes": 1,
    "KB": 10**3,
    "k": 1 << 10,
    "KiB": 1 << 10,
    "MB": 10**6,
    "M": 1 << 20,
    "MiB": 1 << 20,
}
_UNITS |= {"GB": 10**9, "G": 1 << 30, "GiB": 1 << 30, "TB": 10**12, "T": 1 << 40, "TiB": 1 << 40}
_MIB = 1 << 20


def obstacles(question: Question) -> list[Obstacle]:
    """That it is short. Swap is not counted, nor what QEMU needs for itself."""
    memory = question.there.memory
    huge = question.domain.find("memoryBacking/hugepages")
    if huge is not None:
        page = huge.find("page")
        size = _bytes(page.get("size"), page.get("unit")) if page is not None else memory.huge_page
        wanted = _memory(question, "memory")
        free = memory.huge_pages.get(size, 0) * size
        if not memory.huge_pages or free >= wanted:
            return []
        return [
            Obstacle(
                "huge-pages-short",
                "memory",
                f"the VM has {wanted // _MIB} MiB in huge pages of {size >> 10} KiB, and {question.destination} has "
                f"{free // _MIB} MiB of them free",
                f"reserve more there (/sys/kernel/mm/hugepages/hugepages-{size >> 10}kB/nr_hugepages)",
            )
        ]
    wanted = _memory(question, "currentMemory") or _memory(question, "memory")
    left = memory.available - memory.promised
    if not memory.total or wanted <= left:
        return []
    promised = f", {memory.promised // _MIB} MiB of them promised to VMs that are arriving"
    return [
        Obstacle(
            "memory-short",
            "memory",
            f"the VM has {wanted // _MIB} MiB, and {question.destination} has {memory.available // _MIB} of "
            f"{memory.total // _MIB} MiB available{promised if memory.promised else ''}",
            "choose another host, or move other VMs away first",
        )
    ]


def _memory(question: Question, tag: str) -> int:
    element = question.domain.find(tag)
    return 0 if element is None else _bytes(element.text, element.get("unit"))


def _bytes(text: str | None, unit: str | None) -> int:
    """libvirt's scaled integers; KiB without a unit. 0 for what is none."""
    number = (text or "").strip()
    return int(number) * _UNITS.get(unit or "KiB", 0) if number.isdecimal() and len(number) < 20 else 0
