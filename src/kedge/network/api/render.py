"""From rows to the JSON of Neutron's API; the order of keys is Neutron's too."""

from datetime import datetime
from typing import Any

from kedge.model.host import HostBackend
from kedge.model.network import Binding, BindingStatus, PortStatus
from kedge.store.tables import AgentRow, BindingRow, HostRow, NetworkRow, PortRow, SubnetPoolRow, SubnetRow

from ..local import subnets, views

Json = dict[str, Any]

TRUSTED = "trusted"
"""An attribute of ports that Kedge keeps in the profile, where Nova looks for it."""

# mechanism driver: (agent_type, binary), as Neutron's agents name themselves
_AGENTS = {
    "openvswitch": ("Open vSwitch agent", "neutron-openvswitch-agent"),
    "linuxbridge": ("Linux bridge agent", "neutron-linuxbridge-agent"),
    "macvtap": ("Macvtap agent", "neutron-macvtap-agent"),
}


def network(row: NetworkRow) -> Json:
    """A network."""
    return {
        "id": row.id,
        "name": row.name,
        "tenant_id": row.project_id,
        "project_id": row.project_id,
        "admin_state_up": row.admin_state_up,
        "mtu": row.mtu,
        "status": "ACTIVE",
        "subnets": [subnet.id for subnet in row.subnets],
        "shared": row.shared,
        "router:external": False,
        "provider:network_type": row.network_type,
        "provider:physical_network": row.physical_network,
        "provider:segmentation_id": row.segmentation_id,
        "availability_zone_hints": [],
        "availability_zones": [],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "description": row.description,
        "tags": row.tags,
        **_standard(row),
    }


def subnet(row: SubnetRow) -> Json:
    """A subnet."""
    ranges = subnets.ranges(row)
    return {
        "id": row.id,
        "name": row.name,
        "project_id": row.project_id,
        "network_id": row.network_id,
        "ip_version": row.ip_version,
        "subnetpool_id": row.subnetpool_id,
        "enable_dhcp": row.enable_dhcp,
        "ipv6_ra_mode": row.ipv6_ra_mode,
        "ipv6_address_mode": row.ipv6_address_mode,
        "gateway_ip": row.gateway_ip,
        "cidr": row.cidr,
        "allocation_pools": [{"start": first, "end": last} for first, last in ranges],
        "host_routes": row.host_routes,
        "dns_nameservers": row.dns_nameservers,
        "description": row.description,
        "router:external": False,
        "service_types": [],
        "tags": row.tags,
        **_standard(row),
        "tenant_id": row.project_id,
    }


def subnetpool(row: SubnetPoolRow) -> Json:
    """A subnet pool; the lengths of prefixes are text, as in Neutron."""
    return {
        "id": row.id,
        "name": row.name,
        "project_id": row.project_id,
        "default_prefixlen": str(row.default_prefixlen),
        "min_prefixlen": str(row.min_prefixlen),
        "max_prefixlen": str(row.max_prefixlen),
        "is_default": row.is_default,
        "shared": row.shared,
        "prefixes": row.prefixes,
        "ip_version": row.ip_version,
        "default_quota": row.default_quota,
        "address_scope_id": None,
        "description": row.description,
        "tags": row.tags,
        **_standard(row),
        "tenant_id": row.project_id,
    }


def port(row: PortRow) -> Json:
    """A port with its ACTIVE binding; one without is shown as unbound."""
    return {
        "id": row.id,
        "name": row.name,
        "network_id": row.network_id,
        "project_id": row.project_id,
        "mac_address": row.mac_address,
        "admin_state_up": row.admin_state_up,
        "status": views.status(row).value,
        "device_id": row.device_id,
        "device_owner": row.device_owner,
        "fixed_ips": [{"subnet_id": each.subnet_id, "ip_address": each.ip_address} for each in row.addresses],
        "allowed_address_pairs": row.allowed_address_pairs,
        "extra_dhcp_opts": [],
        "security_groups": [],
        "description": row.description,
        **_port_binding(row),
        "tags": row.tags,
        **_standard(row),
        "tenant_id": row.project_id,
    }


