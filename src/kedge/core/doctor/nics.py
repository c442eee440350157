"""What is wrong between a running domain's NICs, its server's ports, and their VIFs."""

from collections.abc import Iterator

from kedge.core.domain_xml import Attachment
from kedge.core.domain_xml.match import alias_of
from kedge.model.domain import DomainState, VifState

from .census import BoundPort
from .finding import Finding, Kind, Remedy, Repair, Severity
from .whereabouts import UNBOUND, Place, Whereabouts


def nic_findings(server: Whereabouts) -> Iterator[Finding]:
    """What is wrong with the NICs and VIFs of a server that runs."""
    home = server.home
    if home is None or home.domain.nics is None:
        return
    ports, nics = list(server.ports), list(home.domain.nics)
    for port in server.ports:
        nic = _same_mac(port, nics)
        if nic is not None:
            ports.remove(port)
            nics.remove(nic)
            yield from _vif(server, home, port, nic)
    for port in list(ports):
        nic = next((each for each in nics if _named_after(port, each)), None)
        if nic is not None:
            ports.remove(port)
            nics.remove(nic)
            yield _mac_differs(server, home, port, nic)
    for nic in nics:
        yield _without_port(server, home, nic)
    for port in ports:
        yield _without_nic(server, home, port)


def _same_mac(port: BoundPort, nics: list[Attachment]) -> Attachment | None:
    """The NIC with the port's MAC; where several have it, the one that bears the port's name."""
    same = [nic for nic in nics if nic.mac == port.port.mac_address]
    return next((nic for nic in same if _named_after(port, nic)), same[0] if same else None)


def _tap(port: BoundPort) -> str:
    return f"tap{port.port.id[:11]}"


def _named_after(port: BoundPort, nic: Attachment) -> bool:
    own = {nic.alias, nic.target_dev, nic.interfaceid}
    return not own.isdisjoint({alias_of(port.port.id), _tap(port), port.port.id})


def _vif(server: Whereabouts, home: Place, port: BoundPort, nic: Attachment) -> Iterator[Finding]:
    binding = port.on(home.name)
    if binding is None or binding.vif_type in UNBOUND:
        return  # There is no VIF to speak of; that the binding is missing is another finding.
    state = home.domain.vifs.get(port.port.id)
    if state is None or state is VifState.UP or home.state is DomainState.POSTCOPY_DESTINATION:
        return
    made_here = nic.target_dev == _tap(port)
    what = "is not there" if state is VifState.ABSENT else "is not wired"
    yield Finding(
        Kind.VIF_NOT_WIRED,
        Severity.ERROR,
        f"port {port.port.id} of {server.name}",
        home.name,
        f"The VM runs on {home.name} and the VIF of NIC {port.port.mac_address} {what}: it has no network there. "
        + (
            "It can be plugged again."
            if made_here
            else f"Its device {nic.target_dev or ''} was not made by Kedge; attach it again by hand."
        ),
        Repair(Remedy.PLUG, server.server.id, port.port.id, home.name) if made_here else None,
    )


def _mac_differs(server: Whereabouts, home: Place, port: BoundPort, nic: Attachment) -> Finding:
    return Finding(
        Kind.MAC_DIFFERS,
        Severity.ERROR,
        f"port {port.port.id} of {server.name}",
        home.name,
        f"The port's MAC is {port.port.mac_address}, and its NIC on {home.name} ({nic.target_dev or nic.kind}) has "
        f"{nic.mac or 'none'}. The server can't be migrated so: change the one of the two that is wrong.",
    )


def _without_port(server: Whereabouts, home: Place, nic: Attachment) -> Finding:
    return Finding(
        Kind.NIC_WITHOUT_PORT,
        Severity.ERROR,
        f"NIC {nic.mac or nic.target_dev or nic.kind} of {server.name}",
        home.name,
        f"The VM has a NIC {nic.mac or ''} on {home.name} that is no port of the server, so it can't be migrated. Make"
        " a port with this MAC for it, or detach the NIC.",
    )


def _without_nic(server: Whereabouts, home: Place, port: BoundPort) -> Finding:
    return Finding(
        Kind.PORT_WITHOUT_NIC,
        Severity.ERROR,
        f"port {port.port.id} of {server.name}",
        home.name,
        f"The VM on {home.name} has no NIC with the port's MAC {port.port.mac_address}, so it can't be migrated. Attach"
        " one, or delete the port.",
    )
