"""Which domain on a host is needed by nobody and may be removed, when its server is on another host. Pure.

Only asked when no migration of Kedge's involves the server. `home` is what the other host's agent has just said.
"""

from kedge.model.domain import DomainState, HostView

LEFT_STATES = frozenset(
    {
        DomainState.INCOMING,
        DomainState.SWITCHOVER,
        DomainState.POSTCOPY_SOURCE,
        DomainState.POSTCOPY_BROKEN,
        DomainState.SHUTOFF,
        DomainState.CRASHED,
    }
)
"""What a migration can leave on a host that is not the server's any more, or never was. None of them runs."""

_THERE = frozenset({DomainState.RUNNING, DomainState.PAUSED})
_STOPPED = frozenset({DomainState.SHUTOFF, DomainState.CRASHED})


def is_unneeded(here: DomainState, home: HostView) -> bool:
    """Whether a domain in state `here` is needed by nobody.

    One that comes in is no more than a copy, as long as the server is whole at home and nobody hands it over from
    there: not even somebody with virsh. One that stood still for a switchover, or lies there shut off, is the
    server's past once the server is seen whole at home; with the server seen nowhere, it may be its last state.
    """
    if home.job:
        return False
    if here is DomainState.INCOMING:
        return home.domain in _THERE | _STOPPED
    return here in LEFT_STATES and home.domain in _THERE
