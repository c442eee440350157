"""Errors that end a command, as sentences for people."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from kedge.model.errors import KedgeError

from .exits import Exit, exit_code
from .render import complain

_TRACEBACK = "KEDGE_TRACEBACK"
_TYPERS_OWN = "typer."


@contextmanager
def as_sentences() -> Iterator[None]:
    """Ends every command's errors here, wherever in it they come from. Raises SystemExit."""
    try:
        yield
    except KedgeError as error:
        complain(error)
        raise SystemExit(exit_code(error)) from None
    except OSError as error:
        if error.errno == errno.EPIPE:  # who reads has had enough
            raise
        complain(error)
        raise SystemExit(Exit.FAILED) from None
    except Exception as error:
        if type(error).__module__.startswith(_TYPERS_OWN):
            raise
        _complain_of_mistake(error)
        raise SystemExit(Exit.FAILED) from None


def _complain_of_mistake(error: Exception) -> None:
    if os.environ.get(_TRACEBACK):
        import traceback  # noqa: PLC0415

        traceback.print_exc()
    complain(
        RuntimeError(
            f"Kedge did not expect this: {type(error).__name__}: {error}."
            f" With {_TRACEBACK}=1 the same command shows where it happened."
        )
    )
