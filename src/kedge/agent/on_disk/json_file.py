"""A JSON object in a file, which a crash leaves as it was or as it is to be."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from kedge.model.errors import HostFailure


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, empty if there is no file. Raises HostFailure for one that holds anything else."""
    try:
        found = json.loads(path.read_text()) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise HostFailure(
            f"the agent can't read {path}: {error}; mend or remove it, while no migration is under way"
        ) from error
    if not isinstance(found, dict):
        raise HostFailure(f"{path} holds no JSON object; remove it, while no migration is under way")
    return found


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a crash leaves the old or the new content. Raises HostFailure; then the old one stays."""
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise HostFailure(
            f"the agent can't write to {path.parent} ({error.strerror or error}), so it takes no new orders; "
            "make room there, and see that it may be written to"
        ) from error
