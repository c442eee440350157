"""Devices and settings that QEMU can't migrate, wherever the VM is to go (its migration blockers)."""

from kedge.model.obstacle import Obstacle

from .question import Question

CODES = {"device-unmigratable": "QEMU can't migrate a device or a setting of the VM"}

_ANEW = "start the VM anew without it"

# Where it is in the domain, what it is, and what can be done.
_BLOCKERS = (
    ("devices/sound[@model='usb']", "USB sound card", _ANEW),
    ("devices/smartcard[@mode='host']", "smartcard reader of the host", _ANEW),
    ("devices/video/model/acceleration[@accel3d='yes']", "3D acceleration", _ANEW),
    ("launchSecurity", "encrypted memory (<launchSecurity>)", _ANEW),
)


def obstacles(question: Question) -> list[Obstacle]:
    """One for each kind of them that the domain has."""
    return [
        Obstacle("device-unmigratable", what, "QEMU can't migrate a VM that has it", remedy)
        for path, what, remedy in _BLOCKERS
        if question.domain.find(path) is not None
    ]
