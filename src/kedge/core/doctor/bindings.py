"""What is wrong with the bindings of a server's ports."""

from collections.abc import Iterator, Mapping
from typing import Any

from kedge.core.binding import Bound, drivers
from kedge.model.domain import DomainState
from kedge.model.host import Host, HostBackend
from kedge.model.network import Binding, BindingStatus, VifType

from .census import BoundPort
from .finding import Finding, Kind, Remedy, Repair, Severity
from .whereabouts import RUNS, UNBOUND, Whereabouts

_DRIVERS = {VifType.OVS: "openvswitch", VifType.BRIDGE: "linuxbridge", VifType.MACVTAP: "macvtap"}

_TELLING = {
    VifType.OVS: ("bridge_name", "ovs_hybrid_plug", "datapath_type"),
    VifType.BRIDGE: ("bridge_name",),
    VifType.MACVTAP: ("physical_interface", "macvtap_source"),
}
"""What of a binding's details says where the port is attached."""


def binding_findings(server: Whereabouts) -> Iterator[Finding]:
    """What is wrong with the bindings of this server's ports."""
    for port in server.ports:
        yield from _active(server, port)
        for binding in port.bindings:
            if binding.status is BindingStatus.INACTIVE:
                yield from _inactive(server, port, binding)


def _subject(server: Whereabouts, port: BoundPort) -> str:
    return f"port {port.port.id} of {server.name}"


def _active(server: Whereabouts, port: BoundPort) -> Iterator[Finding]:
    binding, seat = port.active, server.seat
    if seat is None:
        return
    subject, runs = _subject(server, port), server.home is not None
    if binding is None:
        if runs:
            yield Finding(
                Kind.NO_ACTIVE_BINDING,
                Severity.ERROR,
                subject,
                seat,
                f"The VM runs on {seat} and the port has no ACTIVE binding, so nothing keeps its VIF there.",
                Repair(Remedy.BIND, server.server.id, host=seat),
            )
    elif binding.host != seat:
        yield _elsewhere(server, binding, subject, seat)
    elif binding.vif_type in UNBOUND:
        yield Finding(
            Kind.BINDING_FAILED,
            Severity.ERROR,
            subject,
            seat,
            f"Its ACTIVE binding on {seat} is {binding.vif_type.value}: it says nothing of how the port is attached."
            " It is bound anew if a network backend of the host can.",
            Repair(Remedy.BIND, server.server.id, host=seat),
        )
    else:
        yield from _against_backend(server, port, binding)


def _elsewhere(server: Whereabouts, binding: Binding, subject: str, seat: str) -> Finding:
    home, other = server.home, binding.host
    known = server.census.host(other)
    runs = home is not None and home.state is DomainState.RUNNING
    # What decides over both hosts needs the answer of both; otherwise only the binding is put right.
    settle = runs and server.can_be_settled_with(other)
    repair = (
        Repair(Remedy.SETTLE, server.server.id, host=other, destination=seat)
        if settle
        else Repair(Remedy.BIND, server.server.id, host=seat)
    )
    if known is None:
        return Finding(
            Kind.BINDING_ON_UNKNOWN_HOST,
            Severity.ERROR,
            subject,
            other,
            f"Its ACTIVE binding is on {other}, a host that never reported. It belongs to {seat}, where the server is.",
            repair,
        )
    verb = "runs" if home is not None else "is"
    return Finding(
        Kind.BOUND_ELSEWHERE,
        Severity.ERROR,
        subject,
        other,
        f"Its ACTIVE binding is on {other}, and the VM {verb} on {seat}. It belongs to {seat}.",
        repair,
    )


