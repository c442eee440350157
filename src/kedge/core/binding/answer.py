"""What a mechanism driver answers when it is asked to bind a port to a host's backend."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kedge.model.host import HostBackend
from kedge.model.network import Network, Port, VifType


@dataclass(frozen=True)
class Bound:
    """The port can be attached so. `driver` is the name of the mechanism driver that says it."""

    driver: str
    vif_type: VifType
    vif_details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """The port can't be attached by this backend; `reason` says why and what would help."""

    reason: str


class Driver(Protocol):
    """A mechanism driver: a pure function, registered in the entry-point group `kedge.binding` by its name."""

    def __call__(self, port: Port, network: Network, backend: HostBackend) -> Bound | Refused:
        """Say how `backend` attaches `port` to `network`, or why it can't."""
        ...
