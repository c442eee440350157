"""Neutron's JSON and Kedge's model."""

from collections.abc import Iterable, Mapping
from typing import Any

from kedge.core.binding import bind_port
from kedge.model.errors import BadRequest, CannotBind
from kedge.model.host import Host, HostBackend
from kedge.model.network import (
    Binding,
    BindingStatus,
    Network,
    NetworkType,
    Port,
    PortStatus,
    Segment,
    VifType,
)

from .calls import Json, Neutron

# Neutron's agents by type: Kedge's mechanism driver. In this order Kedge predicts where a host has several.
_DRIVERS = {
    "Open vSwitch agent": "openvswitch",
    "Linux bridge agent": "linuxbridge",
    "Macvtap agent": "macvtap",
}
_STATUSES = {status.value: status for status in PortStatus}
_VIF_TYPES = {kind.value: kind for kind in VifType}


def network_of(found: Json, cloud: str) -> Network:
    """A network. Raises BadRequest if it is of a kind that Kedge can't carry to another host."""
    name = f"Network {found.get('name') or found['id']} of cloud {cloud!r}"
    if found.get("segments"):
        raise BadRequest(f"{name} has several segments; Kedge carries networks of one segment.")
    kind = found.get("provider:network_type")
    if kind is None:
        raise BadRequest(f"{name} does not show its provider:network_type; Kedge's user must be an admin.")
    if kind not in set(NetworkType):
        raise BadRequest(f"{name} is of type {kind}; Kedge carries networks of type flat and vlan.")
    segment = Segment(
        NetworkType(kind), found["provider:physical_network"], found.get("provider:segmentation_id")
    )
    return Network(found["id"], found["name"], segment, found.get("mtu") or 1500)


def usable_networks(found: Iterable[Json], cloud: str) -> list[Network]:
    """Those networks that Kedge can carry."""
    networks = []
    for each in found:
        try:
            networks.append(network_of(each, cloud))
        except BadRequest:
            continue
    return networks


def port_of(found: Json) -> Port:
    """A port. Its status is what Neutron's own agents make of it."""
    return Port(
        id=found["id"],
        network_id=found["network_id"],
        mac_address=found["mac_address"],
        name=found.get("name", ""),
        device_id=found.get("device_id", ""),
        device_owner=found.get("device_owner", ""),
        fixed_ips=tuple(each["ip_address"] for each in found.get("fixed_ips", ())),
        status=_STATUSES.get(found.get("status", ""), PortStatus.DOWN),
        vnic_type=found.get("binding:vnic_type", "normal"),
    )


def binding_of(port_id: str, row: Json) -> Binding:
    """A binding as Neutron has it. A vif_type that Kedge does not know raises BadRequest."""
    kind = row["vif_type"]
    if kind not in _VIF_TYPES:
        raise BadRequest(
            f"Port {port_id} is bound on {row['host']} with vif_type {kind}, which Kedge does not know."
        )
    return Binding(
        port_id=port_id,
        host=row["host"],
        status=BindingStatus(row["status"]),
        vif_type=_VIF_TYPES[kind],
        vif_details=plain_details(row.get("vif_details") or {}),
        vnic_type=row.get("vnic_type", "normal"),
        profile=dict(row.get("profile") or {}),
    )


def row_of_port(found: Json) -> Json:
    """The one binding that a port shows of itself, in the form of the bindings API."""
    return {
        "host": found.get("binding:host_id") or "",
        "vif_type": found.get("binding:vif_type", VifType.UNBOUND.value),
        "vif_details": found.get("binding:vif_details") or {},
        "vnic_type": found.get("binding:vnic_type", "normal"),
        "profile": found.get("binding:profile") or {},
        "status": BindingStatus.ACTIVE.value,
    }


def plain_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """`vif_details` without what a port shows there on top of what its binding has."""
    return {key: value for key, value in details.items() if key != "bound_drivers"}


def predicted(neutron: Neutron, port: Port, network: Network, host: str) -> tuple[VifType, Mapping[str, Any]]:
    """How Neutron would bind a port: a prediction, as Neutron has no way to ask without storing.

    It is made from what Neutron's own agents say of the host, with Kedge's mechanism drivers; those of Neutron
    may be configured otherwise. Raises CannotBind with every driver's reason.
    """
    agents = neutron.get("/agents", host=host)["agents"]
    alive = [agent for agent in agents if agent.get("alive") and agent.get("admin_state_up")]
    if not alive:
        had = "dead or disabled" if agents else "none"
        raise CannotBind(
            f"Port {port.id} can't be bound on host {host}",
            [f"Neutron needs a live L2 agent on {host} and has {had}; start it, or choose another host"],
        )
    bound = bind_port(port, network, Host(host, backends=backends_of(alive)))
    return bound.vif_type, dict(bound.vif_details)


def backends_of(agents: Iterable[Json]) -> tuple[HostBackend, ...]:
    """What Neutron's L2 agents of a host are configured to do."""
    by_driver = {_DRIVERS[agent["agent_type"]]: agent for agent in agents if agent["agent_type"] in _DRIVERS}
    return tuple(
        _backend(driver, by_driver[driver].get("configurations") or {})
        for driver in _DRIVERS.values()
        if driver in by_driver
    )


def _backend(driver: str, configured: Json) -> HostBackend:
    if driver != "openvswitch":
        return HostBackend(driver, dict(configured.get("interface_mappings") or {}))
    return HostBackend(
        driver,
        dict(configured.get("bridge_mappings") or {}),
        integration_bridge=configured.get("integration_bridge") or "br-int",
        datapath_type=configured.get("datapath_type") or "system",
        hybrid_plug=bool(configured.get("ovs_hybrid_plug")),
    )
