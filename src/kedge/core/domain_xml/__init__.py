"""Domain XML: what libvirt is told about a server, and how that changes when it moves to another host.

Pure functions from text to text. `rewrite` is the heart; the others make a domain, look at one, or compare two.
"""

from .attachments import Attachment, attachments, nic_of, strange_nics
from .build import DiskSpec, DomainSpec, NicSpec, build
from .diff import unified_diff
from .from_networks import uses_networks, with_what_networks_gave
from .graphics import listens_on_its_host, with_graphics_moved
from .guest_abi import guest_visible_differences
from .match import NicChange
from .parse import parse
from .rewrite import left_behind, rewrite
from .secrets import without_secrets

__all__ = [
    "Attachment",
    "DiskSpec",
    "DomainSpec",
    "NicChange",
    "NicSpec",
    "attachments",
    "build",
    "guest_visible_differences",
    "left_behind",
    "listens_on_its_host",
    "nic_of",
    "parse",
    "rewrite",
    "strange_nics",
    "unified_diff",
    "uses_networks",
    "with_graphics_moved",
    "with_what_networks_gave",
    "without_secrets",
]
