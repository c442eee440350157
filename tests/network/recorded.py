"""What Neutron 29 was seen to answer, and how an answer is held against it."""

from typing import Any

# The keys, in their order, and the values as recorded; Kedge has no security groups.
RECORDED_NETWORK = {
    "id": ...,
    "name": "sample-vlan100",
    "tenant_id": "p1",
    "project_id": "p1",
    "admin_state_up": True,
    "mtu": 1500,
    "status": "ACTIVE",
    "subnets": [],
    "shared": False,
    "router:external": False,
    "provider:network_type": "vlan",
    "provider:physical_network": "physnet1",
    "provider:segmentation_id": 100,
    "availability_zone_hints": [],
    "availability_zones": [],
    "ipv4_address_scope": None,
    "ipv6_address_scope": None,
    "description": "",
    "tags": [],
    "created_at": "2026-11-23T12:00:00Z",
    "updated_at": "2026-11-23T12:00:00Z",
    "revision_number": 1,
}
RECORDED_SUBNET = {
    "id": ...,
    "name": "",
    "project_id": "p1",
    "network_id": ...,
    "ip_version": 4,
    "subnetpool_id": None,
    "enable_dhcp": False,
    "ipv6_ra_mode": None,
    "ipv6_address_mode": None,
    "gateway_ip": "10.100.0.1",
    "cidr": "10.100.0.0/16",
    "allocation_pools": [{"start": "10.100.0.2", "end": "10.100.255.254"}],
    "host_routes": [],
    "dns_nameservers": [],
    "description": "",
    "router:external": False,
    "service_types": [],
    "tags": [],
    "created_at": "2026-11-23T12:00:00Z",
    "updated_at": "2026-11-23T12:00:00Z",
    "revision_number": 0,
    "tenant_id": "p1",
}
OVS_DETAILS = {
    "connectivity": "l2",
    "port_filter": True,
    "ovs_hybrid_plug": True,
    "ovs_create_tap": True,
    "datapath_type": "system",
    "bridge_name": "br-int",
}
MACVTAP_DETAILS = {
    "connectivity": "l2",
    "port_filter": False,
    "vlan": 100,
    "physical_interface": "eth1",
    "macvtap_source": "eth1.100",
    "macvtap_mode": "bridge",
}
RECORDED_PORT = {
    "id": ...,
    "name": "",
    "network_id": ...,
    "project_id": "p1",
    "mac_address": ...,
    "admin_state_up": True,
    "status": "DOWN",
    "device_id": "vm-a",
    "device_owner": "compute:nova",
    "fixed_ips": [{"subnet_id": ..., "ip_address": "10.100.0.2"}],
    "allowed_address_pairs": [],
    "extra_dhcp_opts": [],
    "security_groups": [],
    "description": "",
    "binding:vnic_type": "normal",
    "binding:profile": {},
    "binding:host_id": "h4",
    "binding:vif_type": "ovs",
    "binding:vif_details": {**OVS_DETAILS, "bound_drivers": {"0": "openvswitch"}},
    "tags": [],
    "created_at": "2026-11-23T12:00:00Z",
    "updated_at": "2026-11-23T12:00:00Z",
    "revision_number": ...,
    "tenant_id": "p1",
}


def same(shown: Any, recorded: Any) -> None:
    """The same keys in the same order and the same values; `...` in the record stands for any."""
    if recorded is ...:
        return
    if isinstance(recorded, dict):
        assert list(shown) == list(recorded)
        for key, value in recorded.items():
            same(shown[key], value)
    elif isinstance(recorded, list):
        assert len(shown) == len(recorded)
        for one, other in zip(shown, recorded, strict=True):
            same(one, other)
    else:
        assert shown == recorded


def binding(host: str, status: str, vif_type: str, details: dict[str, Any], **profile: Any) -> dict[str, Any]:
    return {
        "host": host,
        "vif_type": vif_type,
        "vnic_type": "normal",
        "status": status,
        "profile": profile,
        "vif_details": details,
        "migration_id": None,
        "vif_status": "DOWN",
    }
