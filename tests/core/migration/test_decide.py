"""decide() against its invariants: every reachable state, and deliberate breakages that must be noticed."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.core.migration import (
    Act,
    Action,
    BindingView,
    Intent,
    Observation,
    Outcome,
    Plugged,
    Role,
    Side,
    decide,
)
from kedge.model.domain import DomainState, TransferState
from kedge.testing.explore import explore
from kedge.testing.world import Violation, World

from ...conftest import TOLD

RUNNING = Side(domain=DomainState.RUNNING, binding=BindingView.ACTIVE, plugged=Plugged.ALL)


Tell = Callable[[str, object], None]


def test_every_reachable_state_keeps_the_invariants_and_ends(record_property: Tell) -> None:
    explored = explore(World(faults=3))
    record_property(TOLD, f"decide(): {explored.states:,} states, {explored.moves:,} moves")
    assert explored.states > 200_000


def test_hosts_that_never_come_back_and_what_an_operator_says_of_them(record_property: Tell) -> None:
    explored = explore(World(faults=2, may_burn=True))
    told = f"decide() with hosts lost for good: {explored.states:,} states, {explored.moves:,} moves"
    record_property(TOLD, told)
    assert explored.states > 200_000


def test_without_faults_the_way_is_the_short_one() -> None:
    explored = explore(World(faults=0, abort=True), postcopy=False)
    assert explored.endings == 1
    assert explore(World(faults=0), postcopy=False).endings > 1


sides = st.builds(
    Side,
    reachable=st.booleans(),
    dead=st.booleans(),
    gone=st.booleans(),
    domain=st.sampled_from(DomainState),
    job=st.booleans(),
    transfer=st.sampled_from(TransferState),
    plugged=st.sampled_from(Plugged),
    binding=st.sampled_from(BindingView),
    portless=st.booleans(),
)
intents = st.builds(
    Intent,
    abort=st.booleans(),
    failure=st.none() | st.just("why"),
    orders=st.integers(0, 5),
    announced=st.booleans(),
    unwired=st.booleans(),
)


@given(st.builds(Observation, sides, sides, intents))
def test_any_observation_has_an_answer_that_says_why(seen: Observation) -> None:
    action = decide(seen)
    assert action.why
    assert (action.outcome is not None) == (action.act is Act.FINISH)
    assert (action.act is Act.DISCARD) == bool(action.only_in)


@given(st.builds(Observation, sides, sides, intents))
def test_a_running_vm_is_discarded_only_beside_the_one_that_runs_on_the_destination(
    seen: Observation,
) -> None:
    action = decide(seen)
    running = {DomainState.RUNNING, DomainState.PAUSED, DomainState.POSTCOPY_DESTINATION}
    if action.act is Act.DISCARD and running & set(action.only_in):
        assert action.role is Role.SOURCE
        assert not seen.source.transferring
        assert seen.destination.reachable
        assert seen.destination.domain is DomainState.RUNNING


def test_what_it_does_on_the_happy_way() -> None:
    there = Side()
    assert decide(Observation(RUNNING, there)).act is Act.BIND
    there = replace(there, binding=BindingView.INACTIVE)
    assert decide(Observation(RUNNING, there)).act is Act.PLUG
    there = replace(there, plugged=Plugged.ALL)
    assert decide(Observation(RUNNING, there)).act is Act.TRANSFER
    here = replace(RUNNING, domain=DomainState.SWITCHOVER, job=True)
    there = replace(there, domain=DomainState.INCOMING)
    assert decide(Observation(here, there)) == Action(
        Act.ACTIVATE, Role.DESTINATION, "the source VM is paused for the switchover"
    )


# --- deliberate breakages -------------------------------------------------------------------------------

Decide = Callable[[Observation], Action]


def always(act: Act, role: Role | None, when: Callable[[Observation], bool]) -> Decide:
    return lambda seen: Action(act, role, "broken") if when(seen) else decide(seen)


def never(act: Act, role: Role | None = None) -> Decide:
    def broken(seen: Observation) -> Action:
        action = decide(seen)
        hit = action.act is act and role in {None, action.role}
        return Action(Act.WAIT, why="broken") if hit else action

    return broken


def blind(change: Callable[[Observation], Observation]) -> Decide:
    return lambda seen: decide(change(seen))


def destination_is(seen: Observation, state: DomainState) -> bool:
    return seen.destination.reachable and seen.destination.domain is state


BREAKAGES: dict[str, Decide] = {
    "leaves a broken post-copy as it is": never(Act.RECOVER),
    "activates while memory is being copied": always(
        Act.ACTIVATE,
        Role.DESTINATION,
        lambda seen: (
            seen.source.transferring and seen.source.runs and destination_is(seen, DomainState.INCOMING)
        ),
    ),
    "never activates": never(Act.ACTIVATE, Role.DESTINATION),
    "never re-activates the source": never(Act.ACTIVATE, Role.SOURCE),
    "unbinds the source before the VM has left": always(
        Act.UNBIND,
        Role.SOURCE,
        lambda seen: (
            seen.source.domain is DomainState.SWITCHOVER and seen.source.binding is BindingView.INACTIVE
        ),
    ),
    "unplugs the source while it is paused for the switchover": always(
        Act.UNPLUG, Role.SOURCE, lambda seen: seen.source.domain is DomainState.SWITCHOVER
    ),
    "unplugs the destination during the transfer": always(
        Act.UNPLUG,
        Role.DESTINATION,
        lambda seen: seen.intent.abort and destination_is(seen, DomainState.INCOMING) and seen.source.job,
    ),
    "starts before the destination is wired": always(
        Act.TRANSFER,
        Role.SOURCE,
        lambda seen: (
            seen.destination.binding is BindingView.INACTIVE
            and seen.source.runs
            and not seen.source.transferring
            and seen.destination.plugged is not Plugged.ALL
        ),
    ),
    "resumes the source without asking the destination": blind(
        lambda seen: (
            replace(seen, destination=replace(seen.destination, reachable=True, domain=DomainState.ABSENT))
            if seen.source.domain is DomainState.SWITCHOVER and not seen.source.transferring
            else seen
        )
    ),
    "leaves the source's VIFs": blind(
        lambda seen: replace(seen, source=replace(seen.source, plugged=Plugged.NONE))
    ),
    "leaves the destination's binding after a rollback": blind(
        lambda seen: (
            replace(seen, destination=replace(seen.destination, binding=BindingView.NONE))
            if seen.intent.abort and seen.source.runs
            else seen
        )
    ),
    "reports a rollback without a look at the source's wires": blind(
        lambda seen: replace(seen, intent=replace(seen.intent, unwired=True))
    ),
    "wants bindings for ports that were deleted": blind(
        lambda seen: replace(
            seen,
            source=replace(seen.source, portless=False),
            destination=replace(seen.destination, portless=False),
        )
    ),
    "rolls back after the switch to post-copy": always(
        Act.ACTIVATE,
        Role.SOURCE,
        lambda seen: seen.intent.abort and destination_is(seen, DomainState.POSTCOPY_DESTINATION),
    ),
    "ends as soon as the VM has arrived": lambda seen: (
        Action(Act.FINISH, why="broken", outcome=Outcome.COMPLETED)
        if destination_is(seen, DomainState.RUNNING)
        else decide(seen)
    ),
    "waits for ever after a failed transfer": never(Act.GIVE_UP),
    "gives up on a silent source that may hold the VM paused": blind(
        lambda seen: replace(seen, intent=replace(seen.intent, orders=0))
    ),
    "lets a VM run on both hosts": lambda seen: (
        Action(Act.WAIT, why="broken") if DomainState.RUNNING in decide(seen).only_in else decide(seen)
    ),
    "ends what runs on the source once the switchover was seen": lambda seen: (
        Action(Act.DISCARD, Role.SOURCE, "broken", only_in=(DomainState.RUNNING,))
        if seen.source.transfer is TransferState.FAILED and seen.source.runs
        else decide(seen)
    ),
    "discards the VM's past wherever it is paused": lambda seen: (
        Action(Act.DISCARD, Role.SOURCE, "broken", only_in=(DomainState.SWITCHOVER,))
        if seen.source.domain is DomainState.SWITCHOVER and not seen.source.transferring
        else decide(seen)
    ),
}


OF_GONE_HOSTS: dict[str, Decide] = {
    "resumes what may have run on a host that is gone": blind(
        lambda seen: (
            replace(seen, destination=Side(binding=seen.destination.binding))
            if seen.destination.gone and seen.source.domain is DomainState.SWITCHOVER
            else seen
        )
    ),
    "waits for hosts that are gone": blind(
        lambda seen: replace(
            seen,
            source=replace(seen.source, gone=False),
            destination=replace(seen.destination, gone=False),
        )
    ),
    "calls a VM lost that may still come to run": lambda seen: (
        Action(Act.FINISH, Role.SOURCE, "broken", outcome=Outcome.LOST)
        if seen.source.gone and destination_is(seen, DomainState.INCOMING)
        else decide(seen)
    ),
}


OF_ORDERS_AND_PICTURES: dict[str, Decide] = {
    "unbinds the destination because no VIF is seen there": lambda seen: replace(decide(seen), unplug=False),
    "takes half of the destination's VIFs for all": blind(
        lambda seen: (
            replace(seen, destination=replace(seen.destination, plugged=Plugged.ALL))
            if seen.destination.plugged is Plugged.SOME
            else seen
        )
    ),
    "takes half of the source's VIFs for none": blind(
        lambda seen: (
            replace(seen, source=replace(seen.source, plugged=Plugged.NONE))
            if seen.source.plugged is Plugged.SOME
            else seen
        )
    ),
}


@pytest.mark.parametrize("name", OF_ORDERS_AND_PICTURES)
def test_the_exploration_notices_what_half_orders_and_old_pictures_come_to(name: str) -> None:
    with pytest.raises(Violation):
        explore(World(faults=1), OF_ORDERS_AND_PICTURES[name])


def test_an_agent_has_to_ask_libvirt_anew() -> None:
    explore(World(faults=1), postcopy=False)
    with pytest.raises(Violation, match=r"while its domain is running|discarded while it is incoming"):
        explore(World(faults=1, may_lag_whole=True), postcopy=False)


@pytest.mark.parametrize("name", OF_GONE_HOSTS)
def test_the_exploration_notices_what_is_wrong_with_hosts_that_are_gone(name: str) -> None:
    with pytest.raises(Violation):
        explore(World(faults=2, may_burn=True), OF_GONE_HOSTS[name])


@pytest.mark.parametrize("name", BREAKAGES)
def test_the_exploration_notices_a_broken_decision(name: str) -> None:
    with pytest.raises(Violation):
        explore(World(faults=2), BREAKAGES[name])


@given(sides, sides, st.booleans(), st.booleans())
def test_an_older_view_of_the_destination_does_no_harm_while_libvirt_is_at_work(
    source: Side, destination: Side, announced: bool, abort: bool
) -> None:
    """A conductor that has seen the VM run there looks at it again once libvirt has ended on the source."""
    source = replace(source, reachable=True, job=True)
    destination = replace(destination, reachable=True, domain=DomainState.RUNNING)
    action = decide(Observation(source, destination, Intent(announced=announced, abort=abort)))
    assert action.act in {Act.WAIT, Act.BIND, Act.ACTIVATE, Act.ANNOUNCE, Act.PLUG}
    assert action.role in {None, Role.DESTINATION}
