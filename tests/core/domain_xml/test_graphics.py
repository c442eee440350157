"""The address on which a console listens is the host's, and becomes the next host's."""

import pytest

from kedge.core.domain_xml import listens_on_its_host, with_graphics_moved
from kedge.model.errors import CannotMigrate

HERE, THERE = "192.0.2.11", "2001:db8::12"


def domain(*consoles: str) -> str:
    return f"<domain type='kvm'>\n  <devices>\n{''.join(consoles)}  </devices>\n</domain>\n"


def console(address: str, kind: str = "vnc") -> str:
    return (
        f"    <graphics type='{kind}' port='5900' autoport='yes' listen='{address}'>\n"
        f"      <listen type='address' address='{address}'/>\n    </graphics>\n"
    )


def test_the_hosts_own_address_becomes_the_destinations_in_each_place() -> None:
    two = domain(console(HERE), console(HERE, "spice"))
    assert listens_on_its_host(two)
    assert with_graphics_moved(two, HERE, THERE) == two.replace(HERE, THERE)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.1.1", "0.0.0.0", "::", "::1", "localhost"])
def test_an_address_of_every_host_stays(address: str) -> None:
    assert not listens_on_its_host(domain(console(address)))
    assert with_graphics_moved(domain(console(address)), HERE, THERE) == domain(console(address))


def test_a_network_a_socket_and_none_stay() -> None:
    listens = ("<listen type='network' network='x'/>", "<listen type='socket'/>", "<listen type='none'/>")
    xml = domain(*(f"    <graphics type='vnc'>{each}</graphics>\n" for each in listens))
    assert not listens_on_its_host(xml)
    assert with_graphics_moved(xml, "", "") == xml


@pytest.mark.parametrize(
    ("address", "here", "there"),
    [("203.0.113.9", HERE, THERE), ("console.example", HERE, THERE), (HERE, HERE, ""), (HERE, "", THERE)],
)
def test_what_can_not_be_translated_is_named_once(address: str, here: str, there: str) -> None:
    with pytest.raises(CannotMigrate) as refused:
        with_graphics_moved(domain(console(address)), here, there)
    (reason,) = refused.value.reasons
    assert f"its vnc console listens on {address}" in reason
    assert "`graphics_address`" in reason
