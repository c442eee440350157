"""A new domain has files only from where the host's configuration says, however its XML names them."""

from pathlib import Path

import pytest

from kedge.agent.domains.allowed_files import check_files
from kedge.model.errors import BadRequest

DOMAIN = "<domain type='kvm'><name>x</name>{}</domain>"
DEVICE = DOMAIN.format("<devices>{}</devices>")

ESCAPES = {
    "disk": DEVICE.format("<disk type='file'><source file='/etc/shadow'/></disk>"),
    "relative": DEVICE.format("<disk type='file'><source file='../etc/shadow'/></disk>"),
    "dots": DEVICE.format("<disk type='file'><source file='{ok}/../../../../../etc/shadow'/></disk>"),
    "block": DEVICE.format("<disk type='block'><source dev='/dev/sda'/></disk>"),
    "link": DEVICE.format("<disk type='file'><source file='{ok}/link'/></disk>"),
    "prefix": DEVICE.format("<disk type='file'><source file='{ok}-others/x'/></disk>"),
    "backing": DEVICE.format(
        "<disk><source file='{ok}/a'/><backingStore><source file='/x'/></backingStore></disk>"
    ),
    "kernel": DOMAIN.format("<os><kernel>/etc/shadow</kernel></os>"),
    "initrd": DOMAIN.format("<os><initrd>\n /root/key \n</initrd></os>"),
    "loader": DOMAIN.format("<os><loader>/root/firmware</loader></os>"),
    "nvram": DOMAIN.format("<os><nvram template='/root/t'>{ok}/vars</nvram></os>"),
    "file system": DEVICE.format("<filesystem><source dir='/'/></filesystem>"),
    "serial": DEVICE.format("<serial type='file'><source path='/etc/cron.d/x'/></serial>"),
    "log": DEVICE.format("<serial type='pty'><log file='/etc/cron.d/x'/></serial>"),
    "script": DEVICE.format("<interface type='ethernet'><script path='/tmp/run-as-root'/></interface>"),
    "relative script": DEVICE.format("<interface type='ethernet'><script path='run-as-root'/></interface>"),
    "emulator": DEVICE.format("<emulator>/bin/sh</emulator>"),
    "sysinfo": DOMAIN.format("<sysinfo type='fwcfg'><entry name='opt/a' file='/etc/shadow'/></sysinfo>"),
    "arguments": DOMAIN.format("<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/>"),
    "override": DOMAIN.format("<q:override xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/>"),
    "entity": "<!DOCTYPE d [<!ENTITY e '/etc/shadow'>]>" + DOMAIN.format("<os><kernel>&e;</kernel></os>"),
    "comment": DOMAIN.format("<os><kernel>/etc<!-- -->/shadow</kernel></os>"),
}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    (images / "link").symlink_to("/etc/shadow")
    return images


@pytest.mark.parametrize("xml", ESCAPES.values(), ids=ESCAPES)
def test_what_leads_elsewhere_is_refused(images: Path, xml: str) -> None:
    with pytest.raises(BadRequest):
        check_files(xml.replace("{ok}", str(images)), [images])


def test_it_is_said_what_is_refused_and_what_is_allowed(images: Path) -> None:
    with pytest.raises(BadRequest, match=rf"<source file=…> names '/etc/shadow'.*{images} only \(`files` in"):
        check_files(ESCAPES["disk"], [images])


def test_what_a_domain_needs_is_taken(images: Path) -> None:
    xml = DOMAIN.format(
        "<os><kernel>{ok}/vmlinuz</kernel><loader>/usr/share/OVMF/OVMF_CODE.fd</loader>"
        "<nvram template='/usr/share/OVMF/OVMF_VARS.fd'>{ok}/x.fd</nvram></os>"
        "<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><disk><source file='{ok}/a.qcow2'/>"
        "<target dev='vda'/></disk><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices>"
    )
    check_files(xml.replace("{ok}", str(images)), [images])
