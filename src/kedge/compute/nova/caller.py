"""What a caller may see of Nova's role, beside what the table of rules says of routes."""

from sqlalchemy import ColumnElement, true

from kedge.model.caller import CALLER, Role
from kedge.store.tables import ServerRow

PROJECT = "project"
"""The label of a server that names the project it belongs to. A server without it belongs to none."""


def is_admin() -> bool:
    """Whether hosts and hypervisors are shown: to admins, as Nova's usual policy says, and where nobody is asked."""
    caller = CALLER.get()
    return caller is None or Role.ADMIN in caller.roles


def own_project() -> str | None:
    """The project that the caller acts for; None for all."""
    caller = CALLER.get()
    return caller.project if caller else None


def visible() -> ColumnElement[bool]:
    """Which servers the caller may know of: a project's user those of the project, others all."""
    caller = CALLER.get()
    return of_project(caller.project) if caller and caller.confined and caller.project else true()


def of_project(project: str) -> ColumnElement[bool]:
    """Which servers belong to this project."""
    labelled: ColumnElement[bool] = ServerRow.labels[PROJECT].as_string() == project
    return labelled
