"""Ranges of VLANs that networks are given theirs from."""

from dataclasses import dataclass

VLAN_MIN, VLAN_MAX = 1, 4094  # IEEE 802.1Q; 0 and 4095 are reserved


@dataclass(frozen=True)
class VlanRange:
    """VLANs of one physical network, from the first to the last."""

    physical_network: str
    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> "VlanRange":
        """Read `physnet1:1000:1099`, as Neutron's `network_vlan_ranges` are written. Raises ValueError."""
        physical_network, *ends = text.split(":")
        if (
            not physical_network
            or len(ends) != 2
            or not all(end.isascii() and end.isdecimal() for end in ends)
        ):
            raise ValueError(f"{text!r} is not a range of VLANs; write it as physnet1:1000:1099")
        first, last = map(int, ends)
        if not VLAN_MIN <= first <= last <= VLAN_MAX:
            raise ValueError(
                f"{text!r} is not within {VLAN_MIN} to {VLAN_MAX}, from a low VLAN to a high one"
            )
        return cls(physical_network, first, last)
