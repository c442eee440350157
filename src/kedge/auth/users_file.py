"""Changing the users file: one line is put in or taken out, and all others stay as they are."""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile

from kedge.model.errors import BadRequest

from .passwords import hashed
from .users import parse


def put(file: Path, name: str, password: str, roles: str, project: str = "") -> None:
    """Add a user, or replace the one of this name; `roles` are separated by commas. The file is made if need be.

    Raises BadRequest for what the file can't hold, and if it is broken.
    """
    try:
        line = ":".join((name, hashed(password), roles, project)).rstrip(":")
    except ValueError as error:
        raise BadRequest(f"The password can't be used: {error}.") from None
    if not parse(line, "User").get(name):
        raise BadRequest(f"{name!r} can't be a user's name.")
    _edit(file, lambda lines: _replaced(lines, name, line))


def remove(file: Path, name: str) -> bool:
    """Take a user out; False if there is none of this name. Raises BadRequest if the file is broken."""
    if name not in parse(_text(file), str(file)):
        return False
    _edit(file, lambda lines: [each for each in lines if not _is_of(each, name)])
    return True


def _replaced(lines: list[str], name: str, line: str) -> list[str]:
    if any(_is_of(each, name) for each in lines):
        return [line if _is_of(each, name) else each for each in lines]
    return [*lines, line]


def _is_of(line: str, name: str) -> bool:
    return line.partition(":")[0].strip() == name and not line.lstrip().startswith("#")


def _edit(file: Path, change: Callable[[list[str]], list[str]]) -> None:
    text = _text(file)
    parse(text, str(file))
    file.parent.mkdir(parents=True, exist_ok=True)
    # A reader sees the old file or the new one. The temporary one is its owner's alone from the beginning.
    with NamedTemporaryFile("w", dir=file.parent, prefix=".users-", delete=False) as made:
        try:
            made.write("".join(f"{line}\n" for line in change(text.splitlines())))
            made.flush()
            os.fsync(made.fileno())
            if file.exists():
                present = file.stat()
                os.fchown(made.fileno(), present.st_uid, present.st_gid)
                os.fchmod(made.fileno(), present.st_mode & 0o640)
            Path(made.name).replace(file)
        except BaseException:
            Path(made.name).unlink(missing_ok=True)
            raise


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""
