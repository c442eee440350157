"""What is in the way of a move: one module per kind, and one list of them.

Each kind is a pure function of a `Question`. `docs/plan.md` has a row for each code in `CODES`.
"""

from collections.abc import Callable, Mapping, Sequence

from kedge.model.obstacle import Obstacle

from . import filesystems, firmware, images, names, planned, storage, tpm
from .question import Question, ask_host, question

Kind = Callable[[Question], list[Obstacle]]

KINDS: Sequence[Kind] = (
    names.obstacles,
    storage.obstacles,
    images.obstacles,
    firmware.obstacles,
    tpm.obstacles,
    filesystems.obstacles,
)
"""Every kind; their order is the one in which a plan tells them."""

CODES: Mapping[str, str] = {
    code: meaning
    for kind in (planned, names, storage, images, firmware, tpm, filesystems)
    for code, meaning in kind.CODES.items()
}
"""Every code, and what it means in a few words."""


def find_obstacles(asked: Question) -> list[Obstacle]:
    """Everything that these hosts and this domain have in a move's way."""
    return [obstacle for kind in KINDS for obstacle in kind(asked)]


__all__ = ["CODES", "KINDS", "Kind", "Question", "ask_host", "find_obstacles", "question"]
