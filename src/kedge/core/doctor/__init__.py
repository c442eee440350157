"""The doctor: from what database, bindings, hosts and domains say, to what is wrong where. Pure.

`examine` says of one look what does not fit together. What a report on its way or the end of a migration explains
looks wrong once and not twice: so two looks are taken, some seconds apart, and `persisting` keeps what both show.
"""

from collections.abc import Sequence

from .bindings import binding_findings
from .census import BoundPort, Census, DomainSeen, HostSeen, ServerSeen, Unfinished
from .finding import Finding, Kind, Remedy, Repair, Severity
from .hosts import event_findings, host_findings
from .nics import nic_findings
from .servers import migration_findings, place_findings
from .strays import port_findings, vif_findings
from .whereabouts import Whereabouts

_ORDER = list(Severity)


def examine(census: Census) -> list[Finding]:
    """What is wrong, the worst first."""
    found = [*host_findings(census), *migration_findings(census), *event_findings(census)]
    for seen in census.at_rest:
        server = Whereabouts(census, seen)
        found += place_findings(server)
        if server.moved_by_others or seen.server.status == "BUILD":
            continue  # Whatever else there is to say of it follows from that.
        found += binding_findings(server)
        found += nic_findings(server)
    found += vif_findings(census)
    found += port_findings(census)
    return sorted(found, key=lambda each: _ORDER.index(each.severity))


def persisting(first: Sequence[Finding], second: Sequence[Finding]) -> list[Finding]:
    """What both looks show, in the words of the second."""
    before = {each.identity for each in first}
    return [each for each in second if each.identity in before]


__all__ = [
    "BoundPort",
    "Census",
    "DomainSeen",
    "Finding",
    "HostSeen",
    "Kind",
    "Remedy",
    "Repair",
    "ServerSeen",
    "Severity",
    "Unfinished",
    "examine",
    "persisting",
]
