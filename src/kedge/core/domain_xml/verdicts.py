"""What the table says of one interface: a verdict for each of its elements and attributes."""

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from .interface_rules import Fate, Rule, Target
from .interface_table import is_known, rule_of

_UNKNOWN = Rule(
    "",
    Fate.REFUSED,
    "Kedge does not know it, so it can't say what would become of it",
    "has {piece}",
    "remove it, or update Kedge",
)


@dataclass(frozen=True)
class Verdict:
    """What becomes of an element, or of one of its attributes; `sentence` names it and says why.

    `adopted` as in `Rule`.
    """

    fate: Fate
    sentence: str
    element: etree._Element
    attribute: str | None = None
    adopted: bool = True


def verdicts(interface: etree._Element, target: Target) -> list[Verdict]:
    """What becomes of all that the interface says; of what lies in something dropped or refused, nothing apart.

    An interface of a type that can't move has that verdict alone.
    """
    of_type = type_verdict(interface)
    if of_type.fate is Fate.REFUSED:
        return [of_type]
    return [*_of_attributes(interface, "", target), *_of_children(interface, "", target)]


def type_verdict(interface: etree._Element) -> Verdict:
    """What becomes of its type, wherever it goes."""
    return _verdict(interface, "@type", Target.LINUX_BRIDGE, "type")


def teaming_verdict(device: etree._Element) -> Verdict | None:
    """What becomes of a device of a `<teaming>` pair, wherever it goes."""
    teaming = device.find("teaming")
    return None if teaming is None else _verdict(teaming, "teaming/@type", Target.LINUX_BRIDGE, "type")


def reasons(found: list[Verdict]) -> list[str]:
    """The sentences of what is refused, each once."""
    return _sentences(found, Fate.REFUSED)


def strangeness(interface: etree._Element) -> list[str]:
    """The sentences of what says that the interface is no port of a network that Kedge knows, wherever it goes."""
    found = verdicts(interface, Target.LINUX_BRIDGE)
    return reasons([verdict for verdict in found if not verdict.adopted])


def losses(found: list[Verdict]) -> list[str]:
    """The sentences of what is dropped, each once."""
    return _sentences(found, Fate.DROPPED)


def _sentences(found: list[Verdict], fate: Fate) -> list[str]:
    return list(dict.fromkeys(verdict.sentence for verdict in found if verdict.fate is fate))


def _of_children(parent: etree._Element, within: str, target: Target) -> Iterator[Verdict]:
    seen = set()
    for child in parent.iterchildren(etree.Element):
        path = f"{within}{child.tag}"
        if path in seen and is_known(f"{path}[2]"):
            path += "[2]"
        seen.add(path)
        verdict = _verdict(child, path, target)
        yield verdict
        if verdict.fate in (Fate.KEPT, Fate.TRANSLATED):
            yield from _of_attributes(child, f"{path}/", target)
            yield from _of_children(child, f"{path}/", target)


def _of_attributes(element: etree._Element, within: str, target: Target) -> Iterator[Verdict]:
    for name in map(str, element.attrib):
        yield _verdict(element, f"{within}@{name}", target, name)


def _verdict(element: etree._Element, path: str, target: Target, attribute: str | None = None) -> Verdict:
    value = element.get(attribute, "") if attribute else ""
    rule = rule_of(path, value) or _UNKNOWN
    fate = rule.fate_on(target)
    if fate in (Fate.KEPT, Fate.TRANSLATED):
        return Verdict(fate, "", element, attribute)
    tag = etree.QName(element).localname
    words = _Words(
        {str(name): str(given) for name, given in element.attrib.items()},
        target=str(target),
        vlans=_vlans(element),
        piece=f"{attribute}={value!r} in its <{tag}>" if attribute else f"an element <{tag}>",
    )
    return Verdict(fate, _sentence(rule, fate, words), element, attribute, rule.adopted)


def _sentence(rule: Rule, fate: Fate, words: "_Words") -> str:
    what, why = rule.what.format_map(words), rule.why.format_map(words)
    if fate is Fate.DROPPED:
        return f"loses {what}: {why}"
    return f"{what}: {why}; {rule.remedy.format_map(words)}"


class _Words(dict[str, str]):
    """What stands for an attribute that is not there is a question mark."""

    def __missing__(self, name: str) -> str:
        return "?"


def _vlans(element: etree._Element) -> str:
    vlan = element if element.tag == "vlan" else element.getparent()
    tags = [] if vlan is None else vlan.findall("tag")
    return ", ".join(tag.get("id", "") for tag in tags) or "all"
