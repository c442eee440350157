"""What is in the way of a move."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Obstacle:
    """One thing that keeps a server from moving; `docs/plan.md` has every code.

    Attributes:
        code: names the kind, for programs (`disk-missing`); it does not change between versions.
        thing: what is concerned (`disk vda`).
        problem: what is wrong with it.
        remedy: what a person can do about it.
    """

    code: str
    thing: str
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.thing}: {self.problem}" + (f"; {self.remedy}" if self.remedy else "")
