"""Interfaces of the real world: what moves is what libvirt takes, and nothing of it vanishes without a word."""

import random
from itertools import chain

import pytest
from lxml import etree

from kedge.core.domain_xml import NicChange, guest_visible_differences, left_behind, rewrite
from kedge.core.domain_xml.interface_rules import Fate, Target
from kedge.core.domain_xml.interface_table import rule_of
from kedge.model.errors import CannotMigrate

from .corpus import MOVES, MOVES_SOMEWHERE, NEVER
from .interface_samples import MAC
from .interface_schema import said
from .libvirt_test_driver import defined
from .limits import guest_limits
from .test_interface_table import VIFS, domain, interface_of

WHERE = {"oVirt": {Target.LINUX_BRIDGE}, "OpenNebula": {Target.LINUX_BRIDGE}}


def moved(interface: str, target: Target) -> list[str]:
    """Check that the interface moves whole; what is said to be left behind."""
    before = defined(domain(interface.format(mac=MAC)))
    change = [NicChange(None, VIFS[target])]
    after, lost = rewrite(before, change), left_behind(before, change)
    taken = defined(after)
    there = set(said(interface_of(after)))
    assert there <= set(said(interface_of(taken))), "libvirt itself leaves something out"
    assert guest_visible_differences(before, taken) == []
    assert guest_limits(interface_of(taken), VIFS[target]) == guest_limits(interface_of(before), None)
    dropped, gone = [], []
    for path, value in said(interface_of(before)):
        rule = rule_of(path, value)
        assert rule is not None
        if rule.fate_on(target) is Fate.DROPPED:
            dropped.append(path)
            assert any(rule.what.partition("{")[0] in sentence for sentence in lost)
        elif rule.fate_on(target) is Fate.KEPT and (path, value) not in there:
            gone.append(path)
    assert all(any(piece.startswith(f"{path}/") for piece in dropped) for path in gone), (
        "an element goes with its all"
    )
    return lost


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("name", MOVES)
def test_what_people_have_moves_everywhere(name: str, target: Target) -> None:
    moved(MOVES[name], target)


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("name", MOVES_SOMEWHERE)
def test_what_only_some_targets_carry_moves_there_alone(name: str, target: Target) -> None:
    if target in WHERE[name]:
        assert moved(MOVES_SOMEWHERE[name], target) == []
    else:
        refused(MOVES_SOMEWHERE[name], target)


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("name", NEVER)
def test_what_no_port_carries_is_refused(name: str, target: Target) -> None:
    refused(NEVER[name], target)


def refused(interface: str, target: Target) -> None:
    with pytest.raises(CannotMigrate) as refusal:
        rewrite(domain(interface.format(mac=MAC)), [NicChange(None, VIFS[target])])
    assert any(MAC in reason for reason in refusal.value.reasons)


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("seed", range(25))
def test_what_they_have_in_any_combination_moves_whole(seed: int, target: Target) -> None:
    """The host side of one, and a random choice of the elements that others have, for a model that takes them all."""
    chance = random.Random(seed)
    samples = [etree.fromstring(each.format(mac=MAC)) for each in MOVES.values()]
    interface = chance.choice(samples)
    elements = {str(child.tag): child for child in chain.from_iterable(chance.sample(samples, len(samples)))}
    for tag, element in elements.items():
        if tag in ("mac", "source", "vlan", "virtualport", "target", "bandwidth", "alias"):
            continue
        own = interface.find(tag)
        if own is not None:
            interface.remove(own)
        if tag == "model":
            etree.SubElement(interface, "model", type="virtio")
        elif chance.random() < 0.6:
            interface.append(element)
    moved(etree.tostring(interface, encoding="unicode"), target)
