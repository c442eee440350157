"""What is in the way of a move: one module per kind, and one list of them.

Each kind is a pure function of a `Question`. `docs/plan.md` has a row for each code in `CODES`.
"""

from collections.abc import Mapping

from kedge.model.obstacle import Obstacle

from . import (
    attached,
    filesystems,
    firmware,
    host_devices,
    hypervisors,
    images,
    machine,
    memory,
    names,
    numa,
    options,
    planned,
    storage,
    tpm,
    unmigratable,
)
from .hypervisors import notes
from .options import asks_hosts, beyond
from .question import Question, asks_destination, asks_source

KINDS = (
    hypervisors,
    options,
    names,
    machine,
    memory,
    numa,
    attached,
    storage,
    images,
    firmware,
    tpm,
    filesystems,
    host_devices,
    unmigratable,
)
"""Every kind; their order is the one in which a plan tells them."""

CODES: Mapping[str, str] = {
    code: meaning for kind in (planned, *KINDS) for code, meaning in kind.CODES.items()
}
"""Every code, and what it means in a few words."""


def find_obstacles(question: Question) -> list[Obstacle]:
    """Everything that these hosts and this domain have in a move's way."""
    return [obstacle for kind in KINDS for obstacle in kind.obstacles(question)]


__all__ = [
    "CODES",
    "KINDS",
    "Question",
    "asks_destination",
    "asks_hosts",
    "asks_source",
    "beyond",
    "find_obstacles",
    "notes",
]
