"""What libvirt's own schema allows in an `<interface>`, and what an interface says, both as the table's paths."""

from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from .schema import SCHEMA

_RNG = "{http://relaxng.org/ns/structure/1.0}"
_NO_CHILDREN_THAT_MATTER = ("value", "data", "text", "empty")


def paths_of_the_schema() -> set[str]:
    """Each element and attribute below `<interface>`."""
    defines: dict[str, list[etree._Element]] = {}
    _read(Path(SCHEMA), defines, set())
    (interface,) = [each.find(f"{_RNG}element") for each in defines["interface"]]
    assert interface is not None and interface.get("name") == "interface"
    return set(_walk(interface, "", defines, ()))


def said(interface: etree._Element) -> Iterator[tuple[str, str]]:
    """Each path of an interface, with the attribute's value or the element's text."""
    yield from _said(interface, "")


def _said(element: etree._Element, within: str) -> Iterator[tuple[str, str]]:
    yield from ((f"{within}@{name!s}", str(value)) for name, value in element.attrib.items())
    seen = set()
    for child in element.iterchildren(etree.Element):
        path = within + str(child.tag)
        if path == "vlan/tag" and path in seen:
            path += "[2]"
        seen.add(path)
        yield path, (child.text or "").strip()
        yield from _said(child, f"{path}/")


def _read(file: Path, defines: dict[str, list[etree._Element]], read: set[Path]) -> None:
    if file in read:
        return
    read.add(file)
    root = etree.parse(file).getroot()
    for include in root.iter(f"{_RNG}include"):
        _read(file.parent / include.get("href", ""), defines, read)
    for define in root.iter(f"{_RNG}define"):
        defines.setdefault(define.get("name", ""), []).append(define)


def _walk(
    node: etree._Element, within: str, defines: dict[str, list[etree._Element]], entered: tuple[str, ...]
) -> Iterator[str]:
    for child in node.iterchildren(etree.Element):
        kind, name = etree.QName(child).localname, child.get("name", "")
        if kind == "ref" and name not in entered:
            for define in defines[name]:
                yield from _walk(define, within, defines, (*entered, name))
        elif kind == "attribute":
            yield f"{within}@{name}"
        elif kind == "element":
            yield f"{within}{name}"
            yield from _walk(child, f"{within}{name}/", defines, entered)
        elif kind not in _NO_CHILDREN_THAT_MATTER:
            yield from _walk(child, within, defines, entered)
