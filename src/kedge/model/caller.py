"""Who calls, and where that is known while a request is worked on."""

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


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

    @property
    def trusted(self) -> bool:
        """Whether the user may speak for servers and hosts: an admin, or a service like Nova."""
        return bool(self.roles & {Role.ADMIN, Role.SERVICE})


CALLER: ContextVar[Identity | None] = ContextVar("kedge_caller", default=None)
"""Who made the request that is worked on; None for Kedge itself, for root's socket and where nobody is asked."""


def counted_as(scope: Mapping[str, Any]) -> str | None:
    """Whom limits count the request of this ASGI scope for: the user, or the address of one whom nobody asked.

    None for root on the Unix socket, who has no limits.
    """
    if scope.get("kedge.listener") == "unix":
        return None
    caller, client = CALLER.get(), scope.get("client")
    return caller.name if caller else str(client[0]) if client else "a caller"


def refusal(rules: str, needed: Iterable[Role], caller: Identity) -> str:
    """Why `caller` may not do what `rules` are about, in Neutron's words."""
    has = ", ".join(sorted(caller.roles)) or "none"
    return (
        f"{rules} is disallowed by policy"
        f" (it needs the role {' or '.join(sorted(needed))}; {caller.name} has {has})"
    )
