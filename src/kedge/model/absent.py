"""What other services of Neutron's API have and Kedge has none of, in words for whoever asks for it."""

from collections.abc import Mapping

_PREFIX = "/network/v2.0/"
_ABSENT: Mapping[str, str] = {
    "address-groups": "address groups",
    "address-scopes": "address scopes: the prefixes of subnet pools may overlap",
    "auto-allocated-topology": "topologies that are allocated by themselves",
    "availability_zones": "availability zones",
    "bgpvpn": "BGP VPNs",
    "bgp-peers": "BGP",
    "bgp-speakers": "BGP",
    "default-security-group-rules": "security groups: it does not filter",
    "flavors": "flavors",
    "floatingips": "floating IPs, as it has no routers",
    "fwaas": "firewalls",
    "lbaas": "load balancers",
    "local_ips": "local IPs",
    "log": "logs of packets",
    "metering": "metering",
    "network-ip-availabilities": "figures of networks' free addresses; list ports by their network",
    "network_segment_ranges": "ranges of segments in its API; vlan_ranges in [network] of the configuration are those",
    "qos": "QoS policies",
    "rbac-policies": "RBAC policies: a network is shared with all projects or with none",
    "routers": "routers",
    "security-group-rules": "security groups: it does not filter",
    "security-groups": "security groups: it does not filter",
    "segments": "networks of several segments; a network shows its one",
    "service-providers": "service providers",
    "sfc": "service function chains",
    "taas": "taps of ports",
    "trunks": "trunks",
    "vpn": "VPNs",
}
_UNKNOWN = "The resource could not be found."


def not_found(path: str) -> str:
    """Why nothing is found under a path: it is of what Kedge has none of, or there is no such thing."""
    if not path.startswith(_PREFIX):
        return _UNKNOWN
    collection = path.removeprefix(_PREFIX).partition("/")[0].removesuffix(".json")
    words = _ABSENT.get(collection)
    return f"This is Kedge, which has no {words}." if words else _UNKNOWN
