"""Who calls."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a caller is, in the words of OpenStack's default roles."""

    READER = "reader"
    MEMBER = "member"
    SERVICE = "service"
    ADMIN = "admin"


@dataclass(frozen=True)
class Identity:
    """A caller whose word was checked.

    Attributes:
        name: the user's name.
        roles: of the user, in the project if there is one.
        project: the project that the user acts for; None for all of them.
    """

    name: str
    roles: frozenset[Role]
    project: str | None = None

    @property
    def confined(self) -> bool:
        """Whether the user sees and changes only what belongs to the project."""
        return self.project is not None and not self.roles & {Role.ADMIN, Role.SERVICE}
