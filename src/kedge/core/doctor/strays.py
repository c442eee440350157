"""VIFs and ports that belong to nothing that Kedge knows."""

from collections.abc import Iterator

from kedge.core.domain_xml.match import alias_of

from .census import BoundPort, Census, HostSeen
from .finding import Finding, Kind, Remedy, Repair, Severity
from .whereabouts import STOPPED


def vif_findings(census: Census) -> Iterator[Finding]:
    """VIFs that Kedge made and that neither a binding nor a running domain explains."""
    busy = {
        port.port.id
        for seen in census.servers
        if seen not in census.at_rest or seen.server.status == "BUILD"
        for port in seen.ports
    }
    for host in census.hosts:
        if not host.answers or host.explained is None or any(each.nics is None for each in host.domains):
            continue  # What is not known whole explains nothing away.
        for vif in host.plugged:
            known = (
                vif.port_id in host.explained or vif.port_id in busy or vif.port_id in _ports_of(census, host)
            )
            if known or _used(host, vif.port_id, vif.devices):
                continue
            yield Finding(
                Kind.VIF_UNEXPLAINED,
                Severity.WARNING,
                f"VIF of port {vif.port_id}",
                host.name,
                f"Kedge's VIF on {host.name} ({', '.join(vif.devices) or 'no device'}) is explained by no binding there"
                " and used by no domain. Its agent removes such things by itself; this one it has not.",
                Repair(Remedy.UNPLUG, port_id=vif.port_id, host=host.name),
            )


def _ports_of(census: Census, host: HostSeen) -> set[str]:
    """The ports of all servers that have a live domain on a host, whatever their bindings say."""
    live = {domain.uuid for domain in host.domains if domain.state not in STOPPED}
    return {port.port.id for seen in census.servers if seen.server.id in live for port in seen.ports}


def _used(host: HostSeen, port_id: str, devices: tuple[str, ...]) -> bool:
    """Whether an interface of a domain here bears the VIF's name."""
    names = {
        name
        for domain in host.domains
        for nic in domain.nics or ()
        for name in (nic.target_dev, nic.interfaceid, nic.alias)
    }
    return not names.isdisjoint({port_id, f"tap{port_id[:11]}", alias_of(port_id), *devices})


def port_findings(census: Census) -> Iterator[Finding]:
    """Ports that Kedge made for servers which it does not know."""
    for port in census.strays:
        yield _of_unknown(census, port)


def _of_unknown(census: Census, port: BoundPort) -> Finding:
    server_id = port.port.device_id
    held = [host.name for host in census.hosts for domain in host.domains if domain.uuid == server_id]
    if held:
        words = (
            f"{held[0]} has a domain of that id, so it seems to have been forgotten by accident:"
            " `kedge server adopt` takes it in again, once this port is deleted."
        )
    elif census.silent:
        words = f"Whether its domain is on {', '.join(census.silent)} can't be told; see to those first."
    else:
        words = "No host has a domain of that id. The port can be unbound and freed for another server, or deleted."
    free = not held and not census.silent
    return Finding(
        Kind.PORT_OF_UNKNOWN_SERVER,
        Severity.WARNING,
        f"port {port.port.id}",
        port.active.host if port.active else "",
        f"It is a NIC of server {server_id}, which Kedge does not know. {words}",
        Repair(Remedy.FREE_PORT, server_id=server_id, port_id=port.port.id) if free else None,
    )