def _inactive(server: Whereabouts, port: BoundPort, binding: Binding) -> Iterator[Finding]:
    """No migration is under way, so whatever is bound ahead or left behind is of use to nobody."""
    host = server.census.host(binding.host)
    if binding.host == server.seat:
        return  # It is to be the ACTIVE one; that it is not has been said.
    if host is None:
        kind, of = Kind.BINDING_ON_UNKNOWN_HOST, "on a host that never reported"
    elif binding.migration_id is None:
        kind, of = Kind.BINDING_OF_NO_MIGRATION, "that belongs to no migration"
    elif binding.migration_id in server.census.finished:
        kind, of = Kind.BINDING_OF_ENDED_MIGRATION, f"of migration {binding.migration_id}, which has ended,"
    else:
        kind, of = (
            Kind.BINDING_OF_ENDED_MIGRATION,
            f"of migration {binding.migration_id}, which nobody knows,",
        )
    repair = _cleaning(server, binding.host)
    wait = "" if repair else " It can go once it is known where the VM is and that host answers."
    yield Finding(
        kind,
        Severity.WARNING,
        _subject(server, port),
        binding.host,
        f"An INACTIVE binding {of} is left on {binding.host}; it keeps a VIF plugged there that nobody needs.{wait}"
        if host is not None
        else f"An INACTIVE binding {of}, {binding.host}, is left.",
        repair,
    )


def _cleaning(server: Whereabouts, host: str) -> Repair | None:
    """How a host on which the server is not is cleaned of its bindings."""
    seat = server.seat
    if seat is None or seat == host:
        return None
    if server.is_gone(host) or server.home is None:
        return Repair(Remedy.UNBIND, server.server.id, host=host)
    if server.home.state is not DomainState.RUNNING or not server.can_be_settled_with(host):
        return None
    if server.bound_on(seat):
        return Repair(Remedy.SETTLE, server.server.id, host=seat, destination=host)
    return Repair(Remedy.SETTLE, server.server.id, host=host, destination=seat)


def _against_backend(server: Whereabouts, port: BoundPort, binding: Binding) -> Iterator[Finding]:
    """Compares a binding with what its host's backend would say now."""
    seen = server.census.host(binding.host)
    if seen is None or not seen.host.backends:
        return
    where = port.network.segment.physical_network
    subject, name = _subject(server, port), port.network.name or port.network.id
    if not any(where in backend.mappings for backend in seen.host.backends):
        yield Finding(
            Kind.NETWORK_UNMAPPED,
            Severity.ERROR,
            subject,
            seen.name,
            f"Network {name} is on {where}, which the agent of {seen.name} does not map to anything any more. Add it "
            "to the agent's mappings and restart the agent, or move the server to a host that has it.",
        )
        return
    change = _change(port, binding, seen.host)
    if change is None:
        return
    running = server.home is not None and server.home.state in RUNS
    yield Finding(
        Kind.BINDING_OUTDATED,
        Severity.WARNING,
        subject,
        seen.name,
        f"{change}: the configuration of {seen.name} was changed after the port was bound. "
        + (
            "The VM keeps what it has; move it to another host and back to give it the new one, or undo the change."
            if running
            else "Move the server to another host and back, or undo the change."
        ),
    )


def _change(port: BoundPort, binding: Binding, host: Host) -> str | None:
    """What a binding says that its host's backend would not say now; None if nothing differs."""
    driver = _DRIVERS.get(binding.vif_type)
    backend = next((each for each in host.backends if each.driver == driver), None)
    if driver is None:
        return None
    if backend is None:
        return f"The binding is of type {binding.vif_type.value}, and {host.name} has no {driver} backend any more"
    if _as_found(binding, backend):
        return None
    answer = drivers()[driver](port.port, port.network, backend)
    if not isinstance(answer, Bound):
        return f"The binding of type {binding.vif_type.value} could not be made any more ({answer.reason})"
    return _difference(binding.vif_type, binding.vif_details, answer.vif_details)


def _as_found(binding: Binding, backend: HostBackend) -> bool:
    """The NIC of an adopted server is attached as it was found, which no backend would choose."""
    details = binding.vif_details
    if binding.vif_type is VifType.OVS:
        return not details.get("ovs_create_tap", True) and details.get("bridge_name") in set(
            backend.mappings.values()
        )
    return binding.vif_type is VifType.BRIDGE and details.get("port_filter") is False


def _difference(vif_type: VifType, has: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    for key in _TELLING[vif_type]:
        if key in has and has[key] != now.get(key):
            return f"Its binding says {key} {has[key]!r}, and now it would be {now.get(key)!r}"
    return None
