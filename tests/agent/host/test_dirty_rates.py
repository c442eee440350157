"""Having QEMU measure how fast guests write, over a libvirt that only counts."""

from dataclasses import dataclass, field
from typing import Any, cast

import libvirt
import pytest

from kedge.agent.domains.hypervisor import Hypervisor
from kedge.agent.host import dirty_rates as measuring
from kedge.agent.host.dirty_rates import dirty_rates
from kedge.model.host_facts import FactsRequest

from ..agent_stand_ins import Running
from ..test_app import xml_of

UNSTARTED, MEASURING, MEASURED = (
    libvirt.VIR_DOMAIN_DIRTYRATE_UNSTARTED,
    libvirt.VIR_DOMAIN_DIRTYRATE_MEASURING,
    libvirt.VIR_DOMAIN_DIRTYRATE_MEASURED,
)


@dataclass
class Domain:
    uuid: str
    looks: list[int]
    refuses: bool = False
    asked: list[int] = field(default_factory=list)

    def UUIDString(self) -> str:  # noqa: N802 - libvirt's name
        return self.uuid

    def startDirtyRateCalc(self, seconds: int) -> None:  # noqa: N802
        if self.refuses:
            raise libvirt.libvirtError("the domain is not running")
        self.asked.append(seconds)

    def stats(self) -> dict[str, Any]:
        status = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        rate = {"dirtyrate.megabytes_per_second": 12} if status == MEASURED else {}
        return {"dirtyrate.calc_status": status, **rate}


@dataclass
class Libvirt:
    domains: list[Domain]

    def domain(self, uuid: str) -> Domain | None:
        return next((each for each in self.domains if each.uuid == uuid), None)

    def domainListGetStats(self, domains: list[Domain], stats: int) -> list[tuple[Domain, dict[str, Any]]]:  # noqa: N802
        assert stats == libvirt.VIR_DOMAIN_STATS_DIRTYRATE
        return [(each, each.stats()) for each in domains]


def measured(*domains: Domain) -> dict[str, float]:
    one = Libvirt(list(domains))
    return dirty_rates(one, cast(Hypervisor, one), [*(each.uuid for each in domains), "gone"], 3)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_POLL_S", 0.0)


def test_all_are_measured_at_once_until_each_has_ended() -> None:
    first = Domain("a", [MEASURING, MEASURED])
    last = Domain("b", [MEASURING, MEASURING, MEASURING, MEASURED])
    assert measured(first, last) == {"a": 12, "b": 12}
    assert first.asked == last.asked == [3]


def test_what_can_not_be_measured_is_left_out() -> None:
    off, others = (
        Domain("off", [MEASURED], refuses=True),
        Domain("others", [MEASURING, MEASURED], refuses=True),
    )
    assert measured(off, others) == {"others": 12}


def test_what_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_SLACK_S", -3.0)
    assert measured(Domain("a", [UNSTARTED])) == {}


def test_a_libvirt_that_can_not_measure_says_nothing(running_agent: Running) -> None:
    uuid = "5f0c4d53-0b0e-4c61-9df1-5a1f3a0c0d17"
    running_agent.client.create_domain(uuid, xml_of(uuid))
    assert running_agent.client.facts(FactsRequest(measure=(uuid,), measure_s=1)).dirty_mib == {}
    running_agent.client.delete_domain(uuid)
