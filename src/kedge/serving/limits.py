"""How much of this process the callers of one listener may take, and how its descriptors are shared out.

All limits hold in each process: several workers serve as many times as much, and each guards its own descriptors.
"""

import resource
from collections.abc import Sequence
from dataclasses import field, replace
from typing import Annotated, TypeVar

import structlog
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(extra="forbid")
_LEAST = 4
"""So many connections each listener has, however few descriptors there are."""

_ENOUGH = 1 << 20
"""Nobody needs more descriptors, and where a system allows billions, asking for them costs."""

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
_MIB = 1 << 20

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, config=_STRICT)
class Limits:
    """The limits of a listener.

    Attributes:
        connections: in all.
        connections_per_peer: of one IPv4 address, or one /64 of IPv6; never more than half of all.
        head_bytes: request line and headers.
        body_bytes: of a request, as it comes over the wire.
        handshake_s: from the connection to the end of the TLS handshake.
        head_s: from the connection, or a later request's first byte, to the end of the head.
        body_s: from there to the end of the body.
        idle_s: between an answer and the next request.
        answer_s: a caller takes nothing of its answer.
    """

    connections: Count = 1024
    connections_per_peer: Count = 256
    head_bytes: Annotated[int, Field(ge=1024, le=_MIB)] = 64 << 10
    body_bytes: Annotated[int, Field(ge=1024, le=64 * _MIB)] = _MIB
    handshake_s: Seconds = 10.0
    head_s: Seconds = 10.0
    body_s: Seconds = 60.0
    idle_s: Seconds = 60.0
    answer_s: Seconds = 60.0


@dataclass(frozen=True, config=_STRICT)
class ClientsLimits(Limits):
    """Of the control plane's listener for clients."""


@dataclass(frozen=True, config=_STRICT)
class AgentsLimits(Limits):
    """Of the control plane's listener for agents: one has a connection or two, and its report names all its domains."""

    connections: Count = 4096
    connections_per_peer: Count = 64
    body_bytes: Annotated[int, Field(ge=1024, le=64 * _MIB)] = 4 * _MIB


@dataclass(frozen=True, config=_STRICT)
class SocketLimits(Limits):
    """Of the Unix socket, which only root can open: all of them are one peer's."""

    connections: Count = 128
    connections_per_peer: Count = 128


@dataclass(frozen=True, config=_STRICT)
class AgentLimits(Limits):
    """Of an agent's own listener, which control planes call: each of their processes has up to 64 connections."""

    body_bytes: Annotated[int, Field(ge=1024, le=64 * _MIB)] = 4 * _MIB


@dataclass(frozen=True, config=_STRICT)
class ListenersLimits:
    """The limits of the control plane's listeners, by their names in the configuration."""

    clients: ClientsLimits = field(default_factory=ClientsLimits)
    agents: AgentsLimits = field(default_factory=AgentsLimits)
    socket: SocketLimits = field(default_factory=SocketLimits)


L = TypeVar("L", bound=Limits)


def fitted(wanted: Sequence[L]) -> list[L]:
    """The limits of all listeners of a process, lowered where the system has not descriptors enough for all of them.

    A third of the descriptors is kept for the process's own files and connections. What is left is shared out in
    proportion, so that no listener's callers can take the descriptors of another's. Raises this process's soft limit
    of descriptors to its hard one.
    """
    descriptors = _raise_descriptors()
    connections = shares([each.connections for each in wanted], descriptors - descriptors // 3)
    if connections != [each.connections for each in wanted]:
        _log.warning(
            "fewer connections are served than configured, for want of file descriptors;"
            " allow more (LimitNOFILE= of systemd, ulimit -Hn)",
            descriptors=descriptors,
            connections=connections,
        )
    return [replace(limits, connections=share) for limits, share in zip(wanted, connections, strict=True)]


def shares(wanted: Sequence[int], there_are: int) -> list[int]:
    """What each gets of what there is: what it wants, or else its part in proportion. Pure."""
    in_all = sum(wanted)
    if in_all <= there_are:
        return list(wanted)
    return [min(each, max(_LEAST, each * there_are // in_all)) for each in wanted]


def _raise_descriptors() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < possible:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
        return possible
    return _ENOUGH if soft == resource.RLIM_INFINITY else soft
