"""What a rewiring does next: a pure function of the ports as they are seen, asked anew after everything that happens.

A port has one binding on its host all the time. The rules:

1. The bindings say the old side until every tap is in its new switch. Then they all say the new side, in one
   transaction: the commit. Before it everything can be taken back, after it nothing is.
2. Taps are moved one at a time, so a failure strikes one VM's one port, and it is moved back first.
3. An abort or a failure before the commit moves back what was moved. A port whose binding somebody else has changed is
   that one's: its tap is not touched any more, and the rest is taken back.
4. A side is removed only once every tap is on the other. That order is also the last to the agent, with the newest
   epoch, so none that is still on its way can move a tap afterwards.
5. What can't be done after so many tries is left to the agent, which goes on mending what the bindings say.
"""

from .seen import Act, Action, Port, Seen, Tap

MOST_TRIES = 5


def decide(seen: Seen) -> Action:
    """What to do now."""
    if seen.committed:
        return _settle(seen, Tap.NEW, Act.MOVE, Act.LEAVE_OLD)
    if seen.abort or seen.failure is not None:
        return _settle(seen, Tap.OLD, Act.MOVE_BACK, Act.LEAVE_NEW)
    why = _trouble(seen)
    if why:
        return Action(Act.GIVE_UP, why=why)
    if not seen.reachable:
        return Action(Act.WAIT)
    ids = tuple(port.id for port in seen.ports)
    if not seen.prepared:
        return Action(Act.PREPARE, ids)
    to_move = [port.id for port in seen.ports if port.tap is not Tap.NEW]
    return Action(Act.MOVE, tuple(to_move[:1])) if to_move else Action(Act.COMMIT, ids)


def _settle(seen: Seen, side: Tap, move: Act, leave: Act) -> Action:
    """Bring the taps to the side that the bindings say, and clear the other."""
    if seen.gone:
        return Action(Act.FINISH, why="the host is off")
    if not seen.reachable:
        return Action(Act.WAIT)
    ours = [port for port in seen.ports if port.bound]
    astray = [port for port in ours if port.tap not in (side, Tap.GONE)]
    if seen.tries >= MOST_TRIES:
        where = f"{', '.join(port.id for port in astray)} could not be moved" if astray else ""
        return Action(Act.FINISH, why=where or "what is left of the other side could not be removed")
    if astray:
        return Action(move, (astray[0].id,))
    if ours and not seen.left:
        return Action(leave, tuple(port.id for port in ours))
    return Action(Act.FINISH)


def _trouble(seen: Seen) -> str:
    if seen.gone:
        return "the host is off"
    changed = [port.id for port in seen.ports if not port.bound]
    if changed:
        return f"somebody has changed the binding of {_ports(changed)} meanwhile"
    gone = [port.id for port in seen.ports if port.tap is Tap.GONE and seen.reachable]
    if gone:
        return f"there is no tap of {_ports(gone)} any more; migrate the server"
    return "" if seen.ports else "its ports were deleted"


def _ports(ids: list[str]) -> str:
    return f"port{'s' if len(ids) > 1 else ''} {', '.join(ids)}"


__all__ = ["MOST_TRIES", "Port", "decide"]
