"""Which of the host's files a new domain may have, where the host's configuration limits them.

A domain XML names disks, kernels, firmware, shared directories, sockets, scripts that libvirtd runs as root, and QEMU's
own arguments; so whoever may make a server may read and write whatever QEMU can, and more.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from lxml import etree

from kedge.core.domain_xml.parse import parse
from kedge.model.errors import BadRequest

_ALWAYS = tuple(map(Path, ("/usr/share", "/dev/random", "/dev/urandom")))
"""Firmware and its variables' templates; sources of random numbers."""

_EMULATORS = tuple(map(Path, ("/usr/bin", "/usr/libexec", "/usr/lib/qemu")))
_PATHS = ("file", "dir", "path", "template", "socket")
"""Attributes that are paths, also where they do not begin with "/"."""

_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"


def check_files(xml: str, directories: Sequence[Path]) -> None:
    """Raises BadRequest unless every path in a domain XML leads into one of the directories, links followed."""
    root = parse(xml)
    for element in root.iter(etree.Element):
        if str(element.tag).startswith(_QEMU):
            raise BadRequest(
                "This host takes no domain with arguments for QEMU, as they can name any file; leave out"
                f" <qemu:{etree.QName(element).localname}>."
            )
    for where, path in _paths(root):
        allowed = (*directories, *_ALWAYS)
        real = Path(path).resolve()
        if where == "<emulator>":
            allowed = _EMULATORS if real.name.startswith(("qemu-", "kvm")) else ()
        if not path.startswith("/") or not any(real.is_relative_to(each) for each in allowed):
            raise BadRequest(
                f"{where} names {path!r}, and domains of this host may have files in"
                f" {', '.join(map(str, directories))} only (`files` in the agent's configuration)."
            )


def _paths(root: etree._Element) -> Iterator[tuple[str, str]]:
    """Everything that is a path, and where it stands."""
    for element in root.iter(etree.Element):
        tag = etree.QName(element).localname
        # As libvirt reads it: across comments.
        if element.xpath("text()[normalize-space()]"):
            text = str(element.xpath("string()")).strip()
            if text.startswith("/") or tag == "emulator":
                yield f"<{tag}>", text
        for name, value in ((str(name), str(value)) for name, value in element.attrib.items()):
            if value.startswith("/") or (name in _PATHS and value):
                yield f"<{tag} {name}=…>", value
