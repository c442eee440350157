"""What a decision is made from, and what it can say.

An observation is looked at anew before every decision. It is small on purpose: everything that
does not change a decision is left out, so that all combinations can be explored.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from kedge.model.domain import DomainState, TransferState
from kedge.model.server import MigrationOptions


class Role(StrEnum):
    """Which of the two hosts."""

    SOURCE = "source"
    DESTINATION = "destination"


class BindingView(StrEnum):
    """The bindings of all of the server's ports on one host, taken together."""

    NONE = "none"
    SOME = "some"  # not every port has one
    INACTIVE = "inactive"
    ACTIVE = "active"


class Plugged(StrEnum):
    """The VIFs of all of the server's ports on one host, taken together."""

    NONE = "none"
    SOME = "some"
    ALL = "all"


@dataclass(frozen=True)
class Side:
    """One host, as it was seen.

    If it could not be reached, only `binding`, `dead`, `gone` and `portless` mean anything.
    `dead`: the host's agent has been silent for so long that it counts as dead, not as slow.
    `gone`: an operator said that the host is off. Nothing runs there and nothing comes from there; it is dead as well.
    `portless`: the server's ports were deleted, so nothing of them has to be bound, wired or removed any more; what
    they leave plugged is their hosts' agents' to collect.
    """

    reachable: bool = True
    dead: bool = False
    gone: bool = False
    domain: DomainState = DomainState.ABSENT
    job: bool = False
    transfer: TransferState = TransferState.NONE
    plugged: Plugged = Plugged.NONE
    binding: BindingView = BindingView.NONE
    portless: bool = False

    @property
    def bound(self) -> bool:
        """Every port's ACTIVE binding is on this host."""
        return self.portless or self.binding is BindingView.ACTIVE

    @property
    def has_all_bindings(self) -> bool:
        """Every port has a binding on this host, whether ACTIVE or not."""
        return self.portless or self.binding in {BindingView.ACTIVE, BindingView.INACTIVE}

    @property
    def unbound(self) -> bool:
        """No port has a binding on this host."""
        return self.portless or self.binding is BindingView.NONE

    @property
    def wired(self) -> bool:
        """Every port's VIF is plugged and wired here."""
        return self.portless or self.plugged is Plugged.ALL

    @property
    def unplugged(self) -> bool:
        """No port's VIF is plugged here."""
        return self.portless or self.plugged is Plugged.NONE

    @property
    def runs(self) -> bool:
        """The VM is this host's: it runs here, or a person paused it here."""
        return self.reachable and self.domain in {
            DomainState.RUNNING,
            DomainState.PAUSED,
            DomainState.POSTCOPY_DESTINATION,
        }

    @property
    def stopped(self) -> bool:
        """There is nothing of the VM here but, perhaps, its definition."""
        return self.reachable and self.domain in {
            DomainState.ABSENT,
            DomainState.SHUTOFF,
            DomainState.CRASHED,
        }

    @property
    def transferring(self) -> bool:
        """libvirt has a migration job here, or the agent is about to start or has not yet ended one."""
        return self.reachable and (self.job or self.transfer is TransferState.RUNNING)


@dataclass(frozen=True)
class Intent:
    """What the migration's row says is wanted.

    `overdue` says which time is up, once one is; `hurry`: then a transfer is not aborted but ended sooner.
    `failure` is why the migration was given up, once it was. `orders` counts how often the transfer was
    ordered, and is written before each order. `announced`: the destination has been told to announce the VM.
    `unwired`: the source, where the VM stays, could not wire it again, and that is written down. `options` are as a
    person wants them by now.
    """

    abort: bool = False
    failure: str | None = None
    orders: int = 0
    announced: bool = False
    overdue: str | None = None
    hurry: bool = False
    unwired: bool = False
    options: MigrationOptions = field(default_factory=MigrationOptions)


@dataclass(frozen=True)
class Observation:
    """Both hosts, the source looked at first, and what is wanted."""

    source: Side
    destination: Side
    intent: Intent = field(default_factory=Intent)


class Act(StrEnum):
    """The actions that there are. Each is idempotent."""

    WAIT = "wait"  # look again when something has changed
    BIND = "bind"  # bind all ports on the destination, INACTIVE
    PLUG = "plug"  # plug and wire all VIFs on one side
    TRANSFER = "transfer"  # order the source to start the live migration
    RECOVER = "recover"  # order the source to go on with a post-copy transfer that broke off
    ABORT_TRANSFER = "abort-transfer"
    ACTIVATE = "activate"  # switch all ports of the server to one side, in one transaction
    ANNOUNCE = "announce"  # the destination tells the network where the VM is now
    RESUME = "resume"  # run the VM again on the source, where a dead migration left it paused
    DISCARD = "discard"  # remove a domain that the migration left on one side
    UNPLUG = "unplug"
    UNBIND = "unbind"
    GIVE_UP = "give-up"  # write down why, so that every later decision rolls back
    FINISH = "finish"


class Outcome(StrEnum):
    """How a migration ends."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"  # the VM, with a host that is gone


@dataclass(frozen=True)
class Action:
    """The next thing to do, and why, in words for the timeline.

    `only_in` guards DISCARD: the agent refuses unless the domain is still in one of these states. The `role` of a
    FINISH of a lost VM is where the server is recorded from then on. `unplug` of an UNBIND orders the side's agent to
    unplug first, whatever it was seen to have: once nothing is bound there, nobody asks for its VIFs any more.
    """

    act: Act
    role: Role | None = None
    why: str = ""
    outcome: Outcome | None = None
    only_in: tuple[DomainState, ...] = ()
    unplug: bool = False
