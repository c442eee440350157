"""What the table says of one interface: a verdict for each element and attribute that does not go with it."""

from dataclasses import dataclass

from lxml import etree

from .interface_pieces import PIECES, Piece
from .interface_rules import Fate, Rule, Target
from .interface_table import rule_of

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
    """What is dropped or refused of all that the interface says; of what lies in such an element, nothing apart.

    An interface of a type that can't move has that verdict alone.
    """
    of_type = type_verdict(interface)
    if of_type.fate is Fate.REFUSED:
        return [of_type]
    found: list[Verdict] = []
    _look(interface, PIECES[target], target, found)
    return found


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


def _look(element: etree._Element, piece: Piece, target: Target, found: list[Verdict]) -> None:
    """Add what does not pass of the attributes and children of an element that itself passes."""
    for name in map(str, element.keys()):
        if name not in piece.passing:
            verdict = _verdict(element, f"{piece.within}@{name}", target, name)
            if not verdict.fate.passes:
                found.append(verdict)
    seen = set()
    for child in element:
        tag = child.tag
        if not isinstance(tag, str):
            continue  # a comment or an instruction
        of_child = piece.children.get(tag)
        if of_child is not None and of_child.repeated is not None:
            of_child = of_child.repeated if tag in seen else of_child
            seen.add(tag)
        if of_child is None or not of_child.passes:
            found.append(_verdict(child, of_child.path if of_child else f"{piece.within}{tag}", target))
        else:
            _look(child, of_child, target, found)


def _verdict(element: etree._Element, path: str, target: Target, attribute: str | None = None) -> Verdict:
    value = element.get(attribute, "") if attribute else ""
    rule = rule_of(path, value) or _UNKNOWN
    fate = rule.fate_on(target)
    if fate.passes:
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
