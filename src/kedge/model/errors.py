"""The errors that Kedge raises, as one tree.

    KedgeError
    ├── BadRequest          the caller asked for something that can't be; says what to change      (400)
    ├── Forbidden           the caller may not do that                                             (403)
    ├── NotFound            there is no such thing                                                 (404)
    ├── Conflict            the thing is in a state, or has a rival, that forbids it now           (409)
    │   └── StaleEpoch      the order comes from a conductor that was replaced
    ├── CannotBind          no mechanism driver binds the port on that host; carries every reason  (409)
    ├── CannotMigrate       refused before anything was touched; carries every reason              (409)
    ├── Unreachable         a host's agent did not answer                                          (503)
    └── HostFailure         a host could not do what it was told: libvirt, OVS or the kernel said no (502)

Every message names what is wrong and what the caller can do about it.
"""

from collections.abc import Sequence


class KedgeError(Exception):
    """Anything that Kedge can name; `str(error)` is a sentence for a person."""

    status = 500


class BadRequest(KedgeError):
    """What was asked for can't be; the message says what to change."""

    status = 400


class Forbidden(KedgeError):
    """The caller may not do that."""

    status = 403


class NotFound(KedgeError):
    """There is no such thing."""

    status = 404


class Conflict(KedgeError):
    """The thing is in a state, or has a rival, that forbids the request now."""

    status = 409


class StaleEpoch(Conflict):
    """The order comes from a conductor that another one has replaced."""


class _WithReasons(KedgeError):
    status = 409

    def __init__(self, summary: str, reasons: Sequence[str] = ()) -> None:
        super().__init__(summary if not reasons else summary + ": " + "; ".join(reasons))
        self.summary = summary
        self.reasons = tuple(reasons)


class CannotBind(_WithReasons):
    """No mechanism driver binds the port on that host; `reasons` has one line for each that tried."""


class CannotMigrate(_WithReasons):
    """The migration was refused before anything was touched; `reasons` has one line for each obstacle."""


class Unreachable(KedgeError):
    """A host's agent did not answer."""

    status = 503


class HostFailure(KedgeError):
    """A host could not do what it was told: libvirt, Open vSwitch or the kernel refused."""

    status = 502
