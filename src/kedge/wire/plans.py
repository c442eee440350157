"""What a plan of a migration asks of both hosts: one question to each."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.model.domain import DomainState
from kedge.model.host_facts import HostFacts
from kedge.model.network import Vif


@dataclass(frozen=True)
class DepartureRequest:
    """Asks a host for a `Departure` of a server. `vifs` are the server's there, `libvirt_uri` is the destination's."""

    vifs: tuple[Vif, ...] = ()
    libvirt_uri: str = ""


@dataclass(frozen=True)
class Departure:
    """A server where it is, and what its host has that it uses.

    `xml` is the text that migrates, and `live_xml` how the domain runs; both are empty if there is no domain. `job`:
    libvirt migrates it already. `macs` has the MACs that the guest sends as, by port. `trouble` is why the `facts`
    could not be told, if they could not. `graphics_address` is as in `HostReport`.
    """

    domain: DomainState
    job: bool = False
    xml: str = ""
    live_xml: str = ""
    macs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facts: HostFacts = field(default_factory=HostFacts)
    trouble: str = ""
    graphics_address: str = ""


@dataclass(frozen=True)
class Arrival:
    """What a host has of a server's UUID, and of what the server needs; the request for it is a `FactsRequest`."""

    domain: DomainState
    facts: HostFacts = field(default_factory=HostFacts)
    trouble: str = ""
    graphics_address: str = ""


__all__ = ["Arrival", "Departure", "DepartureRequest"]
