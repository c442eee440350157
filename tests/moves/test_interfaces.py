"""libvirt's driver for QEMU, which checks more than the one for tests, takes what the table lets through."""

from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

import pytest

from kedge.core.domain_xml import NicChange, rewrite
from kedge.core.domain_xml.interface_rules import Target
from kedge.lab import image
from kedge.lab.cloud import Cloud
from kedge.model.errors import CannotMigrate
from tests.core.domain_xml.corpus import MOVES, MOVES_SOMEWHERE
from tests.core.domain_xml.interface_samples import MAC, nic
from tests.core.domain_xml.test_interface_table import VIFS

pytestmark = pytest.mark.lab


def domain(interface: str) -> str:
    return image.domain_xml("table", str(uuid4()), [], [interface.format(mac=MAC)])


def define(cloud: Cloud, folder: Path, xmls: Iterable[str]) -> int:
    """Let libvirt check these domains, one after the other, and forget them again; how many they were."""
    commands = []
    for number, xml in enumerate(xmls):
        file = folder / f"{number}.xml"
        file.write_text(xml)
        commands += [f"define --validate {file}", "undefine table"]
    cloud.lab.hosts["h1"].virsh(";".join(commands))
    return len(commands) // 2


def moved(xml: str) -> Iterable[str]:
    for target in Target:
        try:
            yield rewrite(xml, [NicChange(None, VIFS[target])])
        except CannotMigrate:
            assert target is not Target.LINUX_BRIDGE


def test_libvirt_takes_each_interface_before_and_after_its_move(cloud: Cloud, tmp_path: Path) -> None:
    before = [domain(interface) for interface in (MOVES | MOVES_SOMEWHERE).values()]
    assert define(cloud, tmp_path, before) == len(before)
    after = [xml for each in before for xml in moved(each)]
    assert define(cloud, tmp_path, after) > 3 * len(before)


@pytest.mark.parametrize(
    ("interface", "reason"),
    [
        (
            nic("ethernet", "<coalesce><rx><frames max='7'/></rx></coalesce>"),
            "coalesce settings on interface type ethernet are not supported",
        ),
        (
            nic("direct", "<source dev='eth1'/><coalesce><rx><frames max='7'/></rx></coalesce>"),
            "coalesce settings on interface type direct are not supported",
        ),
        (
            nic("direct", "<source dev='eth1'/><mtu size='1450'/>"),
            "setting MTU on interface type direct is not supported",
        ),
        (nic("bridge", "<source bridge='br0'/><ip address='192.0.2.1'/>"), "not supported by QEMU"),
    ],
)
def test_libvirt_would_not_take_what_is_left_out_or_refused(
    cloud: Cloud, tmp_path: Path, interface: str, reason: str
) -> None:
    file = tmp_path / "refused.xml"
    file.write_text(domain(interface))
    answer = cloud.lab.hosts["h1"].virsh("define", str(file), check=False)
    assert answer.returncode != 0
    assert reason in answer.stderr
