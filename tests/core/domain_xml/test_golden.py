"""Golden pairs: a running server on each backend, as libvirt 9.0 prints it, and its XML for every other backend.

The servers' XMLs were dumped from libvirt, with a bandwidth limit and an argument to QEMU added. Those on macvtap are
of adopted servers, whose macvtap libvirt made. What is expected is the same wherever the server goes; it was made by
substituting text, not by the code under test, and libvirt has restored a saved guest with it. On macvtap, the limits
then change places.
"""

from pathlib import Path

import pytest

from kedge.core.domain_xml import attachments, guest_visible_differences, rewrite, unified_diff

from .fleet import BACKENDS, PAIRS, changes
from .schema import assert_valid

GOLDEN = Path(__file__).parent / "golden"
LIMITS = """\
        <inbound average='12500' peak='25000' burst='2048'/>
        <outbound average='12500'/>
"""
LIMITS_ON_MACVTAP = """\
        <inbound average='12500'/>
        <outbound average='12500' peak='25000' burst='2048'/>
"""


def read(name: str) -> str:
    return (GOLDEN / f"{name}.xml").read_text()


def expected_of(source: str, target: str) -> str:
    elsewhere = read(f"{source}--elsewhere")
    assert elsewhere.count(LIMITS) == 1
    # No source is a macvtap that Kedge made, so none has its limits the other way round.
    return elsewhere.replace(LIMITS, LIMITS_ON_MACVTAP) if target.startswith("macvtap") else elsewhere


def test_the_golden_files_cover_all_ordered_pairs_of_five_backends() -> None:
    expected = {name for source in BACKENDS for name in (source, f"{source}--elsewhere")}
    assert {file.stem for file in GOLDEN.glob("*.xml")} == expected
    assert len(PAIRS) == 20


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_rewriting_gives_the_golden_file(source: str, target: str) -> None:
    assert rewrite(read(source), changes(source, target)) == expected_of(source, target)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_the_guest_sees_no_difference(source: str, target: str) -> None:
    assert guest_visible_differences(read(source), rewrite(read(source), changes(source, target))) == []


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_twice_is_once(source: str, target: str) -> None:
    once = expected_of(source, target)
    assert rewrite(once, changes(target, target)) == once


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_there_and_back_is_where_it_came_from(source: str, target: str) -> None:
    home = rewrite(read(source), changes(source, source))
    there = rewrite(read(source), changes(source, target))
    assert rewrite(there, changes(target, source)) == home
    assert home == expected_of(source, source)


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.xml")), ids=lambda file: file.stem)
def test_libvirts_schema_accepts_it(file: Path) -> None:
    assert_valid(file.read_text())


@pytest.mark.parametrize("source", ["macvtap-eth1", "macvtap-ens5"])
@pytest.mark.parametrize("target", BACKENDS)
def test_no_name_that_libvirt_made_up_is_left(source: str, target: str) -> None:
    assert "macvtap" in read(source)
    assert "macvtap" not in rewrite(read(source), changes(source, target))


def test_the_diff_names_both_sides_and_shows_only_the_host_side() -> None:
    before = read("macvtap-eth1")
    diff = unified_diff(before, rewrite(before, changes("macvtap-eth1", "linuxbridge")), "h1", "h5")
    lines = diff.splitlines()
    assert lines[:2] == ["--- h1", "+++ h5"]
    changed = [line for line in lines[2:] if line.startswith(("-", "+"))]
    assert len(changed) == 10
    assert all("interface type" in line or "source dev" in line or "target dev" in line for line in changed)


def test_the_diff_of_the_same_is_empty_however_it_is_indented() -> None:
    before = read("ovs-native")
    assert unified_diff(before, before.replace("\n    ", "\n"), "a", "b") == ""


def test_attachments_of_a_running_server() -> None:
    flat, vlan = attachments(read("macvtap-ens5"))
    assert (flat.kind, flat.mac, flat.model) == ("direct", "fa:16:3e:11:22:33", "virtio")
    assert (flat.source_dev, flat.mode, flat.target_dev, flat.queues) == ("ens5", "bridge", "macvtap3", 2)
    assert flat.alias == "ua-3f1c2a7e-5b7d-4c7e-9a51-0c0f5e6d1a01"
    assert (vlan.source_dev, vlan.target_dev, vlan.queues, vlan.mtu) == ("ens5.101", "macvtap12", 1, None)
