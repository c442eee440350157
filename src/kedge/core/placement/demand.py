"""What a server takes of a host, read from its domain's XML."""

from lxml import etree

from kedge.model.placement import Demand

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


def demand_of(domain: etree._Element) -> Demand:
    """The demand of a domain: its memory as it is ballooned now, or all of it where it is in huge pages."""
    huge = domain.find("memoryBacking/hugepages")
    memory = _element(domain.find("memory"))
    if huge is None:
        return Demand(_element(domain.find("currentMemory")) or memory, _vcpus(domain))
    page = huge.find("page")
    size = 0 if page is None else scaled(page.get("size"), page.get("unit"))
    return Demand(memory, _vcpus(domain), size)


def _vcpus(domain: etree._Element) -> int:
    element = domain.find("vcpu")
    text = "" if element is None else (element.get("current") or element.text or "").strip()
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _element(element: etree._Element | None) -> int:
    return 0 if element is None else scaled(element.text, element.get("unit"))


def scaled(text: str | None, unit: str | None) -> int:
    """libvirt's scaled integers; KiB without a unit. 0 for what is none."""
    number = (text or "").strip()
    return int(number) * _UNITS.get(unit or "KiB", 0) if number.isdecimal() and len(number) < 20 else 0
