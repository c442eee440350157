"""libvirt's own reading of a domain XML, by the driver that it brings for tests (`test:///default`)."""

from functools import cache

import libvirt

from .schema import assert_valid


def defined(xml: str) -> str:
    """What libvirt makes of a domain of type `test`; raises libvirtError if it refuses it.

    Its schema is asked here, where it is read once, and not with VIR_DOMAIN_DEFINE_VALIDATE, which reads it each time.
    """
    assert_valid(xml)
    domain = _connection().defineXML(xml)
    try:
        return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    finally:
        domain.undefine()


@cache
def _connection() -> libvirt.virConnect:
    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt.open("test:///default")
