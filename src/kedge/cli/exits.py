"""What the command line's exit codes mean."""

from enum import IntEnum

from kedge.model.errors import KedgeError


class Exit(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    FAILED = 1  # it was tried and failed: a migration that was rolled back, a lab that is not healthy
    USAGE = 2  # what was asked for can't be; nothing was tried
    REFUSED = 3  # refused before anything was touched: an obstacle, a rival, or not allowed
    NOT_FOUND = 4
    UNREACHABLE = 5  # no control plane answers
    INTERRUPTED = 130  # as a shell says it of a process that Ctrl-C ended


_BY_STATUS = {400: Exit.USAGE, 403: Exit.REFUSED, 404: Exit.NOT_FOUND, 409: Exit.REFUSED}


class NoControlPlane(KedgeError):
    """The control plane did not answer."""


def exit_code(error: KedgeError) -> Exit:
    """The exit code that says what `error` says."""
    if isinstance(error, NoControlPlane):
        return Exit.UNREACHABLE
    return _BY_STATUS.get(error.status, Exit.FAILED)
