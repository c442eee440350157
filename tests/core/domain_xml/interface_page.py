"""Writes docs/interface-table.md from the table: `.venv/bin/python -m tests.core.domain_xml.interface_page`."""

from pathlib import Path

from kedge.core.domain_xml.interface_rules import Rule, Target
from kedge.core.domain_xml.interface_table import TABLE

PAGE = Path(__file__).parents[3] / "docs/interface-table.md"

_HEAD = """\
# What becomes of a NIC's XML when its server moves

Each element and attribute of libvirt's `<interface>`, and what Kedge does with it when the server moves to a host where
the NIC becomes one of these:

- **Linux bridge**: a tap in a Linux bridge (the backend `linuxbridge`, or `openvswitch` with hybrid plug);
- **Open vSwitch**: a tap that Kedge's agent puts into Open vSwitch;
- **libvirt's port**: an Open vSwitch port that libvirt makes itself (`ovs_create_tap` is false);
- **macvtap**: a macvtap device that Kedge's agent makes.

*Kept*: it stays as it is. *Translated*: it says the same of the next host, in other words. *Dropped*: it is left out,
and the plan says so. *Refused*: the server can't move with it, and the plan says why and what to do. What is not in
this table is refused. *Adopted* says whether a running server whose NIC has it can be adopted.

The table is `src/kedge/core/domain_xml/interface_table.py`, by which a domain is rewritten. This page is made from it
with `.venv/bin/python -m tests.core.domain_xml.interface_page`; a test compares the two, one holds the table against
libvirt's schema, and one puts each line through libvirt.

"""
_COLUMNS = {
    "Linux bridge": Target.LINUX_BRIDGE,
    "Open vSwitch": Target.OPENVSWITCH,
    "libvirt's port": Target.OPENVSWITCH_BY_LIBVIRT,
    "macvtap": Target.MACVTAP,
}


def page() -> str:
    """The page's text."""
    lines = [
        _line("Element or attribute", *_COLUMNS, "Adopted", "Why"),
        _line(*["---"] * (len(_COLUMNS) + 3)),
    ]
    lines += [_row(rule) for rule in TABLE]
    return _HEAD + "\n".join(lines) + "\n"


def _row(rule: Rule) -> str:
    names = " ".join(f"`{name}`" for name in rule.names.split())
    if rule.values:
        names += f" = {', '.join(f'`{value}`' for value in rule.values)}"
    fates = [str(rule.fate_on(target)) for target in _COLUMNS.values()]
    return _line(names, *fates, "yes" if rule.adopted else "no", rule.why.replace("{target}", "the others"))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page())
