"""Where a domain's consoles (VNC, SPICE) listen: an address of its host, which the next host does not have.

An address for any host, a wildcard or loopback one, stays. The host's own is replaced by the destination's, as Nova
does (`nova.virt.libvirt.migration._update_graphics_xml`). Another is somebody's choice that only he can translate.
`<listen type='network'>`, `socket` and `none` name no address.
"""

import ipaddress
from collections.abc import Iterator

from lxml import etree

from kedge.model.errors import CannotMigrate

from .parse import parse, serialise


def listens_on_its_host(xml: str) -> bool:
    """Whether a console listens on an address that only some hosts have. Raises BadRequest for a bad XML."""
    return any(_is_of_a_host(place.get(name, "")) for _, place, name in _places(parse(xml)))


def with_graphics_moved(xml: str, source: str, destination: str) -> str:
    """The domain XML whose consoles listen on `destination`, the address of the host that it goes to.

    `source` is that of the host it is on; either is empty where the host has none. Raises CannotMigrate with a reason
    for each console that listens on an address which can't be translated.
    """
    root = parse(xml)
    reasons = []
    for kind, place, name in _places(root):
        address = place.get(name, "")
        if not _is_of_a_host(address):
            continue
        if address == source and destination:
            place.set(name, destination)
            continue
        reasons.append(
            f"its {kind} console listens on {address}, which the"
            " destination does not have; let it listen on 127.0.0.1 or 0.0.0.0, or set `graphics_address` of both"
            f" hosts' agents (now {source or 'not set'} on the source, {destination or 'not set'} there)"
        )
    if reasons:
        raise CannotMigrate(
            "The domain's consoles can't listen on the target host", list(dict.fromkeys(reasons))
        )
    return serialise(root)


def _places(root: etree._Element) -> Iterator[tuple[str, etree._Element, str]]:
    """Each console's type with the element and attribute of an address; the first one's stands in `<graphics>` too."""
    for graphics in root.findall("devices/graphics"):
        kind = graphics.get("type", "")
        if graphics.get("listen"):
            yield kind, graphics, "listen"
        for listen in graphics.findall("listen"):
            if listen.get("type") == "address" and listen.get("address"):
                yield kind, listen, "address"


def _is_of_a_host(address: str) -> bool:
    if not address or address == "localhost":
        return False
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return True  # a host's name
    return not (parsed.is_unspecified or parsed.is_loopback)
