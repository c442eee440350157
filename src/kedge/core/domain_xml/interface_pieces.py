"""The table about `<interface>` as a tree for each target, so that an interface is compared with it in one walk."""

from dataclasses import dataclass

from .interface_rules import Target
from .interface_table import BY_PATH


@dataclass(frozen=True)
class Piece:
    """`<interface>`, or an element in it that the table names, on one target.

    Attributes:
        path: as the table has it; empty for `<interface>`.
        passes: whether the element goes along.
        passing: the attributes that go along whatever their value. Of others, the table says it by their value.
        children: the elements in it, by tag.
        repeated: the same of each further one of its kind (`vlan/tag[2]`), if the table says something else of it.
    """

    path: str
    passes: bool
    passing: frozenset[str]
    children: dict[str, "Piece"]
    repeated: "Piece | None"

    @property
    def within(self) -> str:
        """How the path of a piece of it begins."""
        return f"{self.path}/" if self.path else ""


def _piece(path: str, target: Target) -> Piece:
    within = f"{path}/" if path else ""
    below = [known.removeprefix(within) for known in BY_PATH if known.startswith(within)]
    return Piece(
        path,
        not path or _passes(path, target),
        frozenset(name[1:] for name in below if name.startswith("@") and _passes(within + name, target)),
        {tag: _piece(within + tag, target) for tag in below if tag.isalnum()},
        _piece(f"{path}[2]", target) if f"{path}[2]" in BY_PATH else None,
    )


def _passes(path: str, target: Target) -> bool:
    """Whether it goes along whatever its value."""
    rules = BY_PATH[path]
    return all(rule.fate_on(target).passes for rule in rules) and any(not rule.values for rule in rules)


#: `<interface>`, for each target.
PIECES = {target: _piece("", target) for target in Target}
