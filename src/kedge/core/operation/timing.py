"""When a server may be moved: in the operation's window, and some time after its migration failed.

Time is a part of what is seen: nothing here reads a clock.
"""

from kedge.model.window import Window, clock

from .seen import Move, Outlook, Seen, State

LONGEST_S = 3600.0
"""No pause after a failure is longer, in s."""


def let_wait(seen: Seen, outlooks: dict[str, Outlook]) -> float | None:
    """Write into `outlooks` which of the waiting servers wait for a time; gives the next time, in s since 1970."""
    waiting = [each for each in seen.moves if outlooks[each.server_id] == Outlook(State.WAITING)]
    times = []
    for move in waiting:
        at_s, why = _not_before(move, seen)
        if at_s > seen.now_s:
            outlooks[move.server_id] = Outlook(State.WAITING, (f"not before {clock(at_s)}: {why}",))
            times.append(at_s)
    return min(times, default=None)


def opens_at(seen: Seen) -> float | None:
    """When the operation's window opens, in s since 1970; None if it is open."""
    if not seen.limits.window:
        return None
    opens_s = Window.parse(seen.limits.window).opens_at(seen.now_s)
    return opens_s if opens_s > seen.now_s else None


def _not_before(move: Move, seen: Seen) -> tuple[float, str]:
    at_s, why = seen.now_s, ""
    failed = [each for each in move.tried if each.failed]
    if failed:
        pause_s = min(seen.limits.retry_s * 2.0 ** (len(failed) - 1), LONGEST_S)
        at_s = max(each.at_s for each in failed) + pause_s
        why = f"its migration to {failed[-1].host} failed: {failed[-1].why}"
    if seen.limits.window:
        opens_s = Window.parse(seen.limits.window).opens_at(max(at_s, seen.now_s))
        if opens_s > max(at_s, seen.now_s):
            return opens_s, f"the window is {seen.limits.window}"
    return at_s, why
