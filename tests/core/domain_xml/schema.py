"""libvirt's own schema of the domain XML (package libvirt0)."""

from functools import cache

from lxml import etree

SCHEMA = "/usr/share/libvirt/schemas/domain.rng"


@cache
def _schema() -> etree.RelaxNG:
    return etree.RelaxNG(file=SCHEMA)


def assert_valid(xml: str) -> None:
    """Fail, with the schema's reasons, if libvirt's schema refuses this domain XML."""
    schema = _schema()
    assert schema.validate(etree.fromstring(xml)), str(schema.error_log)
