"""Files and directories of Kedge's processes that nobody else on the machine may read."""

import os
import stat
from collections.abc import Collection
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

import structlog

_OTHERS = stat.S_IRWXG | stat.S_IRWXO

_log = structlog.get_logger(__name__)


def opened(path: Path) -> IO[bytes]:
    """The file, made with mode 0600 if need be, to append to without a buffer. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return open(descriptor, "ab", buffering=0)  # noqa: PTH123 - it is a descriptor


def close_files(paths: Collection[Path]) -> None:
    """Give those of the files that are there, and this user's, the mode 0600: an older Kedge left them open."""
    for path in paths:
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(found.st_mode) and found.st_mode & _OTHERS and found.st_uid == os.geteuid():
            path.chmod(0o600)
            _log.warning("others could open a file, and can't any more", path=str(path))


def private_directory(path: Path, ours: Collection[str]) -> None:
    """Make a directory with mode 0700, or give one that is there that mode, if it is plainly Kedge's own.

    That is, if nothing is in it but names like those of `ours` (patterns of a shell): somebody may have named
    /tmp or a home. Then the log says what to do, and the files are what keeps their contents private.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = path.stat()
    if not found.st_mode & _OTHERS:
        return
    strange = sorted(each.name for each in path.iterdir() if not any(fnmatch(each.name, its) for its in ours))
    if strange or found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX:
        _log.warning(
            "others can look into this directory, which is not Kedge's alone; choose one of its own as state_dir",
            path=str(path),
            holds=strange[:3],
        )
        return
    path.chmod(0o700)
    _log.warning("others could look into this directory, and can't any more", path=str(path))
