"""What must hold in a `World`: the invariants of `kedge.core.migration.decide`.

They are checked against the world as it *is*, not as it was seen; `Violation` says which one broke.
"""

from kedge.core.migration import Act, Action, Observation, Outcome, Role

from .world import LEFT, OVER, RUNS, B, D, P, Violation, World


def check_state(w: World) -> None:
    """What must hold in every state."""
    active = [w.source_binding, w.destination_binding].count(B.ACTIVE)
    if active != (0 if w.portless else 1):
        raise Violation(f"1: {active} ACTIVE bindings")
    if w.source in RUNS and w.destination in RUNS and not _may_run_twice(w):
        raise Violation("the VM runs twice")
    if w.finished is not None:
        _check_end(w)


def _may_run_twice(w: World) -> bool:
    """libvirt did it, and Kedge has not mended it yet; on a host that counts as dead, that is for a person."""
    return w.twice and (w.finished is None or w.source_lost or w.destination_lost)


def check_decision(seen: Observation, action: Action) -> None:
    """What no decision may say, whatever has become of the world meanwhile."""
    if action.act is Act.RESUME and seen.destination.gone:
        raise Violation("7: resumed on the source although the VM may have run on a host that is gone")


def check_action(w: World, action: Action) -> None:
    """What must not be done to the world as it is."""
    act, source = action.act, action.role is Role.SOURCE
    if act is Act.ACTIVATE and not source and not (w.handed_over or w.source in LEFT):
        raise Violation("2: destination activated while the VM had never left the source")
    if act is Act.ACTIVATE and source and w.destination in RUNS:
        raise Violation("2: source activated while the VM runs on the destination")
    if act in {Act.UNPLUG, Act.UNBIND, Act.DISCARD}:
        _check_removal(w, action)
    ready = w.destination_plug is P.ALL and w.destination_binding is B.INACTIVE
    if act is Act.TRANSFER and not (ready or w.portless):
        raise Violation("transfer ordered before the destination was bound and wired")
    if act is Act.RESUME and (w.destination in RUNS | {D.SHUTOFF} or w.over):
        raise Violation("resumed on the source although the VM has run on the destination")
    # An abort that comes late is refused by the agent, which looks at the job before it aborts.
    rolls_back = act is Act.RESUME or (act is Act.ACTIVATE and source)
    if w.over and rolls_back and w.destination in RUNS:
        raise Violation("6: rolled back after the switch to post-copy")


def _check_removal(w: World, action: Action) -> None:
    # What had arrived on a host before that burnt has left the source all the same.
    arrived = w.destination in RUNS | {D.SHUTOFF} or w.burnt is Role.DESTINATION
    if action.role is Role.SOURCE:
        domain, lost = w.source, w.source_lost
        busy = {D.RUNNING, D.SWITCHOVER, *OVER}
    else:
        domain, lost = w.destination, w.destination_lost
        busy = {D.RUNNING, D.POSTCOPY_DESTINATION} | ({D.INCOMING} if w.job else set())
    if action.act is Act.DISCARD:
        # The agent itself refuses unless the domain is in one of these states at that moment.
        twin = w.twice and action.role is Role.SOURCE and arrived
        if domain in action.only_in and domain in busy - {D.SWITCHOVER, *OVER} and not twin:
            raise Violation(f"3: {action.role} domain discarded while it is {domain}")
        if domain in action.only_in and domain in busy and not arrived:
            raise Violation("the only copy of the VM was discarded")
        return
    elsewhere = arrived if action.role is Role.SOURCE else w.twice
    if domain in busy and not (lost and elsewhere):
        raise Violation(f"3: {action.act} on the {action.role} while its domain is {domain}")


def _check_end(w: World) -> None:
    """A host that counted as dead may hold leftovers: its own agent removes them when it is back.

    So do the agents with what deleted ports leave plugged.
    """
    if w.finished is Outcome.LOST:
        _check_lost(w)
        return
    if w.finished is Outcome.COMPLETED:
        there = w.destination in RUNS | {D.SHUTOFF} or w.burnt is Role.DESTINATION
        settled = (w.portless or w.destination_binding is B.ACTIVE) and there
        unbound = w.source_binding is B.NONE
        clean = w.source_lost or ((w.portless or w.source_plug is P.NONE) and w.source is D.ABSENT)
    else:
        here = w.source in {D.RUNNING, D.SHUTOFF} or w.burnt is Role.SOURCE
        settled = (w.portless or w.source_binding is B.ACTIVE) and here
        unbound = w.destination_binding is B.NONE
        clean = w.destination_lost or (
            (w.portless or w.destination_plug is P.NONE) and w.destination is D.ABSENT
        )
        known = w.source_plug is P.ALL or w.unwired or w.portless or w.source_lost
        if w.source is D.RUNNING and not known:
            raise Violation(f"4: ended {w.finished}, and it is not said that the source is not wired")
    if not settled:
        raise Violation(f"4: ended {w.finished} and the VM and its ACTIVE binding are not together")
    if not (unbound and clean):
        raise Violation(f"4: ended {w.finished} with something left behind")


def _check_lost(w: World) -> None:
    """A half of the VM, or its past, may stand still where an operator finds it; no whole one runs."""
    half = w.destination is D.POSTCOPY_DESTINATION and w.burnt is Role.SOURCE
    if not w.gone or w.source is D.RUNNING or (w.destination in RUNS and not half):
        raise Violation("7: the VM is called lost and is not")
    others = {w.source_binding, w.destination_binding} - {B.ACTIVE}
    if others != {B.NONE}:
        raise Violation("4: the VM is lost and a binding is left behind")
