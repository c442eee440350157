"""Following a migration until it has ended, and taking Ctrl-C meanwhile."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from kedge.model.errors import KedgeError

from .client import ControlPlane, Json, segment
from .exits import Exit, NoControlPlane
from .lookup import KEDGE_API
from .render import Plain, console, print_json, short
from .summary import summarise
from .views import Lines, View

if TYPE_CHECKING:
    from rich.console import Console

WAIT_MS = 10_000
"""How long one look waits for news."""

PAUSE_S = 0.25
"""Between two looks at a control plane that does not answer."""

PATIENCE_S = 20.0
"""How long the control plane may be away, as when it is started anew, before following it ends."""


def follow_to_end(
    api: ControlPlane, migration: Json, server: str, as_json: bool, *, abort_on_interrupt: bool = True
) -> None:
    """Follow a migration until it has ended, then sum it up. Exits with 1 if it did not complete.

    The first Ctrl-C asks for its abort, unless `abort_on_interrupt` is false; the next one leaves it running.
    With `as_json`, progress goes to standard error, and standard output gets the migration as it ended. Where a
    failed one has candidates left, the migration to the next of them is followed instead.
    """
    out = console(stderr=as_json)
    title = (
        f"{server}: {migration['source']} -> {migration['destination']} (migration {short(migration['id'])})"
    )
    try:
        with _view(out, title) as view:
            ended = follow(api, migration, view, abort_on_interrupt=abort_on_interrupt)
    except KeyboardInterrupt:
        left = f"Migration {migration['id']} goes on without this command. {_how_to_look(migration)}"
        console(stderr=True).print(left)
        raise SystemExit(Exit.INTERRUPTED) from None
    if ended["next_id"]:
        out.print(f"It failed: {ended['error']}", style="red")
        following = api.get(f"{KEDGE_API}/migrations/{segment(ended['next_id'])}")
        follow_to_end(api, following, server, as_json, abort_on_interrupt=abort_on_interrupt)
        return
    if as_json:
        print_json(ended)
    else:
        summarise(api, ended, server)
    if ended["status"] != "completed":
        raise SystemExit(Exit.FAILED)


def _view(out: "Console | Plain", title: str) -> View:
    if isinstance(out, Plain) or not out.is_terminal:
        return Lines(out, title)
    from .screen import Screen  # noqa: PLC0415 - what draws takes long to import

    return Screen(out, title)


def follow(api: ControlPlane, migration: Json, view: View, *, abort_on_interrupt: bool = True) -> Json:
    """Show a migration until it has ended. Raises KeyboardInterrupt, and NoControlPlane after some patience."""
    asked = not abort_on_interrupt
    with _Interrupts(tolerated=1 if abort_on_interrupt else 0) as interrupts:
        view.show(migration)
        while migration["finished_at"] is None:
            interrupts.check()
            if interrupts.count and not asked:
                asked = _ask_abort(api, migration, view)
            migration = _look_again(api, migration, view, interrupts)
            view.show(migration)
    return migration


class _Woken(BaseException):
    """Ctrl-C came while an answer was waited for."""


class _Interrupts:
    """Takes Ctrl-C: as many as are tolerated are only counted, the next one raises KeyboardInterrupt."""

    def __init__(self, *, tolerated: int) -> None:
        self.count = 0
        self._waiting = False
        self._tolerated = tolerated

    def __enter__(self) -> "_Interrupts":
        self._before = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raise KeyboardInterrupt if there was one too many.

        The handler's own gets lost where it comes in the middle of a finaliser: Python ignores what those raise.
        """
        if self.count > self._tolerated:
            raise KeyboardInterrupt

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """One that is tolerated ends what is waited for here, by raising _Woken."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.check()
        if self._waiting:
            raise _Woken


def _ask_abort(api: ControlPlane, migration: Json, view: View) -> bool:
    """Ask for the abort; says whether that arrived."""
    try:
        api.delete(_path(migration))
    except NoControlPlane:
        return False
    except KedgeError:
        # It has ended just now, and the next look shows how.
        return True
    view.say("Ctrl-C: the abort is asked for. Press it again to leave the migration to itself.")
    return True


def _look_again(api: ControlPlane, migration: Json, view: View, interrupts: "_Interrupts") -> Json:
    gives_up = time.monotonic() + PATIENCE_S
    told = False
    while True:
        try:
            with interrupts.waiting():
                found: Json = api.get(_path(migration), {"wait_ms": WAIT_MS}, wait_s=PATIENCE_S)
            return found
        except _Woken:
            return migration
        except NoControlPlane as error:
            if time.monotonic() > gives_up:
                raise NoControlPlane(f"{error} {_how_to_look(migration)}") from None
            if not told:
                view.say(f"The control plane does not answer; this waits {PATIENCE_S:.0f} s for it.")
                told = True
            time.sleep(PAUSE_S)


def _how_to_look(migration: Json) -> str:
    return f"`kedge migrations show {short(migration['id'])}` shows what becomes of it."


def _path(migration: Json) -> str:
    return f"{KEDGE_API}/migrations/{segment(migration['id'])}"
