"""Whether QEMUs of this host can take a VM whose memory follows it (post-copy): it needs the kernel's userfaultfd."""

import os
import re
from pathlib import Path

from lxml import etree

from kedge.agent.host.files import text_of

_FOR_ALL = Path("/proc/sys/vm/unprivileged_userfaultfd")  # proc_sys_vm(5), since Linux 5.2
_DEVICE = Path("/dev/userfaultfd")
_HAS_SETTING = (5, 2)
_USES_DEVICE = 8_000_000  # QEMU 8.0 opens the device where there is one; whether libvirt lets it is not known


def postcopy_problem(capabilities: etree._Element, qemu_version: int) -> str:
    """Why not; "" if nothing is known to be in the way. `capabilities` are libvirt's of the host, its `<host>`."""
    allowed = text_of(_FOR_ALL)
    if not allowed:
        return "its kernel has no userfaultfd (CONFIG_USERFAULTFD)" if _kernel() >= _HAS_SETTING else ""
    user = _qemu_user(capabilities)
    if allowed != "0" or user in {None, 0} or (qemu_version >= _USES_DEVICE and _DEVICE.exists()):
        return ""
    return f"its kernel lets user {user}, as whom QEMU runs, handle no page faults (vm.unprivileged_userfaultfd is 0)"


def _qemu_user(capabilities: etree._Element) -> int | None:
    """By libvirt's capabilities, where a label says `+64055:+64055`."""
    for model in capabilities.iterfind("secmodel"):
        if model.findtext("model") == "dac":
            found = re.match(r"\+(\d+):", model.findtext("baselabel") or "")
            return int(found[1]) if found else None
    return None


def _kernel() -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return tuple(map(int, found.groups())) if found else (0, 0)
