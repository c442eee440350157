"""What libvirt, the guest, agents and people do by themselves in a `World`, and what goes wrong."""

from collections.abc import Iterator

from kedge.core.migration import Role
from kedge.model.domain import TransferState

from .world import B, D, P, Step, T, World, ended


def nature(w: World, postcopy: bool) -> Iterator[Step]:
    """What happens by itself; that an agent counts as dead is a fault."""
    if w.lag is not None:
        yield Step(f"the {w.lag[0]}'s agent sees its host as it is", w._replace(lag=None))
    if w.burnt is not None and not w.gone:
        yield Step("an operator says that the host is gone", w._replace(gone=True))
    if not w.source_up:
        if w.burnt is not Role.SOURCE:
            yield Step("source agent is back", w._replace(source_up=True, source_dead=False))
        if not w.source_dead:
            yield Step(
                "source agent counts as dead", w._replace(source_dead=True, source_lost=True), fault=True
            )
    if not w.destination_up:
        if w.burnt is not Role.DESTINATION:
            yield Step("destination agent is back", w._replace(destination_up=True, destination_dead=False))
        if not w.destination_dead:
            yield Step(
                "destination agent counts as dead",
                w._replace(destination_dead=True, destination_lost=True),
                fault=True,
            )
    if w.memory is T.RUNNING and not w.job and w.source is D.RUNNING and w.destination is D.ABSENT:
        if w.burnt is None:
            yield Step("libvirt prepares", w._replace(job=True, destination=D.INCOMING))
        else:
            yield Step("libvirt does not reach the destination", w._replace(memory=T.FAILED))
    if not w.job:
        if w.destination is D.INCOMING:
            yield Step("libvirt drops the incoming domain", w._replace(destination=D.ABSENT))
        return
    if w.source is D.RUNNING and w.destination is D.INCOMING:
        yield Step("converged: source paused", w._replace(source=D.SWITCHOVER, handed_over=True))
        if postcopy:
            yield Step(
                "switch to post-copy",
                w._replace(
                    source=D.POSTCOPY_SOURCE,
                    destination=D.POSTCOPY_DESTINATION,
                    handed_over=True,
                    over=True,
                ),
            )
    elif w.source is D.SWITCHOVER and w.destination is D.INCOMING:
        yield Step("destination runs", w._replace(destination=D.RUNNING))
    elif w.destination is D.POSTCOPY_DESTINATION and w.source is not D.POSTCOPY_BROKEN:
        yield Step("post-copy has everything", w._replace(destination=D.RUNNING))
    elif w.destination in {D.RUNNING, D.SHUTOFF}:
        yield Step("libvirt confirms", w._replace(source=D.ABSENT, job=False, memory=ended(w, T.SUCCEEDED)))


def faults(w: World) -> Iterator[tuple[str, World]]:
    """What may go wrong next."""
    failed = ended(w, T.FAILED)
    if w.memory is T.RUNNING and not w.job:
        yield "libvirt refuses the migration", w._replace(memory=T.FAILED)
    if w.job and w.destination is D.INCOMING:
        yield (
            "the transfer breaks off",
            w._replace(source=D.RUNNING, destination=D.ABSENT, job=False, memory=failed),
        )
    if w.job and not w.over:
        yield "source libvirtd restarts", w._replace(job=False, memory=failed)
    if w.job and w.source is D.SWITCHOVER and w.destination in {D.INCOMING, D.RUNNING}:
        yield (
            "the destination's libvirtd dies before it can say that the VM runs",
            w._replace(source=D.RUNNING, destination=D.RUNNING, job=False, memory=failed, twice=True),
        )
    if not w.job and w.source is D.SWITCHOVER and w.destination is D.INCOMING:
        yield "the finish that was on its way arrives", w._replace(destination=D.RUNNING)
    if w.source is D.POSTCOPY_SOURCE and w.destination is D.POSTCOPY_DESTINATION:
        yield "post-copy breaks off", w._replace(source=D.POSTCOPY_BROKEN, memory=failed)
    # Who ends one of two running copies himself, while Kedge is about to, has chosen; that is not explored.
    if w.source is D.RUNNING and not w.twice:
        gone = D.ABSENT if w.destination is D.INCOMING else w.destination
        yield (
            "the VM is shut down on the source",
            w._replace(source=D.SHUTOFF, destination=gone, job=False, memory=failed),
        )
    if w.destination is D.RUNNING and not w.twice:
        yield "the VM is shut down on the destination", w._replace(destination=D.SHUTOFF)
    if w.source is D.RUNNING and w.source_plug is P.ALL and not (w.looked or w.seen):
        # What is lost after the last look at it is lost after the migration's end, and the agent's to mend.
        yield "a VIF is lost on the source", w._replace(source_plug=P.SOME)
    if not w.portless:
        yield (
            "the ports are deleted",
            w._replace(portless=True, source_binding=B.NONE, destination_binding=B.NONE),
        )
    if w.may_burn and w.burnt is None:
        yield from _burns(w, failed)
    if w.burnt is Role.SOURCE and w.handed_over and not w.over and w.destination is D.INCOMING:
        yield "the finish that was on its way arrives", w._replace(destination=D.RUNNING)
    if w.source_up:
        yield "source agent dies", w._replace(source_up=False, memory=T.NONE)
    if w.destination_up:
        yield "destination agent dies", w._replace(destination_up=False)
    if w.looked or w.seen:
        yield "the conductor dies", w._replace(looked=None, seen=None)


def _burns(w: World, failed: TransferState) -> Iterator[tuple[str, World]]:
    """A host is lost for good; what libvirt on the other one makes of that is up to it."""
    yield (
        "the source burns",
        w._replace(
            burnt=Role.SOURCE,
            source=D.ABSENT,
            source_up=False,
            source_lost=True,
            job=False,
            memory=T.NONE,
        ),
    )
    left = w._replace(
        burnt=Role.DESTINATION,
        destination=D.ABSENT,
        destination_up=False,
        destination_lost=True,
        job=False,
        memory=failed if w.job else w.memory,
    )
    broken = w.source is D.POSTCOPY_SOURCE
    yield "the destination burns", left._replace(source=D.POSTCOPY_BROKEN) if broken else left
    if w.job and w.source is D.SWITCHOVER and w.destination is D.INCOMING:
        yield "the destination burns, and libvirt goes on here", left._replace(source=D.RUNNING)
