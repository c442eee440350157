"""Devices of the host: which kind, by which name people know it, and which of them can be unplugged."""

import pytest

from .asking import found

PCI = "<address domain='0x0000' bus='0x3b' slot='0x00' function='0x1'/>"
USB = "<vendor id='0x046d'/><product id='0xc52b'/>"


@pytest.mark.parametrize(
    ("mode", "source", "more", "code", "thing"),
    [
        ("mode='subsystem' type='pci'", PCI, "", "device-passed-through", "pci device 0000:3b:00.1"),
        ("mode='subsystem' type='mdev'", "<address uuid='u'/>", "", "device-passed-through", "mdev device"),
        ("mode='subsystem' type='scsi'", "", "", "device-passed-through", "scsi device"),
        (
            "mode='capabilities' type='misc'",
            "<char>/dev/x</char>",
            "",
            "device-passed-through",
            "misc device",
        ),
        ("mode='subsystem' type='usb'", USB, "", "usb-device", "usb device 046d:c52b"),
        ("mode='subsystem' type='usb'", "<address bus='1' device='2'/>", "", "usb-device", "usb device"),
        (
            "mode='subsystem' type='pci'",
            PCI,
            "<teaming type='transient' persistent='ua-b'/>",
            "teamed-device",
            "pci device 0000:3b:00.1",
        ),
        (
            "mode='subsystem' type='pci'",
            PCI,
            "<teaming type='persistent'/>",
            "device-passed-through",
            "pci device 0000:3b:00.1",
        ),
    ],
)
def test_a_device_of_the_host(mode: str, source: str, more: str, code: str, thing: str) -> None:
    (obstacle,) = found(f"<hostdev {mode}><source>{source}</source>{more}</hostdev>")
    assert (obstacle.code, obstacle.thing) == (code, thing)
    unplugs = "virsh detach-device" in obstacle.remedy
    assert unplugs == (code != "device-passed-through")
    assert ("standby NIC is ua-b" in obstacle.problem) == (code == "teamed-device")
