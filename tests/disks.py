"""File systems that are soon full, for tests that run as root."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(directory: Path, size: str) -> Iterator[Path]:
    """A file system of this size (`64k`) on a new directory, as long as the block runs."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


def fill(disk: Path) -> Path:
    """Leave no room; the file that takes it."""
    file = disk / "filler"
    with pytest.raises(OSError, match="No space"), file.open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    return file
