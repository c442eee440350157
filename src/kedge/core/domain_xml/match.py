"""Which port is which interface.

A MAC address alone does not say it, because it may repeat on another network. What else is known of a port
is compared in three steps, and a step that leaves a doubt gives no answer:

1. its name: the alias that Kedge gave the NIC, the tap's name or the virtual port's id, all made from the
   port's id;
2. its place: the physical interface or bridge that it is attached to on the host where the domain is, if
   somebody else attached it;
3. what is left over, if it is a single interface and a single port of which nothing more is known.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lxml import etree

from kedge.model.network import Vif, VifType

from .attachments import Attachment, attachment

_Mark = tuple[str, ...]


@dataclass(frozen=True)
class NicChange:
    """A port's move. `source` is its VIF on the host where the domain is now, `target` the one it shall have."""

    source: Vif | None
    target: Vif


@dataclass
class Matching:
    """The pairs found, in the order of the interfaces, and a reason for each interface or port without one."""

    pairs: list[tuple[etree._Element, NicChange]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


@dataclass(eq=False)
class _Nic:
    element: etree._Element
    seen: Attachment


_Pairs = list[tuple[_Nic, NicChange]]


def match(interfaces: Sequence[etree._Element], changes: Sequence[NicChange]) -> Matching:
    """Pair each interface with the one change that is its own."""
    nics = [_Nic(element, attachment(element)) for element in interfaces]
    found: dict[int, NicChange] = {}
    reasons = _repeated_ports(changes)
    for mac in sorted({nic.seen.mac or "" for nic in nics} | {_mac(change) for change in changes}):
        group = [nic for nic in nics if (nic.seen.mac or "") == mac]
        ports = [change for change in changes if _mac(change) == mac]
        pairs = _pairs(group, ports)
        found.update((id(nic), change) for nic, change in pairs)
        reasons += _unmatched(mac, group, ports, pairs)
    ordered = [(nic.element, found[id(nic)]) for nic in nics if id(nic) in found]
    return Matching(ordered, reasons)


def alias_of(port_id: str) -> str:
    """The alias that Kedge gives a NIC it makes; libvirt keeps those that start with `ua-` (3.9 and later)."""
    return f"ua-{port_id}"


def _pairs(nics: list[_Nic], changes: list[NicChange]) -> _Pairs:
    if len(nics) == len(changes) == 1:
        return [(nics[0], changes[0])]
    pairs: _Pairs = []
    for marks in (_names, _places):
        pairs += _one_to_one(*_left_over(nics, changes, pairs), marks)
    free_nics, free_changes = _left_over(nics, changes, pairs)
    if pairs and len(free_nics) == len(free_changes) == 1 and free_changes[0].source is None:
        pairs.append((free_nics[0], free_changes[0]))
    return pairs


def _left_over(
    nics: list[_Nic], changes: list[NicChange], pairs: _Pairs
) -> tuple[list[_Nic], list[NicChange]]:
    taken_nics = [nic for nic, _ in pairs]
    taken_changes = [change for _, change in pairs]
    return (
        [nic for nic in nics if nic not in taken_nics],
        [change for change in changes if change not in taken_changes],
    )


def _one_to_one(
    nics: list[_Nic], changes: list[NicChange], marks: Callable[[NicChange], set[_Mark]]
) -> _Pairs:
    """The pairs in which each is the other's only candidate."""
    candidates = {
        (i, c) for i, nic in enumerate(nics) for c, change in enumerate(changes) if _seen(nic) & marks(change)
    }
    per_nic = Counter(i for i, _ in candidates)
    per_change = Counter(c for _, c in candidates)
    return [(nics[i], changes[c]) for i, c in sorted(candidates) if per_nic[i] == per_change[c] == 1]


def _seen(nic: _Nic) -> set[_Mark]:
    seen = nic.seen
    marks: set[_Mark] = set()
    if seen.alias:
        marks.add(("alias", seen.alias))
    if seen.target_dev:
        marks.add(("tap", seen.target_dev))
    if seen.interfaceid:
        marks.add(("interfaceid", seen.interfaceid))
    if seen.source_bridge:
        marks.add(("bridge", seen.source_bridge))
    if seen.source_dev:
        marks.add(("direct", seen.source_dev, seen.mode or ""))
    return marks


def _names(change: NicChange) -> set[_Mark]:
    """Marks that only this port can have, on whatever host."""
    port = change.target
    hybrid_bridge = f"qbr{port.port_id[:11]}"
    return {
        ("alias", alias_of(port.port_id)),
        ("tap", port.tap_name),
        ("interfaceid", port.port_id),
        ("bridge", hybrid_bridge),
    }


def _places(change: NicChange) -> set[_Mark]:
    """Marks that ports of one network share on the host where the domain is."""
    vif = change.source
    if vif is None:
        return set()
    details = vif.vif_details
    if vif.vif_type == VifType.MACVTAP:
        return {("direct", str(details.get("macvtap_source")), str(details.get("macvtap_mode")))}
    if vif.vif_type == VifType.BRIDGE:
        return {("bridge", str(details.get("bridge_name") or f"brq{vif.network_id[:11]}"))}
    return {("bridge", str(details.get("bridge_name")))}


def _mac(change: NicChange) -> str:
    return change.target.mac_address


def _repeated_ports(changes: Sequence[NicChange]) -> list[str]:
    counted = Counter(change.target.port_id for change in changes)
    return [f"port {port_id} is named {n} times; name it once" for port_id, n in counted.items() if n > 1]


def _unmatched(mac: str, nics: list[_Nic], changes: list[NicChange], pairs: _Pairs) -> list[str]:
    free_nics, free_changes = _left_over(nics, changes, pairs)
    if free_nics and not mac:
        return [f"an interface ({_where(nic.seen)}) has no MAC address; give it one" for nic in free_nics]
    if free_nics and free_changes:
        where = ", ".join(_where(nic.seen) for nic in free_nics)
        which = ", ".join(change.target.port_id for change in free_changes)
        return [
            f"MAC {mac} is that of more than one NIC, and it can't be told which interface ({where}) is which port "
            f"({which}); give the NICs different MACs, or detach one of them"
        ]
    alone = [
        f"interface {mac} ({_where(nic.seen)}) has no port; make a port with this MAC for the server, or detach it"
        for nic in free_nics
    ]
    return alone + [
        f"port {change.target.port_id} ({mac}) has no interface in the domain; attach one, or delete the port"
        for change in free_changes
    ]


def _where(seen: Attachment) -> str:
    source = seen.source_dev or seen.source_bridge or seen.source_network
    named = [seen.kind, source and f"on {source}", seen.target_dev and f"device {seen.target_dev}"]
    return " ".join(part for part in named if part)
