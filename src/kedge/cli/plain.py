"""`kedge migrate SERVER --to HOST` and its like, recognised without Typer.

What is not recognised for certain, an option that is not here or a mistake, is left to Typer: both do the same.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .client import ControlPlane, default_url
from .exits import Exit
from .migrating import migrate
from .render import complain
from .sentences import as_sentences

_VALUES = frozenset({"--to", "--url"})
_FLAGS = frozenset({"--json", "--detach"})


class Plain(NamedTuple):
    """A migration with nothing chosen but where to."""

    server: str
    url: str
    to: str
    detach: bool
    as_json: bool


def run() -> bool:
    """Do what the command line asks for, if it is that plain; whether it was."""
    wanted = recognised(sys.argv[1:], os.environ)
    if wanted is None:
        return False
    try:
        with as_sentences(), ControlPlane(wanted.url or default_url()) as api:
            migrate(api, wanted.server, wanted.to, {}, detach=wanted.detach, as_json=wanted.as_json)
    except KeyboardInterrupt:
        complain(RuntimeError("Aborted."))
        raise SystemExit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - nobody reads what is left at the end
        raise SystemExit(Exit.FAILED) from None
    return True


def recognised(arguments: Sequence[str], environment: Mapping[str, str]) -> Plain | None:
    """The migration that these arguments ask for; None if they are for Typer."""
    if any(name.endswith("_COMPLETE") for name in environment):
        return None
    words: list[str] = []
    values: dict[str, str] = {}
    flags: set[str] = set()
    rest = iter(arguments)
    for each in rest:
        # The control plane is named before the command, and everything else behind it.
        if each in _VALUES and each not in values and (each == "--url") == (not words):
            value = next(rest, "")
            if not value or value.startswith("-"):
                return None
            values[each] = value
        elif each in _FLAGS and words:
            flags.add(each)
        elif each and not each.startswith("-"):
            words.append(each)
        else:
            return None
    if len(words) != 2 or words[0] != "migrate":
        return None
    url = values.get("--url", environment.get("KEDGE_URL", ""))
    return Plain(words[1], url, values.get("--to", ""), "--detach" in flags, "--json" in flags)
