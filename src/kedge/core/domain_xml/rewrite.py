"""Rewriting a domain XML for another host: the host side of each interface changes, and nothing else.

What the host side is, what is left out and what stands in the way, `interface_table` says. The rest is the VM's
hardware: libvirt refuses a migration that would change it, and the guest would notice what libvirt overlooks, so it
passes as it is, and so does the order of all elements.
"""

from collections.abc import Sequence

from lxml import etree

from kedge.model.errors import CannotMigrate
from kedge.model.network import Vif, VifType

from .attachments import interfaces, mac_of
from .host_side import HOST_SIDE_TAGS, host_side
from .interface_rules import Fate
from .interface_table import ELEMENTS
from .match import Matching, NicChange, match
from .obstacles import is_transient, nic_obstacles, nic_verdicts, passthrough_obstacles
from .parse import parse, serialise
from .rx_filter import set_trust, trusts_guest
from .verdicts import Verdict, losses


def rewrite(xml: str, changes: Sequence[NicChange]) -> str:
    """The domain XML with each interface attached as its port's target VIF says.

    Device names of the host it comes from (`vnetN`, `macvtapN`, `macvlanN`, taps) are left out: on the target
    a stale one could be another guest's. Rewriting the result again with the same changes gives the same, but for
    limits of bandwidth, which a tap and a macvtap have the other way round.

    Raises BadRequest for a bad XML, and CannotMigrate with every reason at once when an interface has no port,
    a port no interface, it can't be told which is which, a NIC is a device of the host, or
    an interface has something that its target can't carry.
    """
    root = parse(xml)
    found = _matched(root, changes)
    reasons = passthrough_obstacles(root) + found.reasons
    verdicts = [nic_verdicts(interface, change.target) for interface, change in found.pairs]
    for (interface, change), of_nic in zip(found.pairs, verdicts, strict=True):
        reasons += nic_obstacles(interface, change.target, of_nic)
    if reasons:
        raise CannotMigrate("The domain's interfaces can't be attached to the target host", reasons)
    for (interface, change), of_nic in zip(found.pairs, verdicts, strict=True):
        _attach(interface, change, of_nic)
    return serialise(root)


def left_behind(xml: str, changes: Sequence[NicChange]) -> list[str]:
    """A sentence for each thing that `rewrite` leaves out, with its NIC and why; for people, before they agree.

    Raises BadRequest for a bad XML.
    """
    return [
        f"NIC {mac_of(interface)} {loss}"
        for interface, change in _matched(parse(xml), changes).pairs
        for loss in losses(nic_verdicts(interface, change.target))
    ]


def _matched(root: etree._Element, changes: Sequence[NicChange]) -> Matching:
    return match([nic for nic in interfaces(root) if not is_transient(nic)], changes)


def _attach(interface: etree._Element, change: NicChange, verdicts: list[Verdict]) -> None:
    target = change.target
    side = host_side(target)
    wanted = side.elements()
    was_reversed = interface.get("type") == "ethernet" and _on_macvtap(change.source)
    trusts = trusts_guest(interface)
    for verdict in verdicts:
        if verdict.fate is Fate.DROPPED:
            _drop(verdict)
    if was_reversed != _on_macvtap(target):
        _reverse_limits(interface)
    interface.set("type", side.interface_type)
    set_trust(interface, trusts)
    for tag in HOST_SIDE_TAGS:
        present = interface.findall(tag)
        for superfluous in present[1:] if tag in wanted else present:
            _remove(superfluous)
        if tag not in wanted:
            continue
        if present:
            _replace(present[0], wanted[tag])
        else:
            _insert(interface, wanted[tag])


def _on_macvtap(vif: Vif | None) -> bool:
    return vif is not None and vif.vif_type is VifType.MACVTAP


def _reverse_limits(interface: etree._Element) -> None:
    """Let the limits of `<bandwidth>` change places.

    What the guest receives, its host sends on a tap and receives on a macvtap. libvirt heeds that on a macvtap of its
    own making alone (`direct`; virDomainNetTypeSharesHostView).
    """
    limits = interface.findall("bandwidth/*")
    if len(limits) == 2:
        first, second = (dict(limit.attrib) for limit in limits)
        for limit, attributes in zip(limits, (second, first), strict=True):
            limit.attrib.clear()
            limit.attrib.update(attributes)
    else:
        for limit in limits:
            limit.tag = "outbound" if limit.tag == "inbound" else "inbound"


def _drop(verdict: Verdict) -> None:
    """Take out what the verdict is about, and what is nothing without it."""
    empty: etree._Element | None = verdict.element
    if verdict.attribute is not None:
        del verdict.element.attrib[verdict.attribute]
        empty = verdict.element if _is_empty(verdict.element) else None
    while empty is not None:
        parent = empty.getparent()
        _remove(empty)
        empty = parent if parent is not None and _is_empty(parent) else None


def _is_empty(element: etree._Element) -> bool:
    """libvirt refuses an <inbound> that has neither `average` nor `floor` (virNetDevBandwidthParseRate)."""
    if element.tag == "inbound":
        return element.get("average") is None
    return not element.attrib and not len(element)


def _replace(old: etree._Element, new: etree._Element) -> None:
    parent = old.getparent()
    if parent is None or _same(old, new):
        return
    _indent_children(new, parent)
    new.tail = old.tail
    parent.replace(old, new)


def _insert(interface: etree._Element, new: etree._Element) -> None:
    """Put the element where libvirt prints it, indented like its neighbours."""
    _indent_children(new, interface)
    previous = _last(interface, ELEMENTS[: ELEMENTS.index(new.tag)])
    if previous is None:
        new.tail = interface.text
        interface.insert(0, new)
        return
    new.tail = previous.tail
    previous.tail = interface.text
    interface.insert(interface.index(previous) + 1, new)


def _remove(element: etree._Element) -> None:
    """Take the element out with the white space before it, so that inserting it again gives the same text."""
    parent = element.getparent()
    if parent is None:
        return
    previous = element.getprevious()
    if previous is None:
        parent.text = element.tail
    else:
        previous.tail = element.tail
    parent.remove(element)


def _last(interface: etree._Element, tags: tuple[str, ...]) -> etree._Element | None:
    found = [child for child in interface if child.tag in tags]
    return found[-1] if found else None


def _same(one: etree._Element, other: etree._Element) -> bool:
    return (
        one.tag == other.tag
        and sorted(one.attrib.items()) == sorted(other.attrib.items())
        and len(one) == len(other)
        and all(_same(a, b) for a, b in zip(one, other, strict=True))
    )


def _indent_children(element: etree._Element, parent: etree._Element) -> None:
    """Indent a new element's children two columns deeper than the element, as libvirt does."""
    indent = parent.text
    if not len(element) or not indent or indent.strip():
        return
    element.text = indent + "  "
    for child in element:
        child.tail = indent + "  "
    element[-1].tail = indent
