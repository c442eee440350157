"""The words of the table about `<interface>`: what may become of a piece of it, where it may go, and a rule."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What becomes of an element or attribute when its interface moves."""

    KEPT = "kept"  #: stays as it is
    TRANSLATED = "translated"  #: says the same of the next host, in other words
    DROPPED = "dropped"  #: left out, and the plan says so
    REFUSED = "refused"  #: the server can't move with it

    @property
    def passes(self) -> bool:
        """Whether it goes along, in the same words or in others."""
        return self is Fate.KEPT or self is Fate.TRANSLATED


class Target(StrEnum):
    """What an interface can become; as a sentence names it."""

    LINUX_BRIDGE = "a tap in a Linux bridge"  #: Linux bridge, and Open vSwitch with hybrid plug
    OPENVSWITCH = "a tap in Open vSwitch"
    OPENVSWITCH_BY_LIBVIRT = "an Open vSwitch port"  #: libvirt makes it: `ovs_create_tap` is False
    MACVTAP = "macvtap"


EVERYWHERE = frozenset(Target)


@dataclass(frozen=True)
class Rule:
    """What becomes of some elements and attributes, and why.

    Attributes:
        names: paths below `<interface>`, with a space between them; several attributes of one element share its
            path: `link link/@state`, `rom/@bar,file`. `vlan/tag[2]` is each `<tag>` behind the first.
        why: a clause, for people.
        what: how a sentence about a NIC names what it has, from its verb on; `{x}` is the attribute `x` of the
            element, `{target}` the target, `{vlans}` the VLAN ids.
        remedy: what to do about it, if it is refused.
        values: of attributes; the rule holds for these only. The first rule that holds counts.
        adopted: whether a server whose NIC has it can be adopted. It can't where this says that the NIC is no port of
            a network that Kedge knows.
        on: the targets for which the fate is this one; on the others it is kept.
    """

    names: str
    fate: Fate
    why: str
    what: str = ""
    remedy: str = ""
    values: tuple[str, ...] = ()
    adopted: bool = True
    on: frozenset[Target] = EVERYWHERE

    def fate_on(self, target: Target) -> Fate:
        """What becomes of it on this target."""
        return self.fate if target in self.on else Fate.KEPT

    def paths(self) -> Iterator[str]:
        """Each path by itself."""
        for name in self.names.split():
            element, at, attributes = name.partition("@")
            yield from (f"{element}@{attribute}" for attribute in attributes.split(",")) if at else (element,)
