"""The difference between two domain XMLs, for people."""

import difflib

from lxml import etree

from .parse import parse, serialise


def unified_diff(before: str, after: str, from_label: str, to_label: str) -> str:
    """A unified diff of the two, each indented alike first, so that it shows no mere change of white space.

    It is empty when they say the same. Raises BadRequest for a bad XML.
    """
    lines = difflib.unified_diff(
        _pretty(before).splitlines(), _pretty(after).splitlines(), from_label, to_label, lineterm=""
    )
    return "\n".join(lines)


def _pretty(xml: str) -> str:
    root = parse(xml)
    etree.indent(root, space="  ")
    return serialise(root)