def _port_binding(row: PortRow) -> Json:
    chosen = views.active(row) or _unbound(row, BindingStatus.ACTIVE, row.profile)
    drivers = {"bound_drivers": {"0": chosen.driver}} if chosen.driver else {}
    return {
        "binding:vnic_type": chosen.vnic_type,
        "binding:profile": chosen.profile,
        "binding:host_id": chosen.host,
        "binding:vif_type": chosen.vif_type,
        "binding:vif_details": {**chosen.vif_details, **drivers},
    }


def bindings(row: PortRow) -> list[Json]:
    """All bindings of a port.

    As in Neutron, a port that is bound nowhere has an ACTIVE one without a host, which the first activation leaves
    INACTIVE beside what it made ACTIVE.
    """
    shown = [binding(each) for each in row.bindings]
    if views.active(row) is None:
        profile = {name: value for name, value in row.profile.items() if name != TRUSTED}
        return [binding(_unbound(row, BindingStatus.ACTIVE, profile)), *shown]
    return [*([binding(_unbound(row, BindingStatus.INACTIVE, {}))] if row.was_unbound else []), *shown]


def _unbound(row: PortRow, status: BindingStatus, profile: Json) -> BindingRow:
    return BindingRow(
        host="",
        status=status.value,
        vif_type="unbound",
        vif_details={},
        vnic_type=row.vnic_type,
        profile=profile,
        vif_state="absent",
    )


def binding(row: BindingRow) -> Json:
    """A port binding, in Neutron's order, and then what Kedge adds."""
    return {
        "host": row.host,
        "vif_type": row.vif_type,
        "vnic_type": row.vnic_type,
        "status": row.status,
        "profile": row.profile,
        "vif_details": row.vif_details,
        "migration_id": row.migration_id,
        "vif_status": views.vif_status(row).value,
    }


def preview(would_be: Binding, present: BindingRow | None) -> Json:
    """A binding that is not made, in the form of one that is."""
    return {
        "host": would_be.host,
        "vif_type": would_be.vif_type.value,
        "vnic_type": would_be.vnic_type,
        "status": would_be.status.value,
        "profile": dict(would_be.profile),
        "vif_details": dict(would_be.vif_details),
        "migration_id": present.migration_id if present else None,
        "vif_status": (views.vif_status(present) if present else PortStatus.DOWN).value,
    }


def agent(row: AgentRow, host: HostRow, alive: bool) -> Json:
    """An agent. Kedge has one process per host; each of its backends is shown as the agent Neutron would have."""
    agent_type, binary = _AGENTS.get(row.driver, (f"{row.driver} agent", f"kedge-{row.driver}-agent"))
    return {
        "id": row.id,
        "agent_type": agent_type,
        "binary": binary,
        "topic": "N/A",
        "host": row.host,
        "admin_state_up": row.admin_state_up,
        "availability_zone": None,
        "created_at": _plain_time(row.created_at),
        "started_at": _plain_time(row.started_at),
        "heartbeat_timestamp": _plain_time(host.last_seen),
        "description": row.description,
        "resources_synced": None,
        "alive": alive,
        "configurations": _configurations(HostBackend(**row.backend)),
    }


def _configurations(backend: HostBackend) -> Json:
    if backend.driver != "openvswitch":
        return {"interface_mappings": dict(backend.mappings)}
    return {
        "bridge_mappings": dict(backend.mappings),
        "integration_bridge": backend.integration_bridge,
        "datapath_type": backend.datapath_type,
        "ovs_hybrid_plug": backend.hybrid_plug,
    }


def _standard(row: NetworkRow | SubnetRow | SubnetPoolRow | PortRow) -> Json:
    return {
        "created_at": f"{row.created_at:%Y-%m-%dT%H:%M:%SZ}",
        "updated_at": f"{row.updated_at:%Y-%m-%dT%H:%M:%SZ}",
        "revision_number": row.revision_number,
    }


def _plain_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
