"""Run a command that ends with the process that started it, and that, with `--read-only`, can write no file.

A program of its own (`python3 confined.py [--read-only] PARENT -- COMMAND …`), not a `preexec_fn`: a process with
threads must not run Python code between fork and exec. PARENT is the process id of who starts it.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_CLONE_NEWNS = 0x00020000  # linux/sched.h
_MS_PRIVATE = 1 << 18  # linux/mount.h, as all below
_MOUNT_ATTR_RDONLY = 1
_AT_RECURSIVE = 0x8000
_AT_FDCWD = -100
_SYS_MOUNT_SETATTR = 442  # the same number on every architecture; since Linux 5.12

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttr(ctypes.Structure):
    """`struct mount_attr` of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def main(arguments: list[str]) -> None:
    """Never returns: becomes the command, exits with a message, or raises OSError."""
    own, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    _end_with(int(own[-1]))
    if "--read-only" in own:
        _see_everything_read_only()
    try:
        os.execvp(command[0], command)  # noqa: S606 - the command is an argument list, no shell is wanted
    except FileNotFoundError:
        sys.exit(f"{command[0]} is not installed")


def _end_with(parent: int) -> None:
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))
    if os.getppid() != parent:  # it ended before the line above
        sys.exit("the process that started this one is gone")


def _see_everything_read_only() -> None:
    """In a mount namespace of its own, so that nobody else sees a difference."""
    _check(_libc.unshare(_CLONE_NEWNS))
    attributes = _MountAttr(attr_set=_MOUNT_ATTR_RDONLY, propagation=_MS_PRIVATE)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    _check(_libc.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, ctypes.byref(attributes), size))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main(sys.argv[1:])
