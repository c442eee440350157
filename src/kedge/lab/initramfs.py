"""The archive that a kernel starts from: cpio in its `newc` form, as the kernel's own documentation has it.

See Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's source.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from stat import S_IFDIR, S_IFLNK, S_IFREG


def archive(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """An uncompressed archive of `files` (path to content), all executable, and `links` (path to target).

    Directories above them are made. Two archives one after the other are a valid archive too, so what
    changes from boot to boot can be appended.
    """
    links = links or {}
    entries = {str(parent): (S_IFDIR | 0o755, b"") for path in [*files, *links] for parent in _above(path)}
    entries |= {_relative(path): (S_IFREG | 0o755, content) for path, content in files.items()}
    entries |= {_relative(path): (S_IFLNK | 0o777, target.encode()) for path, target in links.items()}
    packed = [_entry(number, path, *entries[path]) for number, path in enumerate(entries, start=1)]
    return b"".join([*packed, _entry(0, "TRAILER!!!", 0, b"")])


def _relative(path: str) -> str:
    return path.lstrip("/")


def _above(path: str) -> list[PurePosixPath]:
    """The directories above a path, outermost first."""
    return list(reversed(PurePosixPath(_relative(path)).parents))[1:]


def _entry(number: int, path: str, mode: int, content: bytes) -> bytes:
    name = path.encode() + b"\0"
    # number, mode, uid, gid, links, mtime, size, devices (4 numbers), length of the name, checksum
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
