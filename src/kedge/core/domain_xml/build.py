"""A domain XML for a new server, made so that it can live-migrate between hosts of every backend.

What that takes, beyond the plain VM:

- an alias per NIC, made from the port's id, that stays the same on all hosts;
- no option ROM, whose size depends on the firmware package of the host (QEMU refuses a stream with another);
- disks without the host's page cache, as libvirt asks of a domain that migrates.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from kedge.model.errors import BadRequest
from kedge.model.network import Vif

from .host_side import NotPluggable, host_side
from .match import alias_of
from .parse import serialise

ETHERNET_MTU = 1500  # What a guest assumes when it is told none.

_VIRT_TYPES = ("qemu", "kvm")
_DISK_FORMATS = ("qcow2", "raw")
_OFF: Mapping[str, tuple[str, ...]] = {
    "host": ("csum", "gso", "tso4", "tso6", "ecn", "ufo"),
    "guest": ("csum", "tso4", "tso6", "ecn", "ufo"),
}


@dataclass(frozen=True)
class NicSpec:
    """A NIC of a new server.

    Attributes:
        queues: number of queue pairs.
        offloads: whether the guest may leave checksums and segmentation to the host. Off where frames can
            come to a switch that does neither, as Open vSwitch's userspace datapath.
    """

    vif: Vif
    queues: int = 1
    offloads: bool = True


@dataclass(frozen=True)
class DiskSpec:
    """A disk image, at the same path on every host; `format` is qcow2 or raw."""

    path: str
    format: str = "qcow2"


@dataclass(frozen=True)
class DomainSpec:
    """A new server.

    Attributes:
        virt_type: `kvm`, or `qemu` for emulation (TCG).
        machine: QEMU's machine type; libvirt replaces `q35` by the newest version that the host has, and the
            domain keeps that one wherever it goes.
        cpu_model: a CPU that libvirt knows by name and every host can offer; QEMU's default if None.
        kernel, initrd, cmdline: boot this kernel; without it the first disk is booted.
        serial_log: file on the host that the serial console is written to; a pty if None.
    """

    uuid: str
    name: str
    memory_mib: int
    vcpus: int = 1
    virt_type: str = "kvm"
    machine: str = "q35"
    cpu_model: str | None = None
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str | None = None
    disks: tuple[DiskSpec, ...] = ()
    serial_log: str | None = None
    nics: tuple[NicSpec, ...] = ()


def build(spec: DomainSpec) -> str:
    """The domain XML of a new server, as libvirt 9.0 accepts it. Raises BadRequest for what can't be."""
    _check(spec)
    domain = etree.Element("domain", {"type": spec.virt_type})
    _add(domain, "name", text=spec.name)
    _add(domain, "uuid", text=spec.uuid)
    _add(domain, "memory", text=str(spec.memory_mib), unit="MiB")
    _add(domain, "vcpu", text=str(spec.vcpus))
    _boot(domain, spec)
    features = _add(domain, "features")
    _add(features, "acpi")
    _add(features, "apic")
    if spec.cpu_model:
        cpu = _add(domain, "cpu", mode="custom", match="exact", check="none")
        _add(cpu, "model", text=spec.cpu_model, fallback="forbid")
    _devices(domain, spec)
    etree.indent(domain, space="  ")
    return serialise(domain)


def _check(spec: DomainSpec) -> None:
    if spec.virt_type not in _VIRT_TYPES:
        raise BadRequest(
            f"A domain of type {spec.virt_type!r} can't be made; choose {' or '.join(_VIRT_TYPES)}"
        )
    if not spec.kernel and not spec.disks:
        raise BadRequest(f"Server {spec.name!r} has nothing to boot; give it a kernel or a disk")
    if spec.memory_mib < 1 or spec.vcpus < 1:
        raise BadRequest(f"Server {spec.name!r} needs at least 1 MiB of memory and 1 virtual CPU")
    for disk in spec.disks:
        if disk.format not in _DISK_FORMATS:
            raise BadRequest(
                f"Disk {disk.path} has format {disk.format!r}; choose {' or '.join(_DISK_FORMATS)}"
            )


def _boot(domain: etree._Element, spec: DomainSpec) -> None:
    system = _add(domain, "os")
    _add(system, "type", text="hvm", arch="x86_64", machine=spec.machine)
    if not spec.kernel:
        _add(system, "boot", dev="hd")
        return
    _add(system, "kernel", text=spec.kernel)
    if spec.initrd:
        _add(system, "initrd", text=spec.initrd)
    if spec.cmdline:
        _add(system, "cmdline", text=spec.cmdline)


def _devices(domain: etree._Element, spec: DomainSpec) -> None:
    devices = _add(domain, "devices")
    for number, disk in enumerate(spec.disks):
        _disk(devices, number, disk)
    _add(devices, "controller", type="usb", model="none")
    for nic in spec.nics:
        _interface(devices, nic)
    _serial(devices, spec.serial_log)
    _add(devices, "memballoon", model="none")
    entropy = _add(devices, "rng", model="virtio")
    _add(entropy, "backend", text="/dev/urandom", model="random")


def _disk(devices: etree._Element, number: int, spec: DiskSpec) -> None:
    disk = _add(devices, "disk", type="file", device="disk")
    _add(disk, "driver", name="qemu", type=spec.format, cache="none")
    _add(disk, "source", file=spec.path)
    _add(disk, "target", dev=f"vd{_letters(number)}", bus="virtio")


def _letters(number: int) -> str:
    """a, b … z, aa, ab …: how Linux names disks."""
    rest, last = divmod(number, 26)
    return ("" if rest == 0 else _letters(rest - 1)) + chr(ord("a") + last)


def _interface(devices: etree._Element, nic: NicSpec) -> None:
    try:
        side = host_side(nic.vif)
    except NotPluggable as error:
        raise BadRequest(f"Port {nic.vif.port_id} can't be a NIC: {error}") from None
    interface = _add(devices, "interface", type=side.interface_type)
    _add(interface, "mac", address=nic.vif.mac_address)
    interface.extend(side.elements().values())
    _add(interface, "model", type="virtio")
    _driver(interface, nic)
    if nic.vif.mtu != ETHERNET_MTU:
        _add(interface, "mtu", size=str(nic.vif.mtu))
    _add(interface, "alias", name=alias_of(nic.vif.port_id))
    _add(interface, "rom", enabled="no")


def _driver(interface: etree._Element, nic: NicSpec) -> None:
    if nic.queues == 1 and nic.offloads:
        return
    driver = _add(interface, "driver")
    if nic.queues > 1:
        driver.set("queues", str(nic.queues))
    if nic.offloads:
        return
    for side, offloads in _OFF.items():
        _add(driver, side, **dict.fromkeys(offloads, "off"))


def _serial(devices: etree._Element, log: str | None) -> None:
    serial = _add(devices, "serial", type="file" if log else "pty")
    if log:
        _add(serial, "source", path=log, append="on")
    _add(serial, "target", port="0")


def _add(parent: etree._Element, tag: str, *, text: str | None = None, **attributes: str) -> etree._Element:
    element = etree.SubElement(parent, tag, attributes)
    element.text = text
    return element
