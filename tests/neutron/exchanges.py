"""What is asked of a real Neutron and of Kedge alike, and in what their answers may differ.

A `difference` is the first cell ("What") of a row in docs/neutron-differences.md. The two requests that make Neutron
retry for 150 seconds are left out: `host` null twice, and `binding:host_id` to a host with an INACTIVE binding.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

UNKNOWN_PORT = "A binding for an unknown port"
NO_HOST = '`host` null or ""'
HOST_NUMBER = "`host` not a string"
NO_ACTIVE = "A port without an ACTIVE binding"
ACTIVATE_NOTHING = "Activate when nothing is ACTIVE"
EMPTY_BODY = "Activate with the body `{}`"
NAMED_BODY = "Activate with the port's id in the body"
IP_VERSION = "`ip_version` of a new subnet"
FORMER = "The former binding after an activation"
BACK = "Activate that one again (a rollback)"
OTHER_HOST = "PUT another `host` on a binding"
COLLECTION = "DELETE on `/bindings`, or with an empty host"
MIGRATING = "PUT `binding:host_id` with `migrating_to` in the profile, macvtap"
STALE_VLAN = "A macvtap binding on a flat network after one on a VLAN"
BINDING_SHOWS = "What a binding shows"
CREATE_TAP = "`ovs_create_tap` in `vif_details`"
NOT_FILTERED = "Security groups, extra DHCP options"

ALWAYS: Mapping[str, str] = {
    "migration_id": BINDING_SHOWS,
    "vif_status": BINDING_SHOWS,
    "security_groups": NOT_FILTERED,
    "ovs_create_tap": CREATE_TAP,
}
"""Attributes that may differ wherever they are."""


@dataclass(frozen=True)
class Exchange:
    """A request. `{net}` and the like stand for what earlier ones made; `made` names what this one makes.

    `differences` are those that its answer shows, besides the attributes of `ALWAYS`.
    """

    name: str
    method: str
    path: str
    body: Any = None
    made: str = ""
    differences: tuple[str, ...] = ()
    content: str | None = None  # instead of a body
    headers: Mapping[str, str] = field(default_factory=dict)


def _network(name: str, vlan: int | None) -> Any:
    kind: dict[str, Any] = {"provider:network_type": "flat" if vlan is None else "vlan"}
    if vlan is not None:
        kind["provider:segmentation_id"] = vlan
    wanted = {"name": name, "project_id": "p1", "provider:physical_network": "physnet1", **kind}
    return {"network": wanted}


def _port(
    host: str | None = "h3", owner: str = "compute:nova", network: str = "{net}", project: str = "p1"
) -> Any:
    wanted = {"network_id": network, "project_id": project, "device_id": "vm", "device_owner": owner}
    return {"port": wanted | ({"binding:host_id": host} if host is not None else {})}


def _binding(host: Any, **more: Any) -> Any:
    return {"binding": {"host": host, **more}}


def _port_at(*addresses: str) -> Any:
    wanted = _port()
    wanted["port"]["fixed_ips"] = [{"ip_address": address} for address in addresses]
    return wanted


def _port_in(address: str, subnet: str) -> Any:
    wanted = _port()
    wanted["port"]["fixed_ips"] = [{"ip_address": address, "subnet_id": subnet}]
    return wanted


def _subnet(**changes: Any) -> Any:
    wanted = {"network_id": "{net}", "project_id": "p1", "ip_version": 4, "cidr": "10.101.0.0/16"}
    return {"subnet": wanted | changes}


_AT = "/ports?fixed_ips=ip_address=10.100.9.9"
UNKNOWN = "11111111-2222-3333-4444-555555555555"

EXCHANGES: tuple[Exchange, ...] = (
    Exchange("create-network", "POST", "/networks", _network("sample", 100), made="net"),
    Exchange("show-network", "GET", "/networks/{net}"),
    Exchange("create-network-vlan-in-use", "POST", "/networks", _network("again", 100)),
    Exchange(
        "create-subnet", "POST", "/subnets", {"subnet": {
            "network_id": "{net}", "project_id": "p1", "ip_version": 4, "cidr": "10.100.0.0/16",
            "enable_dhcp": False}}, made="subnet",
    ),
    Exchange("show-unknown-network", "GET", f"/networks/{UNKNOWN}"),
    # The normal course, from an Open vSwitch host to another one.
    Exchange("create-port", "POST", "/ports", _port(), made="port"),
    Exchange("list-bindings", "GET", "/ports/{port}/bindings"),
    Exchange("show-absent-binding", "GET", "/ports/{port}/bindings/h4"),
    Exchange("create-binding", "POST", "/ports/{port}/bindings", _binding("h4")),
    Exchange("list-two-bindings", "GET", "/ports/{port}/bindings"),
    Exchange("show-binding", "GET", "/ports/{port}/bindings/h4"),
    Exchange("list-bindings-by-status", "GET", "/ports/{port}/bindings?status=INACTIVE"),
    Exchange("list-bindings-fields", "GET", "/ports/{port}/bindings?host=h4&fields=host&fields=status"),
    Exchange("show-port", "GET", "/ports/{port}"),
    Exchange("show-port-fields", "GET", "/ports/{port}?fields=binding:host_id&fields=device_id"),
    Exchange("activate", "PUT", "/ports/{port}/bindings/h4/activate"),
    Exchange("show-port-activated", "GET", "/ports/{port}"),
    Exchange("list-bindings-activated", "GET", "/ports/{port}/bindings", differences=(FORMER,)),
    Exchange("delete-former-binding", "DELETE", "/ports/{port}/bindings/h3"),
    Exchange("list-bindings-at-rest", "GET", "/ports/{port}/bindings"),
    # Variations that succeed.
    Exchange("create-port-b", "POST", "/ports", _port(), made="b"),
    Exchange(
        "create-binding-as-nova-does", "POST", "/ports/{b}/bindings",
        _binding("h4", vnic_type="normal", profile={"migrating_to": "h4"}),
    ),
    Exchange("create-binding-macvtap", "POST", "/ports/{b}/bindings", _binding("h1")),
    Exchange("list-three-bindings", "GET", "/ports/{b}/bindings"),
    Exchange(
        "update-inactive-profile", "PUT", "/ports/{b}/bindings/h1", {"binding": {"profile": {"k": "v"}}}
    ),
    Exchange(
        "update-profile-again", "PUT", "/ports/{b}/bindings/h1", {"binding": {"profile": {"l": "w"}}}
    ),
    Exchange(
        "update-binding-host", "PUT", "/ports/{b}/bindings/h4", {"binding": {"host": "h9"}},
        differences=(OTHER_HOST,),
    ),
    Exchange("activate-empty-body", "PUT", "/ports/{b}/bindings/h1/activate", {}, differences=(EMPTY_BODY,)),
    # Activations back and forth.
    Exchange("create-port-c", "POST", "/ports", _port(), made="c"),
    Exchange("create-binding-c", "POST", "/ports/{c}/bindings", _binding("h1")),
    Exchange("activate-null-body", "PUT", "/ports/{c}/bindings/h1/activate", content="null"),
    Exchange("activate-the-active", "PUT", "/ports/{c}/bindings/h1/activate"),
    Exchange("activate-back", "PUT", "/ports/{c}/bindings/h3/activate", differences=(BACK,)),
    Exchange(
        "list-after-back", "GET", "/ports/{c}/bindings", differences=(BACK, FORMER)
    ),
    # Errors.
    Exchange("create-port-d", "POST", "/ports", _port(), made="d"),
    Exchange("binding-on-the-active-host", "POST", "/ports/{d}/bindings", _binding("h3")),
    Exchange("create-binding-d", "POST", "/ports/{d}/bindings", _binding("h4")),
    Exchange("binding-twice", "POST", "/ports/{d}/bindings", _binding("h4")),
    Exchange("activate-no-binding", "PUT", "/ports/{d}/bindings/nohost/activate"),
    Exchange("delete-no-binding", "DELETE", "/ports/{d}/bindings/nohost"),
    Exchange("binding-no-agent", "POST", "/ports/{d}/bindings", _binding("nohost")),
    Exchange("binding-dead-agent", "POST", "/ports/{d}/bindings", _binding("hdead")),
    Exchange("nothing-left-behind", "GET", "/ports/{d}/bindings?fields=host&fields=status"),
    Exchange("update-no-binding", "PUT", "/ports/{d}/bindings/nohost", {"binding": {"profile": {}}}),
    Exchange(
        "unknown-port-create", "POST", f"/ports/{UNKNOWN}/bindings", _binding("h4"),
        differences=(UNKNOWN_PORT,),
    ),
    Exchange("unknown-port-list", "GET", f"/ports/{UNKNOWN}/bindings"),
    Exchange("unknown-port-show", "GET", f"/ports/{UNKNOWN}/bindings/h4"),
    Exchange("unknown-port-activate", "PUT", f"/ports/{UNKNOWN}/bindings/h4/activate"),
    Exchange("unknown-port-update", "PUT", f"/ports/{UNKNOWN}/bindings/h4", {"binding": {"profile": {}}}),
    Exchange("unknown-port-delete", "DELETE", f"/ports/{UNKNOWN}/bindings/h4"),
    Exchange("port-not-a-uuid", "GET", "/ports/nonsense/bindings"),
    Exchange("create-dhcp-port", "POST", "/ports", _port(None, "network:dhcp"), made="dhcp"),
    Exchange("dhcp-port-create", "POST", "/ports/{dhcp}/bindings", _binding("h4")),
    Exchange("dhcp-port-list", "GET", "/ports/{dhcp}/bindings"),
    Exchange("dhcp-port-activate", "PUT", "/ports/{dhcp}/bindings/h3/activate"),
    Exchange("dhcp-port-delete", "DELETE", "/ports/{dhcp}/bindings/h4"),
    Exchange("host-missing", "POST", "/ports/{d}/bindings", {"binding": {}}),
    Exchange("host-a-number", "POST", "/ports/{d}/bindings", _binding(5), differences=(HOST_NUMBER,)),
    Exchange("read-only-attribute", "POST", "/ports/{d}/bindings", _binding("h1", vif_type="ovs")),
    Exchange("unknown-attribute", "POST", "/ports/{d}/bindings", _binding("h1", colour="red")),
    Exchange("bad-vnic-type", "POST", "/ports/{d}/bindings", _binding("h1", vnic_type="purple")),
    Exchange(
        "vnic-type-not-served", "POST", "/ports/{d}/bindings", _binding("h1", vnic_type="direct"),
    ),
    Exchange("profile-not-a-dict", "POST", "/ports/{d}/bindings", _binding("h1", profile="x")),
    Exchange("body-without-binding", "POST", "/ports/{d}/bindings", {"host": "h1"}),
    Exchange("body-not-json", "POST", "/ports/{d}/bindings", content="{nope"),
    Exchange("body-empty", "POST", "/ports/{d}/bindings"),
    Exchange("bulk", "POST", "/ports/{d}/bindings", {"bindings": [{"host": "h1"}]}),
    Exchange("activate-by-post", "POST", "/ports/{d}/bindings/h4/activate"),
    Exchange("activate-by-get", "GET", "/ports/{d}/bindings/h4/activate"),
    Exchange("unknown-action", "PUT", "/ports/{d}/bindings/h4/deactivate"),
    Exchange("delete-the-collection", "DELETE", "/ports/{d}/bindings", differences=(COLLECTION,)),
    Exchange("unknown-filter", "GET", "/ports/{d}/bindings?colour=red"),
    Exchange("unknown-port-filter", "GET", "/ports?colour=red"),
    Exchange("ports-of-nobody", "GET", "/ports?device_id=nobody"),
    # The ACTIVE binding deleted; nothing runs, so Kedge lets it go too.
    Exchange("delete-the-active", "DELETE", "/ports/{d}/bindings/h3"),
    Exchange("list-without-active", "GET", "/ports/{d}/bindings", differences=(NO_ACTIVE,)),
    Exchange("show-port-without-active", "GET", "/ports/{d}", differences=(NO_ACTIVE,)),
    Exchange(
        "activate-without-active", "PUT", "/ports/{d}/bindings/h4/activate", differences=(ACTIVATE_NOTHING,)
    ),
    # A port that was never bound.
    Exchange("create-port-e", "POST", "/ports", _port(None), made="e"),
    Exchange("list-never-bound", "GET", "/ports/{e}/bindings"),
    Exchange("first-binding", "POST", "/ports/{e}/bindings", _binding("h3")),
    # The old way.
    Exchange("create-port-f", "POST", "/ports", _port("h3"), made="f"),
    Exchange("move-by-host-id", "PUT", "/ports/{f}", {"port": {"binding:host_id": "h4"}}),
    Exchange("list-moved", "GET", "/ports/{f}/bindings"),
    Exchange("move-to-no-agent", "PUT", "/ports/{f}", {"port": {"binding:host_id": "nohost"}}),
    Exchange("create-port-no-agent", "POST", "/ports", _port("nohost")),
    Exchange("create-port-g", "POST", "/ports", _port("h1"), made="g"),
    Exchange("set-migrating-to", "PUT", "/ports/{g}", {"port": {"binding:profile": {"migrating_to": "h2"}}}),
    Exchange(
        "move-while-migrating", "PUT", "/ports/{g}", {"port": {"binding:host_id": "h2"}},
        differences=(MIGRATING,),
    ),
    Exchange("create-port-h", "POST", "/ports", _port("h1"), made="h"),
    Exchange("bind-other-mapping", "POST", "/ports/{h}/bindings", _binding("h2")),
    Exchange("activate-other-mapping", "PUT", "/ports/{h}/bindings/h2/activate"),
    # A flat network, with a macvtap driver that has bound a VLAN before.
    Exchange("create-flat-network", "POST", "/networks", _network("flat", None), made="flat"),
    Exchange(
        "flat-port", "POST", "/ports", _port("h1", network="{flat}"), made="flatport",
        differences=(STALE_VLAN,),
    ),
    # Shared between projects.
    Exchange("share-a-network", "PUT", "/networks/{flat}", {"network": {"shared": True}}),
    Exchange("list-shared-networks", "GET", "/networks?shared=True&fields=name&fields=shared"),
    Exchange("port-of-a-guest", "POST", "/ports", _port(None, "", "{flat}", "p2"), made="guest"),
    Exchange("unshare-a-network-in-use", "PUT", "/networks/{flat}", {"network": {"shared": False}}),
    Exchange("delete-port-of-a-guest", "DELETE", "/ports/{guest}"),
    Exchange("unshare-a-network", "PUT", "/networks/{flat}", {"network": {"shared": False}}),
    Exchange("create-port-beside-its-subnet", "POST", "/ports", _port_in("192.0.2.7", "{subnet}")),
    Exchange("delete-network-in-use", "DELETE", "/networks/{flat}"),
    Exchange("delete-port", "DELETE", "/ports/{flatport}"),
    Exchange("delete-network", "DELETE", "/networks/{flat}"),
    Exchange("show-deleted-port", "GET", "/ports/{flatport}"),
    Exchange("list-agents-of-nobody", "GET", "/agents?host=nohost"),
    Exchange("show-unknown-agent", "GET", f"/agents/{UNKNOWN}"),
    # What lists are filtered by.
    Exchange("create-port-at", "POST", "/ports", _port_at("10.100.9.9"), made="at"),
    Exchange("create-port-near", "POST", "/ports", _port_at("10.100.9.10"), made="near"),
    Exchange("by-address-and-subnet", "GET", f"{_AT}&fixed_ips=subnet_id={{subnet}}&fields=fixed_ips"),
    Exchange("by-address-and-no-subnet", "GET", f"{_AT}&fixed_ips=subnet_id={UNKNOWN}"),
    Exchange("by-two-addresses", "GET", f"{_AT}&fixed_ips=ip_address=10.100.9.10&fields=fixed_ips"),
    Exchange("by-part-of-an-address", "GET", "/ports?fixed_ips=ip_address_substr=0.9.&fields=fixed_ips"),
    Exchange("by-a-truth-that-is-none", "GET", "/ports?admin_state_up=fake"),
    Exchange("by-a-block", "GET", "/subnets?cidr=10.100.3.7/16&fields=cidr"),
    # Addresses that can't be.
    Exchange("create-port-at-the-network", "POST", "/ports", _port_at("10.100.0.0")),
    Exchange("create-port-at-the-broadcast", "POST", "/ports", _port_at("10.100.255.255")),
    Exchange("create-port-twice-at", "POST", "/ports", _port_at("10.100.9.11", "10.100.9.11")),
    Exchange("create-subnet-without-a-mask", "POST", "/subnets", _subnet(cidr="10.0.2.0")),
    Exchange("create-subnet-of-all", "POST", "/subnets", _subnet(cidr="0.0.0.0/0")),
    Exchange("create-subnet-of-no-version", "POST", "/subnets", _subnet(ip_version=None), differences=(IP_VERSION,)),
    Exchange("create-subnet-of-both-versions", "POST", "/subnets", _subnet(dns_nameservers=["2001:db8::53"])),
    Exchange("create-subnet-to-a-host", "POST", "/subnets", _subnet(
        host_routes=[{"destination": "100.1.1.1/8", "nexthop": "10.100.0.9"}])),
    Exchange("set-what-is-shown", "PUT", "/subnets/{subnet}", {"subnet": {"service_types": []}}),
    Exchange("create-port-i", "POST", "/ports", _port(), made="i"),
    Exchange("create-binding-i", "POST", "/ports/{i}/bindings", _binding("h4")),
    Exchange("set-vnic-type", "PUT", "/ports/{i}/bindings/h4", {"binding": {"vnic_type": "normal"}}),
    Exchange("activate-by-name", "PUT", "/ports/{i}/bindings/h4/activate", {"port_id": "{i}"},
        differences=(NAMED_BODY,)),
    Exchange("delete-subnet-in-use", "DELETE", "/subnets/{subnet}"),
)  # fmt: skip
