"""The table about `<interface>` is complete, true of what `rewrite` does, and libvirt takes what comes out."""

from collections.abc import Iterable, Iterator

import libvirt
import pytest
from lxml import etree

from kedge.core.adopt import recognise_all
from kedge.core.domain_xml import NicChange, left_behind, rewrite, strange_nics
from kedge.core.domain_xml.host_side import HOST_SIDE_TAGS, host_side, target_of
from kedge.core.domain_xml.interface_rules import Fate, Rule, Target
from kedge.core.domain_xml.interface_table import TABLE, rule_of
from kedge.model.errors import CannotMigrate
from kedge.model.host_network import HostNetwork
from kedge.model.network import Vif

from . import interface_page
from .fleet import BACKENDS, openvswitch
from .interface_samples import MAC, SAMPLES, nic
from .interface_schema import paths_of_the_schema, said
from .libvirt_test_driver import defined
from .limits import guest_limits
from .schema import assert_valid

VIFS: dict[Target, Vif] = {
    Target.LINUX_BRIDGE: BACKENDS["linuxbridge"][0],
    Target.OPENVSWITCH: BACKENDS["ovs-native"][0],
    Target.OPENVSWITCH_BY_LIBVIRT: openvswitch(hybrid=False, create_tap=False)[0],
    Target.MACVTAP: BACKENDS["macvtap-eth1"][0],
}

#: Samples of types that can't move, but for those of which nothing else is refused.
OF_OTHER_TYPES = [
    sample
    for sample in SAMPLES
    if sample.startswith(
        tuple(
            f"<interface type='{kind}'"
            for kind in ("user", "vhostuser", "internal", "client", "udp", "vds", "hostdev")
        )
    )
]


def domain(interface: str) -> str:
    return (
        f"<domain type='test'><name>x</name><memory>65536</memory><os><type>hvm</type></os><devices>{interface}"
        "</devices></domain>"
    )


def interface_of(xml: str) -> etree._Element:
    found = etree.fromstring(xml).find("devices/interface")
    assert found is not None
    return found


def rules_of(sample: str) -> Iterator[tuple[str, str, Rule]]:
    for path, value in said(etree.fromstring(sample)):
        rule = rule_of(path, value)
        assert rule is not None, path
        yield path, value, rule


def test_the_targets_are_what_ports_become() -> None:
    assert {target: target_of(vif) for target, vif in VIFS.items()} == {target: target for target in Target}
    assert target_of(BACKENDS["ovs-hybrid"][0]) is Target.LINUX_BRIDGE


def test_the_table_names_each_element_and_attribute_that_libvirts_schema_knows() -> None:
    schema = paths_of_the_schema()
    assert len(schema) > 150
    named = {path for rule in TABLE for path in rule.paths()}
    assert schema - named == set()
    assert {path for path in named - schema if "[2]" not in path} == set()


def test_each_line_of_the_table_has_a_sample() -> None:
    seen = {(rule.names, path) for sample in SAMPLES for path, _, rule in rules_of(sample)}
    assert {(rule.names, path) for rule in TABLE for path in rule.paths()} - seen == set()
    values = {(path, value) for sample in SAMPLES for path, value, _ in rules_of(sample)}
    assert {
        (path, value) for rule in TABLE for path in rule.paths() for value in rule.values
    } - values == set()


def test_the_page_is_made_from_the_table() -> None:
    assert interface_page.PAGE.read_text() == interface_page.page(), interface_page.__doc__


@pytest.mark.parametrize("sample", SAMPLES)
def test_libvirts_schema_allows_the_sample(sample: str) -> None:
    assert_valid(domain(sample))


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("sample", SAMPLES)
def test_rewriting_does_what_the_table_says(sample: str, target: Target) -> None:
    change = [NicChange(None, VIFS[target])]
    cells = list(rules_of(sample))
    refused = [rule for _, _, rule in cells if rule.fate_on(target) is Fate.REFUSED]
    if refused:
        reasons = _refusal(sample, change)
        of_type = [rule for rule in refused if rule.names == "@type"]
        assert _unnamed(of_type or refused, reasons) == []
        return
    after = rewrite(domain(sample), change)
    lost = left_behind(domain(sample), change)
    left = set(said(interface_of(after)))
    for path, value, rule in cells:
        fate = rule.fate_on(target)
        if fate is Fate.KEPT:
            assert (path, value) in left
        elif fate is Fate.DROPPED:
            assert path not in {path for path, _ in left}
            assert any(_names(sentence, rule) for sentence in lost), lost
    assert bool(lost) is any(rule.fate_on(target) is Fate.DROPPED for _, _, rule in cells)
    assert _host_side(interface_of(after)) == {
        tag: etree.tostring(element) for tag, element in host_side(VIFS[target]).elements().items()
    }
    assert guest_limits(interface_of(after), VIFS[target]) == guest_limits(etree.fromstring(sample), None)
    defined(after)


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_nic_is_adopted_if_the_table_says_so(sample: str) -> None:
    ((_, answer),) = recognise_all(domain(sample), [], HostNetwork())
    foreign = [rule for _, _, rule in rules_of(sample) if not rule.adopted]
    assert isinstance(answer, str)
    of_type = [rule for rule in foreign if rule.names == "@type"]
    assert _unnamed(of_type or foreign, [answer]) == []
    if not foreign:
        assert strange_nics(domain(sample)) == [[]]


@pytest.mark.parametrize("sample", OF_OTHER_TYPES)
def test_what_belongs_to_a_type_that_is_refused_is_refused_by_itself(sample: str) -> None:
    interface = etree.fromstring(sample)
    interface.set("type", "bridge")
    text = etree.tostring(interface, encoding="unicode")
    refused = [rule for _, _, rule in rules_of(text) if rule.fate is Fate.REFUSED]
    assert refused
    assert _unnamed(refused, _refusal(text, [NicChange(None, VIFS[Target.LINUX_BRIDGE])])) == []


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize(
    "inner",
    ["<novelty/>", "<x:source xmlns:x='http://x'/>", "<link state='up' color='red'/>", "<source mtu='1'/>"],
)
def test_what_the_table_does_not_know_is_refused(inner: str, target: Target) -> None:
    reasons = _refusal(nic("ethernet", inner), [NicChange(None, VIFS[target])])
    assert len(reasons) == 1 and MAC in reasons[0]
    assert "Kedge does not know it" in reasons[0] and "update Kedge" in reasons[0]


def test_libvirt_refuses_what_the_table_says_it_refuses() -> None:
    """So that a test with its driver means something."""
    tap = nic("ethernet", "<bandwidth classID='3'><inbound average='7'/></bandwidth>")
    for refused in (tap, nic("direct", "<source dev='e'/><port isolated='yes'/>")):
        with pytest.raises(libvirt.libvirtError):
            defined(domain(refused))


def _refusal(interface: str, change: list[NicChange]) -> tuple[str, ...]:
    with pytest.raises(CannotMigrate) as refused:
        rewrite(domain(interface), change)
    return refused.value.reasons


def _unnamed(rules: list[Rule], sentences: Iterable[str]) -> list[str]:
    return [rule.what for rule in rules if not any(_names(sentence, rule) for sentence in sentences)]


def _names(sentence: str, rule: Rule) -> bool:
    return bool(rule.what) and rule.what.partition("{")[0] in sentence


def _host_side(interface: etree._Element) -> dict[str, bytes]:
    return {
        str(child.tag): etree.tostring(child, with_tail=False)
        for child in interface
        if child.tag in HOST_SIDE_TAGS
    }
