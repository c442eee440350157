"""A rewiring explored to its end, and deliberate breakages that the exploration must notice."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from kedge.core.rewiring import Act, Action, Port, Seen, Tap, decide
from kedge.testing.explore_rewiring import explore_rewiring
from kedge.testing.rewiring_world import Host
from kedge.testing.world import Violation

Decide = Callable[[Seen], Action]


def test_every_rewiring_ends_well_whatever_happens() -> None:
    explored = explore_rewiring(Host(faults=3))
    assert explored.states > 20_000
    assert explored.endings > 100


@pytest.mark.parametrize("start", [Host(duties=None), Host(reachable=False), Host(abort=True)])
def test_it_ends_well_from_elsewhere_too(start: Host) -> None:
    assert explore_rewiring(start._replace(faults=2)).endings > 10


def ids(seen: Seen, *taps: Tap) -> tuple[str, ...]:
    return tuple(port.id for port in seen.ports if port.tap in taps)


def instead(of: Act, do: Callable[[Seen, Action], Action]) -> Decide:
    """`decide`, but for one act."""

    def broken(seen: Seen) -> Action:
        action = decide(seen)
        return do(seen, action) if action.act is of else action

    return broken


def seeing(change: Callable[[Seen], Seen]) -> Decide:
    """`decide`, by what is not so."""
    return lambda seen: decide(change(seen))


BROKEN: dict[str, Decide] = {
    "commits with one tap moved": instead(
        Act.MOVE, lambda seen, move: Action(Act.COMMIT) if ids(seen, Tap.NEW) else move
    ),
    "commits without moving": instead(Act.MOVE, lambda seen, _: Action(Act.COMMIT)),
    "takes no notice of an abort": seeing(lambda seen: replace(seen, abort=False)),
    "takes no notice of a failure": seeing(lambda seen: replace(seen, failure=None)),
    "moves back after the commit": seeing(lambda seen: replace(seen, committed=False)),
    "believes in a commit after every move": seeing(
        lambda seen: replace(seen, committed=seen.committed or not ids(seen, Tap.OLD, Tap.NOWHERE))
    ),
    "removes the old side before the commit": instead(
        Act.COMMIT, lambda seen, a: Action(Act.LEAVE_OLD, a.ports)
    ),
    "removes the new side before it moves back": instead(
        Act.MOVE_BACK, lambda seen, a: Action(Act.LEAVE_NEW, tuple(p.id for p in seen.ports))
    ),
    "ends without removing the old side": instead(Act.LEAVE_OLD, lambda *_: Action(Act.FINISH)),
    "ends without removing the new side": instead(Act.LEAVE_NEW, lambda *_: Action(Act.FINISH)),
    "ends without moving back": instead(Act.MOVE_BACK, lambda *_: Action(Act.FINISH)),
    "ends without an answer": instead(Act.WAIT, lambda *_: Action(Act.FINISH)),
    "never prepares to the end": seeing(lambda seen: replace(seen, prepared=False)),
    "never lets go": seeing(lambda seen: replace(seen, tries=0)),
    "takes a tap in no switch for moved": seeing(
        lambda seen: replace(
            seen,
            ports=tuple(
                replace(port, tap=Tap.NEW) if port.tap is Tap.NOWHERE else port for port in seen.ports
            ),
        )
    ),
    "touches a port that somebody else has bound": seeing(
        lambda seen: replace(seen, ports=tuple(replace(port, bound=True) for port in seen.ports))
    ),
    "never gives up": instead(Act.GIVE_UP, lambda *_: Action(Act.WAIT)),
    "gives up after the commit": lambda seen: (
        Action(Act.GIVE_UP, why="enough") if seen.committed and not seen.left else decide(seen)
    ),
    "waits for ever for a host that is off": seeing(lambda seen: replace(seen, gone=False)),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_breakage_is_noticed(broken: Decide) -> None:
    with pytest.raises(Violation):
        explore_rewiring(Host(faults=2), broken)


def test_ports_go_over_one_after_the_other_and_are_committed_together() -> None:
    ports = (Port("a", Tap.OLD), Port("b", Tap.OLD))
    assert decide(Seen(ports)) == Action(Act.PREPARE, ("a", "b"))
    assert decide(Seen(ports, prepared=True)) == Action(Act.MOVE, ("a",))
    one = (Port("a", Tap.NEW), Port("b", Tap.OLD))
    assert decide(Seen(one, prepared=True)) == Action(Act.MOVE, ("b",))
    both = (Port("a", Tap.NEW), Port("b", Tap.NEW))
    assert decide(Seen(both, prepared=True)) == Action(Act.COMMIT, ("a", "b"))
    assert decide(Seen(both, prepared=True, committed=True)) == Action(Act.LEAVE_OLD, ("a", "b"))
    assert decide(Seen(both, prepared=True, committed=True, left=True)) == Action(Act.FINISH)


def test_what_was_moved_is_moved_back() -> None:
    ports = (Port("a", Tap.NEW), Port("b", Tap.NOWHERE), Port("c", Tap.OLD))
    assert decide(Seen(ports, prepared=True, abort=True)) == Action(Act.MOVE_BACK, ("a",))
    assert decide(Seen(ports[1:], prepared=True, failure="no")) == Action(Act.MOVE_BACK, ("b",))
    assert decide(Seen(ports[2:], prepared=True, failure="no")) == Action(Act.LEAVE_NEW, ("c",))
