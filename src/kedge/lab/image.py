"""The lab's guest, as a domain is told to boot it: kernel, initramfs, kernel command line."""

from collections.abc import Iterable
from pathlib import Path

from .layout import CACHE

KERNEL = CACHE / "vmlinuz"
INITRD = CACHE / "initrd"
MEMORY_MIB = 128
ECHO_PORT = 7
BUILD = Path(__file__).parent / "guest" / "build.sh"


def command_line(nics: Iterable[tuple[str, str]]) -> str:
    """The kernel command line that gives each NIC, named by its MAC, its `ADDRESS/PREFIX`."""
    return " ".join(["console=ttyS0 quiet", *(f"kedge.nic={mac.lower()},{address}" for mac, address in nics)])


def domain_xml(name: str, uuid: str, nics: Iterable[tuple[str, str]], interfaces: Iterable[str]) -> str:
    """A domain that boots the guest under TCG, with these `<interface>` elements as they are."""
    return f"""\
<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{MEMORY_MIB}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <kernel>{KERNEL}</kernel>
    <initrd>{INITRD}</initrd>
    <cmdline>{command_line(nics)}</cmdline>
  </os>
  <features><acpi/></features>
  <clock offset='utc'/>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    {"".join(interfaces)}
    <serial type='pty'/>
    <console type='pty'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""
